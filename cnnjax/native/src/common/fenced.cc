#include "common/fenced.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace cnnjax {

namespace {

constexpr std::byte kUnwritten{0xff};

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

bool checks() {
  static const bool wanted = [] {
    const char* value = std::getenv("CNNJAX_NATIVE_CHECK");
    return value && std::string_view(value) == "1";
  }();
  return wanted;
}

Edge& scratch_edge() {
  static thread_local Edge edge = Edge::kEnd;
  return edge;
}

Fenced::Fenced(std::size_t bytes, Edge edge) : size_(bytes) {
  const std::size_t page = page_bytes();
  const std::size_t inner = (bytes + page - 1) / page * page;
  mapped_ = inner + 2 * page;
  void* pages = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<std::byte*>(pages);
  std::byte* begin = pages_ + page;
  if (inner && mprotect(begin, inner, PROT_READ | PROT_WRITE)) {
    munmap(pages_, mapped_);
    throw std::bad_alloc();
  }
  std::fill_n(begin, inner, kUnwritten);
  data_ = edge == Edge::kEnd ? begin + inner - bytes : begin;
}

Fenced::Fenced(Fenced&& other) noexcept { *this = std::move(other); }

Fenced& Fenced::operator=(Fenced&& other) noexcept {
  std::swap(pages_, other.pages_);
  std::swap(data_, other.data_);
  std::swap(mapped_, other.mapped_);
  std::swap(size_, other.size_);
  return *this;
}

Fenced::~Fenced() {
  if (pages_) munmap(pages_, mapped_);
}

void Fenced::forbid_writing() {
  const std::size_t page = page_bytes();
  if (mapped_ > 2 * page) mprotect(pages_ + page, mapped_ - 2 * page, PROT_READ);
}

bool Fenced::is_rest_untouched() const {
  if (!pages_) return true;
  const std::size_t page = page_bytes();
  const auto untouched = [](const std::byte* begin, const std::byte* end) {
    return std::all_of(begin, end, [](std::byte b) { return b == kUnwritten; });
  };
  return untouched(pages_ + page, data_) &&
         untouched(data_ + size_, pages_ + mapped_ - page);
}

}  // namespace cnnjax

// Scratch memory of one thread, kept from call to call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace cnnjax {

// oneDNN's own scratch memory belongs to a primitive, so two threads that run the
// same primitive would write over each other. Memory that belongs to a thread is safe.
class Arena {
 public:
  static Arena& of_this_thread() {
    static thread_local Arena arena;
    return arena;
  }

  // At least this many bytes; what they held before is lost.
  std::byte* reserve(std::size_t bytes) {
    if (bytes > size_) {
      memory_.reset();
      size_ = 0;
      const std::size_t rounded = round_up(bytes);
      memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kLine, rounded)));
      if (!memory_) throw std::bad_alloc();
      size_ = rounded;
    }
    return memory_.get();
  }

  static std::size_t round_up(std::size_t bytes) {
    return (bytes + kLine - 1) / kLine * kLine;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  static constexpr std::size_t kLine = 64;  // a cache line, and an AVX512 register
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace cnnjax

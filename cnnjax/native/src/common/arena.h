// Scratch memory of one thread, kept from call to call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>

#include "common/fenced.h"

namespace cnnjax {

// What a thread needs scratch memory for at the same time.
enum class Scratch : std::size_t { kWork, kKernel, kImages, kCount };

// oneDNN's own scratch memory belongs to a primitive, so two threads that run the
// same primitive would write over each other. Memory that belongs to a thread is safe.
class Arena {
 public:
  static Arena& of_this_thread(Scratch use) {
    static thread_local std::array<Arena, static_cast<std::size_t>(Scratch::kCount)>
        arenas;
    return arenas[static_cast<std::size_t>(use)];
  }

  // At least this many bytes, and exactly these in the check mode; what they held
  // before is lost.
  std::byte* reserve(std::size_t bytes) {
    if (checks()) return reserve_fenced(bytes);
    if (bytes > size_) {
      memory_.reset();
      size_ = 0;
      const std::size_t rounded = (bytes + kLine - 1) / kLine * kLine;
      memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kLine, rounded)));
      if (!memory_) throw std::bad_alloc();
      size_ = rounded;
    }
    return memory_.get();
  }

  // In the check mode: throws if a kernel left this thread's scratch memory.
  static void check_all() {
    for (const Scratch use : {Scratch::kWork, Scratch::kKernel, Scratch::kImages}) {
      of_this_thread(use).check();
    }
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  void check() const {
    if (!fenced_.is_rest_untouched()) {
      throw std::runtime_error("a kernel wrote outside of its scratch memory");
    }
  }

  std::byte* reserve_fenced(std::size_t bytes) {
    check();
    fenced_ = Fenced(bytes, scratch_edge());
    return fenced_.data();
  }

  static constexpr std::size_t kLine = 64;  // a cache line, and an AVX512 register
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_ = 0;
  Fenced fenced_;
};

}  // namespace cnnjax

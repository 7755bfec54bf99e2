// Memory between two protected pages, and the check mode that uses it.
//
// CNNJAX_NATIVE_CHECK=1 finds kernels that read or write beyond their arrays, or read
// what they never wrote. It is slow and meant for tests.
#pragma once

#include <cstddef>

namespace cnnjax {

// Whether this process checks; read from the environment once.
bool checks();

// Which end of the memory touches a protected page.
enum class Edge { kEnd, kBegin };

// The edge for the calling thread's scratch memory.
Edge& scratch_edge();

// Memory of exactly this many bytes, each of which is 0xff: as floats they are NaNs.
class Fenced {
 public:
  Fenced() = default;
  Fenced(std::size_t bytes, Edge edge);
  Fenced(Fenced&& other) noexcept;
  Fenced& operator=(Fenced&& other) noexcept;
  ~Fenced();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

  void forbid_writing();

  // Whether the rest of the memory's own pages is as it was.
  bool is_rest_untouched() const;

 private:
  std::byte* pages_ = nullptr;  // the first and the last one are the fence
  std::byte* data_ = nullptr;
  std::size_t mapped_ = 0, size_ = 0;
};

}  // namespace cnnjax

// A pooling: its shapes and its window, one number per axis.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "parallel.h"

namespace cnnjax {

constexpr std::size_t kPoolAxes = 3;  // missing ones come first, of one place
using PerAxis = std::array<std::int64_t, kPoolAxes>;

inline std::int64_t product(const PerAxis& numbers) {
  return numbers[0] * numbers[1] * numbers[2];
}

struct PoolProblem {
  bool is_bfloat16;
  std::int64_t images, channels;
  PerAxis x, y;  // how many places they have
  PerAxis taps, strides, dilation, low;

  // Whether the windows cover the image, each place by one of them.
  bool is_tiled() const {
    bool tiled = taps == strides && dilation == PerAxis{1, 1, 1} && low == PerAxis{};
    for (std::size_t axis = 0; axis < kPoolAxes; ++axis) {
      tiled = tiled && x[axis] == y[axis] * taps[axis];
    }
    return tiled;
  }

  int threads() const {
    constexpr std::int64_t kValuesPerThread = 1
                                              << 17;  // some 50 microseconds of a core
    const std::int64_t places = std::max(product(x), product(y));
    return threads_for(images * places * channels, kValuesPerThread);
  }
};

// Where the arrays are. Each value of `out` comes of some of `in`; `which` holds one
// number of a tap for each window.
struct PoolArrays {
  const void* in;
  void* out;
  std::uint8_t* which;
};

}  // namespace cnnjax

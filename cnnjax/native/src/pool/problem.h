// A pooling: its shapes and its window.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/axes.h"
#include "common/parallel.h"

namespace cnnjax {

constexpr std::int64_t kPooledPerThread = 1 << 17;  // some 50 microseconds of one core

struct PoolProblem {
  bool is_bfloat16;
  std::int64_t images, channels;
  PerAxis x, y;  // how many places they have
  PerAxis taps, strides, dilation, low;

  // Whether the windows cover the image, each place by one of them.
  bool is_tiled() const {
    bool tiled = taps == strides && dilation == PerAxis{1, 1, 1} && low == PerAxis{};
    for (std::size_t axis = 0; axis < kAxes; ++axis) {
      tiled = tiled && x[axis] == y[axis] * taps[axis];
    }
    return tiled;
  }

  int threads() const {
    const std::int64_t places = std::max(product(x), product(y));
    return threads_for(images * places * channels, kPooledPerThread);
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

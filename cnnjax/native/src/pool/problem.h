// A pooling: its shapes and its window.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/axes.h"
#include "common/parallel.h"

namespace cnnjax {

constexpr std::int64_t kPooledPerThread = 1 << 17;  // about 50 microseconds of one core

struct PoolProblem {
  bool is_bfloat16;
  std::int64_t images, channels;
  PerAxis x, y;  // spatial sizes
  PerAxis taps, strides, dilation, low;

  // Whether each position of the image lies in exactly one window.
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

// The arrays. Each value of `out` is computed from values of `in`; `which` holds the
// index of one tap per window.
struct PoolArrays {
  const void* in;
  void* out;
  std::uint8_t* which;
};

}  // namespace cnnjax

// A convolution: its shapes, its window, and where its arrays are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <oneapi/dnnl/dnnl.hpp>

#include "common/cache.h"

namespace cnnjax {

using Dims = dnnl::memory::dims;

enum class Map : std::int64_t { kForward, kInputGradient, kKernelGradient };

// Some kernels of oneDNN compute addresses in 32 bits.
constexpr std::int64_t kLargestBytes = std::numeric_limits<std::int32_t>::max();

// Shapes are JAX's: (batch, *spatial, channels) and (*taps, in / groups, out).
struct ConvProblem {
  Map map;
  dnnl::memory::data_type dtype;
  Dims x, kernel, y;
  Dims strides, dilation, low, high;
  std::int64_t groups;
  bool has_bias = false, relu = false;  // of the forward map

  Key key() const;

  // Small problems are faster on fewer threads than the time it takes to wake them.
  int threads() const;
};

inline std::int64_t count(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), std::int64_t{1},
                         std::multiplies<>());
}

struct ConvArrays {
  std::byte *x, *kernel, *y, *bias;
};

}  // namespace cnnjax

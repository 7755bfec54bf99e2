// One convolution of given shapes: oneDNN's primitive and the reorders around it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>

#include "cache.h"

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

// Which of oneDNN's implementations would run. Throws where there is none.
std::string implementation(const ConvProblem& problem);

class ConvPlan {
 public:
  explicit ConvPlan(const ConvProblem& problem);

  // Reads two of x, kernel and y, and writes the third.
  void run(const ConvArrays& arrays) const;

  static std::shared_ptr<const ConvPlan> of(const ConvProblem& problem);

 private:
  // Between JAX's layout of the kernel and the one oneDNN computes in.
  struct Reorder {
    dnnl::primitive primitive;
    dnnl::memory::desc from, to, scratch;
  };

  void prepare_reorder(const ConvProblem& problem);
  void reorder(dnnl::stream& stream, std::byte* from, std::byte* to) const;

  Map map_;
  int threads_;
  dnnl::primitive conv_;
  dnnl::memory::desc x_, kernel_, y_, bias_, scratch_;
  std::optional<Reorder> reorder_;
  std::size_t scratch_bytes_ = 0;
};

}  // namespace cnnjax

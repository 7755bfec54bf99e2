// The loops of batch normalization, compiled once for each instruction set.
//
// All arrays are rows of channels. With a channel's mean m, factor f and bias b, the
// outputs are y = relu(f (x - m) + b + z), where z and ReLU are optional and ReLU may
// be capped at a largest value. g is dy where ReLU passed y on, else 0.
#pragma once

#include <cstdint>

namespace cnnjax {

enum class Norm : std::int64_t {
  kMoments,   // sums of d = x - m and of d^2, for any m near the mean
  kApply,     // y
  kSums,      // sums of g and of g (x - m), and g itself if requested
  kGradient,  // dx = f g + (x - m) by_distance + constant
};

struct NormJob {
  Norm map;
  bool is_bfloat16, relu;
  float largest;  // ReLU's cap; infinity: no cap
  std::int64_t channels;
  const void *x, *dy;
  const void* add;  // z; null: nothing is added
  const void* y;    // null: g is computed from x
  const float *mean, *factor, *bias, *by_distance, *constant;
  void *out, *g;
};

// Computes the rows from `begin` to `end`. Sums are added to `sums`, two rows of
// channels.
using NormLoop = void (*)(const NormJob&, std::int64_t begin, std::int64_t end,
                          float* sums);

void norm_on_avx512(const NormJob&, std::int64_t begin, std::int64_t end, float* sums);
void norm_on_avx2(const NormJob&, std::int64_t begin, std::int64_t end, float* sums);
void norm_on_any(const NormJob&, std::int64_t begin, std::int64_t end, float* sums);

}  // namespace cnnjax

// The loops of batch normalization, compiled once for each instruction set.
//
// All arrays are rows of channels. With a channel's mean m, factor f and bias b, the
// outputs are y = f (x - m) + b, plus what is added, and ReLU of that, which may end at a
// largest value. What ReLU let through of dy is g.
#pragma once

#include <cstdint>

namespace cnnjax {

enum class Norm : std::int64_t {
  kMoments,   // sums of d = x - m, and of d^2; any m near the mean will do
  kApply,     // y
  kSums,      // sums of g, and of g (x - m); and g itself, if it is asked for
  kGradient,  // dx = g factor + (x - m) by_distance + constant
};

struct NormJob {
  Norm map;
  bool is_bfloat16, relu;
  float largest;  // infinity: none
  std::int64_t channels;
  const void *x, *dy;
  const void* add;  // null: nothing
  const void* y;    // null: what ReLU let through is found from x
  const float *mean, *factor, *bias, *by_distance, *constant;
  void *out, *g;
};

// Computes the rows from `begin` to `end`. Sums are added to `sums`, two rows of channels.
using NormLoop = void (*)(const NormJob&, std::int64_t begin, std::int64_t end,
                          float* sums);

void norm_on_avx512(const NormJob&, std::int64_t begin, std::int64_t end, float* sums);
void norm_on_avx2(const NormJob&, std::int64_t begin, std::int64_t end, float* sums);
void norm_on_any(const NormJob&, std::int64_t begin, std::int64_t end, float* sums);

}  // namespace cnnjax

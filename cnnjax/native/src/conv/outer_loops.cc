// CMake compiles this file for AVX2 and FMA, under the name CNNJAX_OUTER_LOOP.

#include "conv/outer_loops.h"

#include <immintrin.h>

namespace cnnjax {

namespace {

constexpr int kLanes = 8, kVectors = 2;  // of outputs at a time

// Twelve sums fill the sixteen registers, with two vectors of y and a value of x. Eight
// are as many as two units with a latency of four work at.
constexpr int kMostInputs = 6, kEnoughInputs = 4;

using Sums = __m256[kMostInputs][kVectors];

// GCC keeps the sums in registers only where it unrolls these loops early.
template <int inputs>
void add_products(const float* x, const float* y, Sums& sums) {
  __m256 ys[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) ys[v] = _mm256_loadu_ps(y + v * kLanes);
#pragma GCC unroll 8
  for (int i = 0; i < inputs; ++i) {
    const __m256 value = _mm256_broadcast_ss(x + i);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[i][v] = _mm256_fmadd_ps(value, ys[v], sums[i][v]);
    }
  }
}

// The products of some inputs with two vectors of outputs.
template <int inputs>
void add_tile(const OuterJob& job, std::int64_t input, std::int64_t output) {
  Sums sums;
#pragma GCC unroll 8
  for (int i = 0; i < inputs; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[i][v] = _mm256_setzero_ps();
  }
  for (std::int64_t image = 0; image < job.images; ++image) {
    for (std::int64_t row = 0; row < job.rows; ++row) {
      const float* x = job.x + image * job.x_image + row * job.x_row + input;
      const float* y = job.y + image * job.y_image + row * job.y_row + output;
      for (std::int64_t p = 0; p < job.places; ++p, x += job.x_step, y += job.y_step) {
        add_products<inputs>(x, y, sums);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < inputs; ++i) {
    float* w = job.w + (input + i) * job.w_step + output;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v, w += kLanes) {
      _mm256_storeu_ps(w, _mm256_add_ps(_mm256_loadu_ps(w), sums[i][v]));
    }
  }
}

void add_column(const OuterJob& job, std::int64_t output) {
  std::int64_t input = 0;
  while (input < job.inputs) {
    const std::int64_t left = job.inputs - input;
    if (left % kMostInputs == 0) {
      add_tile<kMostInputs>(job, input, output);
      input += kMostInputs;
    } else if (left >= kEnoughInputs) {
      add_tile<kEnoughInputs>(job, input, output);
      input += kEnoughInputs;
    } else {
      add_tile<1>(job, input, output);
      ++input;
    }
  }
}

}  // namespace

void CNNJAX_OUTER_LOOP(const OuterJob& job) {
  for (std::int64_t output = 0; output < job.outputs; output += kVectors * kLanes) {
    add_column(job, output);
  }
}

}  // namespace cnnjax

// Which tap of a convolution's kernel meets which place of the image.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/problem.h"

namespace cnnjax {

// Places are numbered in row-major order of the spatial axes. A tap meets the places x,
// x + 1, ... of the image where the window is at the places y, y + 1, ... of one row.
struct ConvTerm {
  std::int64_t tap, x, y, places;
};

std::vector<ConvTerm> terms_of(const ConvProblem& problem, std::int64_t tap);

// The share of a window's taps that meet the image, over all places of the window.
double share_within(const ConvProblem& problem);

inline Dims spatial(const Dims& shape) {
  return Dims(shape.begin() + 1, shape.end() - 1);
}

inline Dims taps_of(const Dims& kernel) {
  return Dims(kernel.begin(), kernel.end() - 2);
}

}  // namespace cnnjax

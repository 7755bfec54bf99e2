// ReLU after a convolution, in which a NaN stays a NaN.
//
// oneDNN's own ReLU turns it into a zero, so it may only follow sums that are certainly
// finite. Two passes over y would cost more than one look at x.
#pragma once

#include "conv/problem.h"

namespace cnnjax {

// Whether x, kernel and bias are so small that no sum of y can leave the finite numbers.
bool has_finite_sums(const ConvProblem& problem, const ConvArrays& arrays);

// Changes `values` values.
void relu_in_place(std::byte* y, std::int64_t values, dnnl::memory::data_type dtype);

}  // namespace cnnjax

// The gradients of poolings whose windows tile the image. Each value of dy goes to the
// taps of its own window, so each value of dx is written once.
#pragma once

#include "pool/problem.h"

namespace cnnjax {

// Computes dx from dy, for `problem.is_tiled()`. With `which`, all taps of a window but
// one get zeros.
void fill_tiles(const PoolProblem& problem, const PoolArrays& arrays);

}  // namespace cnnjax

// The gradients of poolings whose windows tile the image: each value of y goes to the
// places of its own window, and these are written once.
#pragma once

#include "pool/problem.h"

namespace cnnjax {

// Makes x of y, for `problem.is_tiled()`. With `which`, all but one place of a window
// get zeros.
void fill_tiles(const PoolProblem& problem, const PoolArrays& arrays);

}  // namespace cnnjax

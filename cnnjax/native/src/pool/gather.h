// A pooling with any window, which computes its outputs one by one.
#pragma once

#include "pool/loops.h"
#include "pool/problem.h"

namespace cnnjax {

// Computes y from x if `of_windows`, else x from y.
void gather(Pool pool, bool of_windows, const PoolProblem& problem,
            const PoolArrays& arrays);

}  // namespace cnnjax

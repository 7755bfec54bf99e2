// A pooling that takes the places of its output one by one, with any window.
#pragma once

#include "pool/loops.h"
#include "pool/problem.h"

namespace cnnjax {

// Makes y of x where `of_windows`, else x of y.
void gather(Pool pool, bool of_windows, const PoolProblem& problem,
            const PoolArrays& arrays);

}  // namespace cnnjax

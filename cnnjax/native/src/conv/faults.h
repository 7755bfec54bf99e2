// The convolutions that oneDNN 3.2 computes incorrectly.
#pragma once

#include "conv/problem.h"

namespace cnnjax {

// Why oneDNN's primitive must not compute this problem; null where it can.
const char* fault_of_onednn(const ConvProblem& problem);

}  // namespace cnnjax

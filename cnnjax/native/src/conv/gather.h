// The gradient of a 1x1 kernel with strides: the places of x that the window stops at
// are copied, which leaves a problem without strides.
#pragma once

#include <memory>

#include "common/axes.h"
#include "conv/problem.h"

namespace cnnjax {

class ConvPlan;

class ConvGather {
 public:
  // Whether the problem is of this kind.
  static bool suits(const ConvProblem& problem);

  // The problem of the copied places.
  static ConvProblem without_strides(ConvProblem problem);

  explicit ConvGather(const ConvProblem& problem);

  // Reads x and y, and writes the kernel.
  void run(const ConvArrays& arrays) const;

 private:
  int threads_;
  std::int64_t images_, place_bytes_;
  PerAxis x_sizes_, y_sizes_, strides_;
  std::shared_ptr<const ConvPlan> plan_;
};

}  // namespace cnnjax

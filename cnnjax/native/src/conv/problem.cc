#include "conv/problem.h"

#include <algorithm>
#include <cmath>

#include "common/engine.h"
#include "common/fenced.h"

namespace cnnjax {

namespace {
constexpr double kProductsPerThread = 4e6;  // about 100 microseconds of one core
}

Key ConvProblem::key() const {
  Key key = {static_cast<std::int64_t>(map), static_cast<std::int64_t>(dtype), groups,
             threads(), has_bias, relu};
  for (const Dims* dims : {&x, &kernel, &y, &strides, &dilation, &low, &high}) {
    key.push_back(static_cast<std::int64_t>(dims->size()));
    key.insert(key.end(), dims->begin(), dims->end());
  }
  return key;
}

int ConvProblem::threads() const {
  if (checks()) return cnnjax::threads();
  const auto outputs = static_cast<double>(kernel.back());
  const double products = count(y) / outputs * static_cast<double>(count(kernel));
  const double wanted = std::ceil(products / kProductsPerThread);
  return static_cast<int>(std::clamp<double>(wanted, 1, cnnjax::threads()));
}

}  // namespace cnnjax

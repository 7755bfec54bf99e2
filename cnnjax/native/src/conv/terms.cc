#include "conv/terms.h"

namespace cnnjax {

namespace {

// As place_at of axes.h, for any number of axes.
Dims place_at(std::int64_t number, const Dims& sizes) {
  Dims place(sizes.size());
  for (std::size_t axis = sizes.size(); axis-- > 0; number /= sizes[axis]) {
    place[axis] = number % sizes[axis];
  }
  return place;
}

// Where tap k of the window at p lies on an axis of x.
std::int64_t index_of(const ConvProblem& problem, std::size_t axis, std::int64_t k,
                      std::int64_t p) {
  return problem.strides[axis] * p + problem.dilation[axis] * k - problem.low[axis];
}

// The number of the place of x that tap k of the window at p meets; -1 in the padding.
std::int64_t met(const ConvProblem& problem, const Dims& k, const Dims& p,
                 const Dims& sizes) {
  std::int64_t number = 0;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    const std::int64_t index = index_of(problem, axis, k[axis], p[axis]);
    if (index < 0 || index >= sizes[axis]) return -1;
    number = number * sizes[axis] + index;
  }
  return number;
}

}  // namespace

std::vector<ConvTerm> terms_of(const ConvProblem& problem, std::int64_t tap) {
  const Dims x_sizes = spatial(problem.x), y_sizes = spatial(problem.y);
  const Dims k = place_at(tap, taps_of(problem.kernel));
  std::vector<ConvTerm> terms;
  for (std::int64_t p = 0; p < count(y_sizes); ++p) {
    const std::int64_t q = met(problem, k, place_at(p, y_sizes), x_sizes);
    if (q < 0) continue;
    const bool next = !terms.empty() && q == terms.back().x + terms.back().places &&
                      p == terms.back().y + terms.back().places &&
                      q % x_sizes.back() && p % y_sizes.back();
    if (!next) terms.push_back({tap, q, p, 0});
    ++terms.back().places;
  }
  return terms;
}

double share_within(const ConvProblem& problem) {
  double share = 1;
  for (std::size_t axis = 0; axis < problem.strides.size(); ++axis) {
    const std::int64_t size = problem.x[axis + 1], places = problem.y[axis + 1];
    std::int64_t within = 0;
    for (std::int64_t pair = 0; pair < places * problem.kernel[axis]; ++pair) {
      const std::int64_t index = index_of(problem, axis, pair / places, pair % places);
      within += index >= 0 && index < size;
    }
    share *= static_cast<double>(within) /
             static_cast<double>(places * problem.kernel[axis]);
  }
  return share;
}

}  // namespace cnnjax

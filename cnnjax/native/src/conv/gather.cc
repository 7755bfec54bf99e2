#include "conv/gather.h"

#include <algorithm>
#include <cstring>

#include "common/arena.h"
#include "conv/plan.h"
#include "conv/terms.h"
#include "common/parallel.h"

namespace cnnjax {

namespace {
constexpr std::int64_t kBytesPerThread = 1 << 18;
}

bool ConvGather::suits(const ConvProblem& problem) {
  bool within = problem.strides.size() <= kAxes;
  for (std::size_t axis = 0; axis < problem.strides.size(); ++axis) {
    const std::int64_t last = (problem.y[axis + 1] - 1) * problem.strides[axis];
    within = within && problem.low[axis] == 0 && last < problem.x[axis + 1];
  }
  return within && problem.map == Map::kKernelGradient &&
         count(taps_of(problem.kernel)) == 1;
}

ConvProblem ConvGather::without_strides(ConvProblem problem) {
  std::copy(problem.y.begin(), problem.y.end() - 1, problem.x.begin());
  std::fill(problem.strides.begin(), problem.strides.end(), 1);
  std::fill(problem.dilation.begin(), problem.dilation.end(), 1);
  std::fill(problem.high.begin(), problem.high.end(), 0);
  return problem;
}

ConvGather::ConvGather(const ConvProblem& problem)
    : images_(problem.x.front()),
      place_bytes_(problem.x.back() * static_cast<std::int64_t>(
                                          dnnl::memory::data_type_size(problem.dtype))),
      x_sizes_(last_axes(spatial(problem.x), 1)),
      y_sizes_(last_axes(spatial(problem.y), 1)),
      strides_(last_axes(problem.strides, 1)),
      plan_(ConvPlan::of(without_strides(problem))) {
  threads_ = threads_for(images_ * product(y_sizes_) * place_bytes_, kBytesPerThread);
}

void ConvGather::run(const ConvArrays& arrays) const {
  const std::int64_t row_bytes = y_sizes_[2] * place_bytes_;
  const std::int64_t rows = images_ * y_sizes_[0] * y_sizes_[1];
  std::byte* copy =
      Arena::of_this_thread(Scratch::kImages).reserve(rows * row_bytes);
  on_threads(threads_, rows, [&](std::int64_t row) {
    const std::int64_t plane = row / y_sizes_[1], image = plane / y_sizes_[0];
    const std::int64_t x_plane =
        image * x_sizes_[0] + plane % y_sizes_[0] * strides_[0];
    const std::int64_t x_row = x_plane * x_sizes_[1] + row % y_sizes_[1] * strides_[1];
    const std::byte* from = arrays.x + x_row * x_sizes_[2] * place_bytes_;
    std::byte* to = copy + row * row_bytes;
    for (std::int64_t place = 0; place < y_sizes_[2]; ++place) {
      std::memcpy(to, from, place_bytes_);
      from += strides_[2] * place_bytes_;
      to += place_bytes_;
    }
  });
  plan_->run({copy, arrays.kernel, arrays.y, nullptr});
}

}  // namespace cnnjax

#include "pool/gather.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/parallel.h"

namespace cnnjax {

namespace {

// One axis of a window: output o and tap k meet at input s o + d k - p.
struct Line {
  std::int64_t taps, stride, dilation, low, inputs, outputs;

  // For each output, its taps that lie inside the image.
  std::vector<Reach> of_outputs() const {
    std::vector<Reach> places(outputs);
    for (std::int64_t o = 0; o < outputs; ++o) {
      const std::int64_t start = o * stride - low;
      const std::int64_t first = start >= 0 ? 0 : (dilation - 1 - start) / dilation;
      const std::int64_t stop =
          start >= inputs ? 0 : std::min(taps, (inputs - 1 - start) / dilation + 1);
      places[o] = reach(start + first * dilation, first, stop - first);
    }
    return places;
  }

  // For each input, the taps whose windows cover it. From one of them to the next, k
  // grows by s / gcd(s, d) and o falls by d / gcd(s, d).
  std::vector<Reach> of_inputs() const {
    std::vector<Reach> places(inputs);
    for (std::int64_t i = 0; i < inputs; ++i) {
      std::int64_t k = 0;
      for (; k < taps; ++k) {
        const std::int64_t start = i + low - k * dilation;
        if (start % stride == 0 && start / stride < outputs) break;
      }
      const std::int64_t start = i + low - k * dilation;
      if (k == taps || start < 0) continue;
      const std::int64_t o = start / stride;
      const std::int64_t by_taps = (taps - 1 - k) / tap_step();
      places[i] = reach(o, k, std::min(by_taps, o / output_step()) + 1);
    }
    return places;
  }

  std::int64_t tap_step() const { return stride / std::gcd(stride, dilation); }
  std::int64_t output_step() const { return dilation / std::gcd(stride, dilation); }

 private:
  static Reach reach(std::int64_t offset, std::int64_t tap, std::int64_t count) {
    if (count <= 0) return {0, 0, 0};
    return {offset, static_cast<std::int32_t>(tap), static_cast<std::int32_t>(count)};
  }
};

// The axes of a job, and the memory they point to.
class Axes {
 public:
  Axes(bool of_windows, const PoolProblem& problem) {
    const PerAxis& in = of_windows ? problem.x : problem.y;
    const PerAxis& out = of_windows ? problem.y : problem.x;
    std::int64_t values = problem.channels, taps = 1;
    for (std::size_t axis = kAxes; axis-- > 0;) {
      const Line line = {problem.taps[axis],     problem.strides[axis],
                         problem.dilation[axis], problem.low[axis],
                         problem.x[axis],        problem.y[axis]};
      places_[axis] = of_windows ? line.of_outputs() : line.of_inputs();
      for (Reach& reach : places_[axis]) {
        reach.offset *= values;
        reach.tap *= static_cast<std::int32_t>(taps);
      }
      const std::int64_t step = of_windows ? line.dilation : -line.output_step();
      const std::int64_t tap_step = of_windows ? 1 : line.tap_step();
      axes_[axis] = {places_[axis].data(), out[axis], step * values,
                     static_cast<std::int32_t>(tap_step * taps)};
      values *= in[axis];
      taps *= problem.taps[axis];
    }
  }

  Axis operator[](std::size_t axis) const { return axes_[axis]; }

 private:
  std::vector<Reach> places_[kAxes];
  Axis axes_[kAxes];
};

}  // namespace

void gather(Pool pool, bool of_windows, const PoolProblem& problem,
            const PoolArrays& arrays) {
  static const PoolLoop loop =
      best_for_this_cpu(pool_on_avx512, pool_on_avx2, pool_on_any);
  const Axes axes(of_windows, problem);
  const std::int64_t values =
      product(of_windows ? problem.x : problem.y) * problem.channels;
  const PoolJob job = {pool,
                       problem.is_bfloat16,
                       {axes[0], axes[1], axes[2]},
                       product(problem.taps),
                       problem.channels,
                       values,
                       arrays.in,
                       arrays.out,
                       arrays.which};
  const std::int64_t places =
      problem.images * product(of_windows ? problem.y : problem.x);
  share_among_threads(problem.threads(), loop, job, places);
}

}  // namespace cnnjax

#include "conv/outer.h"

#include <algorithm>
#include <numeric>

#include "common/arena.h"
#include "conv/terms.h"
#include "common/parallel.h"

namespace cnnjax {

namespace {

// What a part reads again for each tap and each tile is to stay in the first cache.
constexpr std::int64_t kPlacesOfBox = 64;
constexpr std::int64_t kWidestBlock = 64;  // channels

constexpr std::int64_t kFewestInputs = 8, kOutputs = 16;  // at a time
constexpr std::int64_t kValuesPerThread = 1 << 16;
constexpr std::int64_t kManyParts = 4;  // for each thread

// The width of ranges, none of which is wider than the widest block.
std::int64_t block_width(std::int64_t channels) {
  const std::int64_t width = divide_up(channels, divide_up(channels, kWidestBlock));
  return divide_up(width, kOutputs) * kOutputs;
}

bool has_only_avx2() {
  return uses(dnnl::cpu_isa::avx2) && !uses(dnnl::cpu_isa::avx512_core) &&
         __builtin_cpu_supports("fma");
}

}  // namespace

// The limits are measured: with a single tap, values are read for a few products, and
// oneDNN's loops read them faster.
bool ConvOuter::suits(const ConvProblem& problem) {
  static const bool can = has_only_avx2();
  const bool floats = problem.dtype == dnnl::memory::data_type::f32;
  const std::int64_t inputs = problem.x.back(), outputs = problem.y.back();
  return can && floats && problem.map == Map::kKernelGradient && problem.groups == 1 &&
         problem.strides.size() <= kAxes && count(taps_of(problem.kernel)) > 1 &&
         inputs >= kFewestInputs && outputs > 0 && outputs % kOutputs == 0;
}

ConvOuter::ConvOuter(const ConvProblem& problem)
    : threads_(problem.threads()),
      images_(problem.x.front()),
      inputs_(problem.x.back()),
      outputs_(problem.y.back()),
      taps_(last_axes(taps_of(problem.kernel), 1)),
      strides_(last_axes(problem.strides, 1)),
      dilation_(last_axes(problem.dilation, 1)),
      low_(last_axes(problem.low, 0)),
      x_sizes_(last_axes(spatial(problem.x), 1)),
      y_sizes_(last_axes(spatial(problem.y), 1)) {
  for (std::size_t axis = 0; axis < kAxes; ++axis) prepare_axis(axis);
  const auto at_least_one = [](std::int64_t number) {
    return std::max<std::int64_t>(number, 1);
  };
  box_[2] = std::min(y_sizes_[2], kPlacesOfBox);
  box_[1] = std::min(y_sizes_[1], at_least_one(kPlacesOfBox / box_[2]));
  box_[0] = 1;
  images_of_box_ = at_least_one(kPlacesOfBox / product(box_));
  prepare_parts();
}

void ConvOuter::prepare_axis(std::size_t axis) {
  const std::int64_t stride = strides_[axis];
  for (std::int64_t tap = 0; tap < taps_[axis]; ++tap) {
    const std::int64_t shift = low_[axis] - dilation_[axis] * tap;
    const std::int64_t last = x_sizes_[axis] - 1 + shift;
    const std::int64_t begin = shift > 0 ? divide_up(shift, stride) : 0;
    const std::int64_t end = last < 0 ? 0 : last / stride + 1;
    within_[axis].push_back({begin, std::min(end, y_sizes_[axis])});
  }
}

// The channels are divided first, for the cache; then the images, so that the threads
// have as many parts each, and last the taps.
void ConvOuter::prepare_parts() {
  const std::int64_t in_width = block_width(inputs_), out_width = block_width(outputs_);
  const std::int64_t blocks =
      divide_up(inputs_, in_width) * divide_up(outputs_, out_width);
  if (blocks < kManyParts * threads_) {
    shares_ = std::min(threads_ / std::gcd<std::int64_t>(blocks, threads_), images_);
  }
  const std::int64_t taps = product(taps_);
  const std::int64_t pieces = std::min(divide_up(threads_, blocks * shares_), taps);
  for (std::int64_t in = 0; in < inputs_; in += in_width) {
    for (std::int64_t out = 0; out < outputs_; out += out_width) {
      for (std::int64_t part = 0; part < pieces * shares_; ++part) {
        const std::int64_t piece = part / shares_, share = part % shares_;
        parts_.push_back({{in, std::min(in + in_width, inputs_)},
                          {out, std::min(out + out_width, outputs_)},
                          {taps * piece / pieces, taps * (piece + 1) / pieces},
                          share});
      }
    }
  }
}

void ConvOuter::run(const ConvArrays& arrays) const {
  const auto* x = reinterpret_cast<const float*>(arrays.x);
  const auto* y = reinterpret_cast<const float*>(arrays.y);
  auto* kernel = reinterpret_cast<float*>(arrays.kernel);
  const std::int64_t rows = product(taps_) * inputs_, size = rows * outputs_;
  // The sums of the first images are made in place, those of the others are added.
  auto* others = reinterpret_cast<float*>(
      Arena::of_this_thread(Scratch::kWork).reserve((shares_ - 1) * size * sizeof(float)));
  on_threads(threads_, static_cast<std::int64_t>(parts_.size()), [&](std::int64_t i) {
    const Part& part = parts_[i];
    run_part(part, x, y, part.share ? others + (part.share - 1) * size : kernel);
  });
  if (shares_ == 1) return;
  on_threads(threads_for(size, kValuesPerThread), rows, [&](std::int64_t row) {
    float* sum = kernel + row * outputs_;
    for (std::int64_t share = 1; share < shares_; ++share) {
      const float* other = others + (share - 1) * size + row * outputs_;
      for (std::int64_t i = 0; i < outputs_; ++i) sum[i] += other[i];
    }
  });
}

void ConvOuter::run_part(const Part& part, const float* x, const float* y,
                         float* kernel) const {
  OuterJob job = {};
  job.w = kernel + part.inputs.begin * outputs_ + part.outputs.begin;
  job.inputs = part.inputs.end - part.inputs.begin;
  job.outputs = part.outputs.end - part.outputs.begin;
  job.x_image = product(x_sizes_) * inputs_;
  job.x_row = strides_[1] * x_sizes_[2] * inputs_;
  job.x_step = strides_[2] * inputs_;
  job.y_image = product(y_sizes_) * outputs_;
  job.y_row = y_sizes_[2] * outputs_;
  job.y_step = outputs_;
  job.w_step = outputs_;
  for (std::int64_t tap = part.taps.begin; tap < part.taps.end; ++tap) {
    for (std::int64_t i = 0; i < job.inputs; ++i) {
      std::fill_n(job.w + (tap * inputs_ + i) * outputs_, job.outputs, 0.f);
    }
  }
  std::int64_t image = images_ * part.share / shares_;
  const std::int64_t end = images_ * (part.share + 1) / shares_;
  for (; image < end; image += job.images) {
    job.images = std::min(images_of_box_, end - image);
    job.x = x + image * job.x_image + part.inputs.begin;
    job.y = y + image * job.y_image + part.outputs.begin;
    add_boxes(job, part.taps);
  }
}

void ConvOuter::add_boxes(const OuterJob& job, Range taps) const {
  PerAxis begin;
  for (begin[0] = 0; begin[0] < y_sizes_[0]; begin[0] += box_[0]) {
    for (begin[1] = 0; begin[1] < y_sizes_[1]; begin[1] += box_[1]) {
      for (begin[2] = 0; begin[2] < y_sizes_[2]; begin[2] += box_[2]) {
        for (std::int64_t tap = taps.begin; tap < taps.end; ++tap) {
          add_tap(job, tap, begin);
        }
      }
    }
  }
}

// The part of a box whose windows meet the image with this tap.
ConvOuter::Box ConvOuter::met(const PerAxis& begin, const PerAxis& tap) const {
  Box part;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    const Range& within = within_[axis][tap[axis]];
    part[axis] = {std::max(begin[axis], within.begin),
                  std::min(begin[axis] + box_[axis], within.end)};
  }
  return part;
}

void ConvOuter::add_tap(OuterJob job, std::int64_t number, const PerAxis& begin) const {
  const PerAxis tap = place_at(number, taps_);
  const Box box = met(begin, tap);
  job.rows = box[1].end - box[1].begin;
  job.places = box[2].end - box[2].begin;
  if (job.rows <= 0 || job.places <= 0 || box[0].begin >= box[0].end) return;
  std::int64_t x_place = 0, y_place = 0;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    y_place = y_place * y_sizes_[axis] + box[axis].begin;
    x_place = x_place * x_sizes_[axis] + strides_[axis] * box[axis].begin +
              dilation_[axis] * tap[axis] - low_[axis];
  }
  job.x += x_place * inputs_;
  job.y += y_place * outputs_;
  job.w += number * inputs_ * outputs_;
  outer_on_avx2(job);
}

}  // namespace cnnjax

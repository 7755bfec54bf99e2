#include "conv_outer.h"

#include <algorithm>

#include "arena.h"
#include "parallel.h"

namespace cnnjax {

namespace {

// What a part reads again for each tap and each tile is to stay in the first cache.
constexpr std::int64_t kPlacesOfBox = 64;
constexpr std::int64_t kWidestBlock = 64;  // channels

constexpr std::int64_t kFewestInputs = 8, kOutputs = 16;  // at a time
constexpr std::int64_t kValuesPerThread = 1 << 16;

// The width of equal ranges, none of which is wider than the widest block.
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
  const std::int64_t taps = count(problem.kernel) / problem.x.back() / problem.y.back();
  return can && problem.map == Map::kKernelGradient && problem.groups == 1 && taps > 1 &&
         problem.dtype == dnnl::memory::data_type::f32 &&
         problem.strides.size() <= kAxes && problem.x.back() >= kFewestInputs &&
         problem.y.back() % kOutputs == 0;
}

ConvOuter::ConvOuter(const ConvProblem& problem)
    : threads_(problem.threads()),
      images_(problem.x.front()),
      inputs_(problem.x.back()),
      outputs_(problem.y.back()) {
  const std::size_t axes = problem.strides.size();
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    prepare_axis(problem, axis, kAxes - axes);
  }
  box_[2] = std::min(y_sizes_[2], kPlacesOfBox);
  box_[1] = std::min(y_sizes_[1], divide_up(kPlacesOfBox, box_[2]));
  box_[0] = 1;
  images_of_box_ = divide_up(kPlacesOfBox, box_[1] * box_[2]);
  const std::int64_t wide = block_width(inputs_), high = block_width(outputs_);
  for (std::int64_t in = 0; in < inputs_; in += wide) {
    for (std::int64_t out = 0; out < outputs_; out += high) {
      blocks_.push_back({{in, std::min(in + wide, inputs_)},
                         {out, std::min(out + high, outputs_)}});
    }
  }
  const auto blocks = static_cast<std::int64_t>(blocks_.size());
  shares_ = std::min<std::int64_t>(divide_up(threads_, blocks), images_);
}

// The axes that the problem lacks come first, of one place.
void ConvOuter::prepare_axis(const ConvProblem& problem, std::size_t axis,
                             std::size_t from) {
  const bool is_there = axis >= from;
  const std::size_t i = is_there ? axis - from : 0;
  taps_[axis] = is_there ? problem.kernel[i] : 1;
  strides_[axis] = is_there ? problem.strides[i] : 1;
  dilation_[axis] = is_there ? problem.dilation[i] : 1;
  low_[axis] = is_there ? problem.low[i] : 0;
  x_sizes_[axis] = is_there ? problem.x[i + 1] : 1;
  y_sizes_[axis] = is_there ? problem.y[i + 1] : 1;
  const std::int64_t stride = strides_[axis];
  for (std::int64_t tap = 0; tap < taps_[axis]; ++tap) {
    const std::int64_t shift = low_[axis] - dilation_[axis] * tap;
    const std::int64_t last = x_sizes_[axis] - 1 + shift;
    const std::int64_t begin = shift > 0 ? divide_up(shift, stride) : 0;
    const std::int64_t end = last < 0 ? 0 : last / stride + 1;
    within_[axis].push_back({begin, std::min(end, y_sizes_[axis])});
  }
}

void ConvOuter::run(const ConvArrays& arrays) const {
  const auto* x = reinterpret_cast<const float*>(arrays.x);
  const auto* y = reinterpret_cast<const float*>(arrays.y);
  auto* kernel = reinterpret_cast<float*>(arrays.kernel);
  const std::int64_t rows = taps_[0] * taps_[1] * taps_[2] * inputs_;
  const std::int64_t size = rows * outputs_;
  // The first images' sums are made in place, those of the others are added.
  auto* others = reinterpret_cast<float*>(
      Arena::of_this_thread().reserve((shares_ - 1) * size * sizeof(float)));
  const auto blocks = static_cast<std::int64_t>(blocks_.size());
  on_threads(threads_, blocks * shares_, [&](std::int64_t part) {
    const std::int64_t share = part % shares_;
    const Range images = {images_ * share / shares_, images_ * (share + 1) / shares_};
    add_images(blocks_[part / shares_], images, x, y,
               share ? others + (share - 1) * size : kernel);
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

void ConvOuter::add_images(const Block& block, Range images, const float* x,
                           const float* y, float* kernel) const {
  const auto [begin, end] = block.outputs;
  for (std::int64_t tap = 0; tap < taps_[0] * taps_[1] * taps_[2]; ++tap) {
    for (std::int64_t i = block.inputs.begin; i < block.inputs.end; ++i) {
      float* row = kernel + (tap * inputs_ + i) * outputs_;
      std::fill(row + begin, row + end, 0.f);
    }
  }
  OuterJob job = {};
  job.w = kernel + block.inputs.begin * outputs_ + begin;
  job.inputs = block.inputs.end - block.inputs.begin;
  job.outputs = end - begin;
  job.x_image = x_sizes_[0] * x_sizes_[1] * x_sizes_[2] * inputs_;
  job.x_row = strides_[1] * x_sizes_[2] * inputs_;
  job.x_step = strides_[2] * inputs_;
  job.y_image = y_sizes_[0] * y_sizes_[1] * y_sizes_[2] * outputs_;
  job.y_row = y_sizes_[2] * outputs_;
  job.y_step = outputs_;
  job.w_step = outputs_;
  for (std::int64_t image = images.begin; image < images.end; image += job.images) {
    job.images = std::min(images_of_box_, images.end - image);
    job.x = x + image * job.x_image + block.inputs.begin;
    job.y = y + image * job.y_image + begin;
    add_boxes(job);
  }
}

void ConvOuter::add_boxes(const OuterJob& job) const {
  Numbers at;
  for (at[0] = 0; at[0] < y_sizes_[0]; at[0] += box_[0]) {
    for (at[1] = 0; at[1] < y_sizes_[1]; at[1] += box_[1]) {
      for (at[2] = 0; at[2] < y_sizes_[2]; at[2] += box_[2]) add_box(job, at);
    }
  }
}

void ConvOuter::add_box(OuterJob job, const Numbers& begin) const {
  Numbers tap;
  for (tap[0] = 0; tap[0] < taps_[0]; ++tap[0]) {
    for (tap[1] = 0; tap[1] < taps_[1]; ++tap[1]) {
      for (tap[2] = 0; tap[2] < taps_[2]; ++tap[2]) {
        add_tap(job, tap, met(begin, tap));
        job.w += inputs_ * outputs_;
      }
    }
  }
}

// The part of a box whose windows meet the image with this tap.
ConvOuter::Box ConvOuter::met(const Numbers& begin, const Numbers& tap) const {
  Box part;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    const Range& within = within_[axis][tap[axis]];
    part[axis] = {std::max(begin[axis], within.begin),
                  std::min(begin[axis] + box_[axis], within.end)};
  }
  return part;
}

void ConvOuter::add_tap(OuterJob job, const Numbers& tap, const Box& box) const {
  job.rows = box[1].end - box[1].begin;
  job.places = box[2].end - box[2].begin;
  if (job.rows <= 0 || job.places <= 0 || box[0].begin >= box[0].end) return;
  std::int64_t x_place = 0, y_place = 0;
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    const std::int64_t begin = box[axis].begin;
    y_place = y_place * y_sizes_[axis] + begin;
    x_place = x_place * x_sizes_[axis] + strides_[axis] * begin +
              dilation_[axis] * tap[axis] - low_[axis];
  }
  job.x += x_place * inputs_;
  job.y += y_place * outputs_;
  add_outer_products(job);
}

}  // namespace cnnjax

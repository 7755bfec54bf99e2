// The poolings as custom calls of XLA, by loops of our own: oneDNN has no maximum that
// tells which tap won.
//
// Under vmap every array has the mapped axes in front, and these are more images.

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "guarded.h"
#include "parallel.h"
#include "pool_loops.h"
#include "xla/ffi/api/ffi.h"

namespace cnnjax {

namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Numbers = ffi::Span<const std::int64_t>;

constexpr std::size_t kAxes = 3;
constexpr std::int64_t kValuesPerThread = 1 << 17;  // some 50 microseconds of one core

// How the window slides, one number per axis; missing axes come first, of one place.
struct Slide {
  std::array<std::int64_t, kAxes> taps, strides, dilation, low;
};

using Sizes = std::array<std::int64_t, kAxes>;

// An array of a call, (images, planes, rows, columns, channels).
struct Images {
  void* data;
  std::int64_t batch;
  Sizes sizes;
  std::int64_t channels;
  ffi::DataType dtype;

  std::int64_t pixels() const { return sizes[0] * sizes[1] * sizes[2]; }
  bool holds_as_many_as(const Images& other) const {
    return batch == other.batch && sizes == other.sizes && channels == other.channels;
  }
};

Images make_images(const Buffer& buffer, std::size_t spatial) {
  const auto dims = buffer.dimensions();
  if (spatial > kAxes || dims.size() < spatial + 2) {
    throw std::invalid_argument("an array lacks axes");
  }
  Images images = {
      buffer.untyped_data(), 1, {1, 1, 1}, dims.back(), buffer.element_type()};
  const auto* split = dims.end() - 1 - spatial;
  std::copy(split, dims.end() - 1, images.sizes.end() - spatial);
  images.batch =
      std::accumulate(dims.begin(), split, std::int64_t{1}, std::multiplies<>());
  return images;
}

Slide make_slide(Numbers taps, Numbers strides, Numbers dilation, Numbers low) {
  Slide slide = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
  const std::size_t spatial = strides.size();
  for (const Numbers& numbers : {taps, dilation, low}) {
    if (numbers.size() != spatial || spatial > kAxes) {
      throw std::invalid_argument("the window's numbers differ in length");
    }
  }
  std::copy(taps.begin(), taps.end(), slide.taps.end() - spatial);
  std::copy(strides.begin(), strides.end(), slide.strides.end() - spatial);
  std::copy(dilation.begin(), dilation.end(), slide.dilation.end() - spatial);
  std::copy(low.begin(), low.end(), slide.low.end() - spatial);
  return slide;
}

// One axis of a window: output o and tap k meet at input s o + d k - p.
struct Line {
  std::int64_t taps, stride, dilation, low, inputs, outputs;

  // For each output, its taps that lie in the image.
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

  // For each input, the taps with which outputs meet it. From one to the next of these
  // k grows by s / gcd(s, d), and o falls by d / gcd(s, d).
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
struct Axes {
  std::vector<Reach> places[kAxes];

  void give(PoolJob& job, const Slide& slide, const Images& in, const Images& out,
            bool of_outputs) {
    const Images& x = of_outputs ? in : out;
    const Images& y = of_outputs ? out : in;
    std::int64_t values = in.channels, numbers = 1;
    for (std::size_t axis = kAxes; axis-- > 0;) {
      const Line line = {slide.taps[axis], slide.strides[axis], slide.dilation[axis],
                         slide.low[axis],  x.sizes[axis],       y.sizes[axis]};
      places[axis] = of_outputs ? line.of_outputs() : line.of_inputs();
      for (Reach& reach : places[axis]) {
        reach.offset *= values;
        reach.tap *= static_cast<std::int32_t>(numbers);
      }
      const std::int64_t step = of_outputs ? line.dilation : -line.output_step();
      const std::int64_t tap_step = of_outputs ? 1 : line.tap_step();
      job.axes[axis] = {places[axis].data(), out.sizes[axis], step * values,
                        static_cast<std::int32_t>(tap_step * numbers)};
      values *= in.sizes[axis];
      numbers *= slide.taps[axis];
    }
    job.image = values;
    job.taps = numbers;
  }
};

void run_on_threads(const PoolJob& job, std::int64_t pixels, std::int64_t work) {
  static const PoolLoop loop = best_for_this_cpu(pool_on_avx512, pool_on_avx2, pool_on_any);
  const int count = threads_for(work, kValuesPerThread);
  on_threads(count, count, [&](std::int64_t part) {
    loop(job, pixels * part / count, pixels * (part + 1) / count);
  });
}

// Makes `out` of `in`; `which` belongs to the maxima.
void run(Pool pool, bool of_outputs, const Slide& slide, const Images& in,
         const Images& out, const Images* which) {
  if (in.dtype != out.dtype || in.batch != out.batch || in.channels != out.channels) {
    throw std::invalid_argument("arrays do not go together");
  }
  if (in.dtype != ffi::DataType::F32 && in.dtype != ffi::DataType::BF16) {
    throw std::invalid_argument("arrays are neither float32 nor bfloat16");
  }
  const Images& y = of_outputs ? out : in;
  if (which && (which->dtype != ffi::DataType::U8 || !which->holds_as_many_as(y))) {
    throw std::invalid_argument("winners are no bytes of the shape of the maxima");
  }
  const std::int64_t pixels = out.batch * out.pixels();
  if (pixels == 0 || out.channels == 0) return;
  Axes axes;
  PoolJob job = {};
  job.pool = pool;
  job.is_bfloat16 = in.dtype == ffi::DataType::BF16;
  job.channels = in.channels;
  job.in = in.data;
  job.out = out.data;
  job.which = which ? static_cast<std::uint8_t*>(which->data) : nullptr;
  axes.give(job, slide, in, out, of_outputs);
  const std::int64_t work = std::max(pixels, in.batch * in.pixels()) * in.channels;
  run_on_threads(job, pixels, work);
}

ffi::Error max(Buffer x, ffi::Result<Buffer> y, ffi::Result<Buffer> which, Numbers taps,
               Numbers strides, Numbers dilation, Numbers low) {
  return guarded("max-pooling", [&] {
    const std::size_t spatial = strides.size();
    const Images winners = make_images(*which, spatial);
    run(Pool::kMax, true, make_slide(taps, strides, dilation, low),
        make_images(x, spatial), make_images(*y, spatial), &winners);
  });
}

ffi::Error place(Buffer dy, Buffer which, ffi::Result<Buffer> dx, Numbers taps,
                 Numbers strides, Numbers dilation, Numbers low) {
  return guarded("the gradient of max-pooling", [&] {
    const std::size_t spatial = strides.size();
    const Images winners = make_images(which, spatial);
    run(Pool::kPlace, false, make_slide(taps, strides, dilation, low),
        make_images(dy, spatial), make_images(*dx, spatial), &winners);
  });
}

ffi::Error sum(Buffer x, ffi::Result<Buffer> y, Numbers taps, Numbers strides,
               Numbers dilation, Numbers low) {
  return guarded("the sum of windows", [&] {
    const std::size_t spatial = strides.size();
    run(Pool::kSum, true, make_slide(taps, strides, dilation, low),
        make_images(x, spatial), make_images(*y, spatial), nullptr);
  });
}

ffi::Error spread(Buffer dy, ffi::Result<Buffer> dx, Numbers taps, Numbers strides,
                  Numbers dilation, Numbers low) {
  return guarded("the gradient of the sum of windows", [&] {
    const std::size_t spatial = strides.size();
    run(Pool::kSum, false, make_slide(taps, strides, dilation, low),
        make_images(dy, spatial), make_images(*dx, spatial), nullptr);
  });
}

template <class Binding>
auto with_window(Binding binding) {
  return std::move(binding)
      .template Attr<Numbers>("taps")
      .template Attr<Numbers>("strides")
      .template Attr<Numbers>("dilation")
      .template Attr<Numbers>("low");
}

auto one_array() { return ffi::Ffi::Bind().Arg<Buffer>().Ret<Buffer>(); }

}  // namespace

}  // namespace cnnjax

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cnnjax_max_pool_v1, cnnjax::max,
    cnnjax::with_window(cnnjax::one_array().Ret<cnnjax::Buffer>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_max_pool_place_v1, cnnjax::place,
                              cnnjax::with_window(xla::ffi::Ffi::Bind()
                                                      .Arg<cnnjax::Buffer>()
                                                      .Arg<cnnjax::Buffer>()
                                                      .Ret<cnnjax::Buffer>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_window_sum_v1, cnnjax::sum,
                              cnnjax::with_window(cnnjax::one_array()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnjax_window_spread_v1, cnnjax::spread,
                              cnnjax::with_window(cnnjax::one_array()));

#pragma GCC visibility pop

// The poolings as custom calls of XLA. The loops are our own, because oneDNN's maximum
// does not return the index of its tap.
//
// Under vmap every array has the mapped axes in front, which count as more images.

#include <functional>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "common/guarded.h"
#include "common/handler.h"
#include "pool/gather.h"
#include "pool/tiles.h"
#include "xla/ffi/api/ffi.h"

namespace cnnjax {

namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Numbers = ffi::Span<const std::int64_t>;

struct Window {
  Numbers taps, strides, dilation, low;
};

// An array of a call, (images, planes, rows, columns, channels).
struct Images {
  void* data;
  std::int64_t count;
  PerAxis sizes;
  std::int64_t channels;
  ffi::DataType dtype;

  bool holds_as_many_as(const Images& other) const {
    return count == other.count && sizes == other.sizes && channels == other.channels;
  }
};

Images make_images(const Buffer& buffer, const Window& window) {
  const std::size_t spatial = window.strides.size();
  const auto dims = buffer.dimensions();
  if (spatial > kAxes || dims.size() < spatial + 2) {
    throw std::invalid_argument("an array has too few axes for the window");
  }
  const std::size_t mapped = dims.size() - 1 - spatial;
  const std::int64_t images = std::accumulate(dims.begin(), dims.begin() + mapped,
                                              std::int64_t{1}, std::multiplies<>());
  const PerAxis sizes = last_axes(Numbers(dims.begin() + mapped, spatial), 1);
  return {buffer.untyped_data(), images, sizes, dims.back(), buffer.element_type()};
}

PoolProblem make_problem(const Window& window, const Images& x, const Images& y) {
  for (const Numbers& numbers : {window.taps, window.dilation, window.low}) {
    if (numbers.size() != window.strides.size()) {
      throw std::invalid_argument("the window's numbers differ in length");
    }
  }
  if (x.dtype != y.dtype || x.count != y.count || x.channels != y.channels) {
    throw std::invalid_argument("x and y differ in dtype, images or channels");
  }
  if (x.dtype != ffi::DataType::F32 && x.dtype != ffi::DataType::BF16) {
    throw std::invalid_argument("arrays are neither float32 nor bfloat16");
  }
  return {x.dtype == ffi::DataType::BF16,
          x.count,
          x.channels,
          x.sizes,
          y.sizes,
          last_axes(window.taps, 1),
          last_axes(window.strides, 1),
          last_axes(window.dilation, 1),
          last_axes(window.low, 0)};
}

std::uint8_t* winners_of(const Images& which, const Images& y) {
  if (which.dtype != ffi::DataType::U8 || !which.holds_as_many_as(y)) {
    throw std::invalid_argument("which does not hold bytes in the shape of the maxima");
  }
  return static_cast<std::uint8_t*>(which.data);
}

// Computes y from x.
void reduce(Pool pool, const Window& window, const Images& x, const Images& y,
            std::uint8_t* which) {
  const PoolProblem problem = make_problem(window, x, y);
  if (product(problem.y) * y.count * y.channels == 0) return;
  gather(pool, true, problem, {x.data, y.data, which});
}

// Computes x from y.
void spread(Pool pool, const Window& window, const Images& y, const Images& x,
            std::uint8_t* which) {
  const PoolProblem problem = make_problem(window, x, y);
  if (product(problem.x) * x.count * x.channels == 0) return;
  const PoolArrays arrays = {y.data, x.data, which};
  if (problem.is_tiled()) return fill_tiles(problem, arrays);
  gather(pool, false, problem, arrays);
}

ffi::Error max(Buffer x, ffi::Result<Buffer> y, ffi::Result<Buffer> which, Numbers taps,
               Numbers strides, Numbers dilation, Numbers low) {
  return guarded("max-pooling", [&] {
    const Window window = {taps, strides, dilation, low};
    const Images maxima = make_images(*y, window);
    reduce(Pool::kMax, window, make_images(x, window), maxima,
           winners_of(make_images(*which, window), maxima));
  });
}

ffi::Error place(Buffer dy, Buffer which, ffi::Result<Buffer> dx, Numbers taps,
                 Numbers strides, Numbers dilation, Numbers low) {
  return guarded("the gradient of max-pooling", [&] {
    const Window window = {taps, strides, dilation, low};
    const Images maxima = make_images(dy, window);
    spread(Pool::kPlace, window, maxima, make_images(*dx, window),
           winners_of(make_images(which, window), maxima));
  });
}

ffi::Error sum(Buffer x, ffi::Result<Buffer> y, Numbers taps, Numbers strides,
               Numbers dilation, Numbers low) {
  return guarded("the sum of windows", [&] {
    const Window window = {taps, strides, dilation, low};
    reduce(Pool::kSum, window, make_images(x, window), make_images(*y, window),
           nullptr);
  });
}

ffi::Error spread_sum(Buffer dy, ffi::Result<Buffer> dx, Numbers taps, Numbers strides,
                      Numbers dilation, Numbers low) {
  return guarded("the gradient of the sum of windows", [&] {
    const Window window = {taps, strides, dilation, low};
    spread(Pool::kSum, window, make_images(dy, window), make_images(*dx, window),
           nullptr);
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

CNNJAX_HANDLER(
    cnnjax_max_pool_v1, cnnjax::max,
    cnnjax::with_window(cnnjax::one_array().Ret<cnnjax::Buffer>()));
CNNJAX_HANDLER(cnnjax_max_pool_place_v1, cnnjax::place,
                              cnnjax::with_window(xla::ffi::Ffi::Bind()
                                                      .Arg<cnnjax::Buffer>()
                                                      .Arg<cnnjax::Buffer>()
                                                      .Ret<cnnjax::Buffer>()));
CNNJAX_HANDLER(cnnjax_window_sum_v1, cnnjax::sum,
                              cnnjax::with_window(cnnjax::one_array()));
CNNJAX_HANDLER(cnnjax_window_spread_v1, cnnjax::spread_sum,
                              cnnjax::with_window(cnnjax::one_array()));

// The three maps of a convolution as custom calls of XLA.
//
// Under vmap every array has the mapped axes in front, of size 1 where it is not
// mapped. A batch of images with one kernel is just a larger batch; anything else is a
// loop over the mapped axes.

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include "conv/plan.h"
#include "common/guarded.h"
#include "common/handler.h"
#include "xla/ffi/api/ffi.h"

namespace cnnjax {

namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Numbers = ffi::Span<const std::int64_t>;

// The window's numbers, one per spatial axis.
struct Window {
  Numbers strides, dilation, low, high;
  std::int64_t groups;
};

// An array of a call: where it is, and its axes without and within the mapped ones.
struct Operand {
  std::byte* data;
  Dims mapped, shape;
  std::size_t width;

  std::int64_t mapped_count() const { return count(mapped); }
  std::int64_t bytes() const { return count(shape) * static_cast<std::int64_t>(width); }
};

Operand make_operand(const Buffer& buffer, std::size_t rank) {
  const auto dims = buffer.dimensions();
  if (dims.size() < rank) throw std::invalid_argument("an array lacks axes");
  const auto* split = dims.end() - rank;
  return {static_cast<std::byte*>(buffer.untyped_data()), Dims(dims.begin(), split),
          Dims(split, dims.end()), ffi::ByteWidth(buffer.element_type())};
}

dnnl::memory::data_type dtype_of(const Buffer& buffer) {
  switch (buffer.element_type()) {
    case ffi::DataType::F32:
      return dnnl::memory::data_type::f32;
    case ffi::DataType::BF16:
      return dnnl::memory::data_type::bf16;
    default:
      throw std::invalid_argument("arrays are neither float32 nor bfloat16");
  }
}

Dims to_dims(Numbers numbers) { return Dims(numbers.begin(), numbers.end()); }

// The part of an array at one place of the mapped axes, in row-major order of `mapped`.
std::byte* at(const Operand& operand, const Dims& mapped, std::int64_t place) {
  std::int64_t index = 0, step = 1;
  for (std::size_t axis = mapped.size(); axis-- > 0;) {
    if (operand.mapped[axis] > 1) {
      index += place % mapped[axis] * step;
      step *= operand.mapped[axis];
    }
    place /= mapped[axis];
  }
  return operand.data + index * operand.bytes();
}

struct Call {
  Map map;
  dnnl::memory::data_type dtype;
  Operand x, kernel, y;
  std::optional<Operand> bias = {};
  bool relu = false;

  Operand& result() {
    return map == Map::kForward ? y : map == Map::kInputGradient ? x : kernel;
  }

  void run(const Window& window) {
    fold();
    Operand& out = result();
    const std::int64_t places = out.mapped_count();
    if (places * out.bytes() == 0) return;
    if (x.bytes() == 0 || kernel.bytes() == 0 || y.bytes() == 0) {
      if (bias) throw std::invalid_argument("a bias is added to sums without terms");
      std::memset(out.data, 0, places * out.bytes());  // sums without terms
      return;
    }
    const auto plan =
        ConvPlan::of({map, dtype, x.shape, kernel.shape, y.shape,
                      to_dims(window.strides), to_dims(window.dilation),
                      to_dims(window.low), to_dims(window.high), window.groups,
                      bias.has_value(), relu});
    for (std::int64_t place = 0; place < places; ++place) {
      plan->run({at(x, out.mapped, place), at(kernel, out.mapped, place),
                 at(y, out.mapped, place),
                 bias ? at(*bias, out.mapped, place) : nullptr});
    }
  }

 private:
  // Where one kernel slides over all mapped images, these become one batch.
  void fold() {
    if (map == Map::kKernelGradient || kernel.mapped_count() != 1) return;
    if (bias && bias->mapped_count() != 1) return;
    const std::int64_t places = x.mapped_count();
    if (places == 0) return;
    if (std::max(x.bytes(), y.bytes()) > kLargestBytes / places) return;
    for (Operand* images : {&x, &y}) {
      images->shape.front() *= places;
      images->mapped.clear();
    }
    kernel.mapped.clear();
    if (bias) bias->mapped.clear();
  }
};

ffi::Error forward(Buffer x, Buffer kernel, Buffer bias, ffi::Result<Buffer> y,
                   Numbers strides, Numbers dilation, Numbers low, Numbers high,
                   std::int64_t groups, std::int64_t has_bias, std::int64_t relu) {
  return guarded("oneDNN convolution", [&] {
    const std::size_t rank = strides.size() + 2;
    Call call = {Map::kForward, dtype_of(x), make_operand(x, rank),
                 make_operand(kernel, rank), make_operand(*y, rank)};
    if (has_bias) call.bias = make_operand(bias, 1);
    call.relu = relu != 0;
    call.run({strides, dilation, low, high, groups});
  });
}

ffi::Error input_gradient(Buffer dy, Buffer kernel, ffi::Result<Buffer> dx,
                          Numbers strides, Numbers dilation, Numbers low, Numbers high,
                          std::int64_t groups) {
  return guarded("oneDNN convolution", [&] {
    const std::size_t rank = strides.size() + 2;
    Call{Map::kInputGradient, dtype_of(dy), make_operand(*dx, rank),
         make_operand(kernel, rank), make_operand(dy, rank)}
        .run({strides, dilation, low, high, groups});
  });
}

ffi::Error kernel_gradient(Buffer x, Buffer dy, ffi::Result<Buffer> dkernel,
                           Numbers strides, Numbers dilation, Numbers low, Numbers high,
                           std::int64_t groups) {
  return guarded("oneDNN convolution", [&] {
    const std::size_t rank = strides.size() + 2;
    Call{Map::kKernelGradient, dtype_of(x), make_operand(x, rank),
         make_operand(*dkernel, rank), make_operand(dy, rank)}
        .run({strides, dilation, low, high, groups});
  });
}

template <class Binding>
auto with_window(Binding binding) {
  return std::move(binding)
      .template Attr<Numbers>("strides")
      .template Attr<Numbers>("dilation")
      .template Attr<Numbers>("low")
      .template Attr<Numbers>("high")
      .template Attr<std::int64_t>("groups");
}

auto two_arrays() { return ffi::Ffi::Bind().Arg<Buffer>().Arg<Buffer>(); }

}  // namespace

}  // namespace cnnjax

CNNJAX_HANDLER(
    cnnjax_conv_forward_v1, cnnjax::forward,
    cnnjax::with_window(
        cnnjax::two_arrays().Arg<cnnjax::Buffer>().Ret<cnnjax::Buffer>())
        .Attr<std::int64_t>("has_bias")
        .Attr<std::int64_t>("relu"));
CNNJAX_HANDLER(
    cnnjax_conv_input_gradient_v1, cnnjax::input_gradient,
    cnnjax::with_window(cnnjax::two_arrays().Ret<cnnjax::Buffer>()));
CNNJAX_HANDLER(
    cnnjax_conv_kernel_gradient_v1, cnnjax::kernel_gradient,
    cnnjax::with_window(cnnjax::two_arrays().Ret<cnnjax::Buffer>()));

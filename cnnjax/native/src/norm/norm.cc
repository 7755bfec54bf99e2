// Batch normalization as custom calls of XLA. The loops are our own, because oneDNN's
// cannot add a second array and need a mask in memory.
//
// Arrays are (rows, channels). Under vmap all of them have the mapped axes in front.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <vector>

#include "common/guarded.h"
#include "common/handler.h"
#include "norm/loops.h"
#include "common/parallel.h"
#include "xla/ffi/api/ffi.h"

namespace cnnjax {

namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;

constexpr std::int64_t kValuesPerThread = 1 << 16;  // about 20 microseconds of one core
constexpr std::int64_t kValuesPerPart = 1 << 13;
constexpr std::int64_t kMostParts = 64;

// The part of an array at one index of the mapped axes.
template <class T = void>
T* at(const Buffer& buffer, std::int64_t place, std::int64_t places) {
  const auto bytes = static_cast<std::int64_t>(buffer.size_bytes());
  return reinterpret_cast<T*>(static_cast<char*>(buffer.untyped_data()) +
                              bytes / places * place);
}

// The sizes of a call, read from x.
struct Sizes {
  std::int64_t places = 1, rows, channels;
  bool is_bfloat16;

  explicit Sizes(const Buffer& x) {
    const auto dims = x.dimensions();
    if (dims.size() < 2) throw std::invalid_argument("x lacks rows or channels");
    for (std::size_t axis = 0; axis + 2 < dims.size(); ++axis) places *= dims[axis];
    rows = dims[dims.size() - 2];
    channels = dims.back();
    is_bfloat16 = x.element_type() == ffi::DataType::BF16;
    if (!is_bfloat16 && x.element_type() != ffi::DataType::F32) {
      throw std::invalid_argument("x is neither float32 nor bfloat16");
    }
  }

  bool is_empty() const { return places * rows * channels == 0; }

  NormJob job(Norm map) const {
    NormJob job = {};
    job.map = map;
    job.is_bfloat16 = is_bfloat16;
    job.channels = channels;
    return job;
  }

  // `images` must have the size of x, `vectors` one value per channel.
  void check(std::initializer_list<const Buffer*> images,
             std::initializer_list<const Buffer*> vectors) const {
    const auto values = static_cast<std::size_t>(places * channels);
    for (const Buffer* image : images) {
      if (image->element_count() != values * rows) {
        throw std::invalid_argument("an array does not have the size of x");
      }
    }
    for (const Buffer* vector : vectors) {
      if (vector->element_type() != ffi::DataType::F32 ||
          vector->element_count() != values) {
        throw std::invalid_argument("an array does not have one float32 per channel");
      }
    }
  }
};

// Runs a loop over all rows; `sums` gets two rows of channels, or is null. The partial
// sums depend on the sizes alone, so the number of threads does not change the result.
void run(const NormJob& job, const Sizes& sizes, std::vector<double>* sums) {
  static const NormLoop loop =
      best_for_this_cpu(norm_on_avx512, norm_on_avx2, norm_on_any);
  const std::int64_t values = sizes.rows * sizes.channels;
  const std::int64_t parts =
      std::clamp<std::int64_t>(values / kValuesPerPart, 1, kMostParts);
  const std::size_t width = sums ? 2 * sizes.channels : 0;
  std::vector<float> of_parts(parts * width);
  on_threads(threads_for(values, kValuesPerThread), parts, [&](std::int64_t part) {
    loop(job, sizes.rows * part / parts, sizes.rows * (part + 1) / parts,
         of_parts.data() + part * width);
  });
  if (!sums) return;
  sums->assign(width, 0);
  for (std::size_t i = 0; i < of_parts.size(); ++i) (*sums)[i % width] += of_parts[i];
}

float as_float(const void* values, std::int64_t index, bool is_bfloat16) {
  if (!is_bfloat16) return static_cast<const float*>(values)[index];
  const std::uint32_t bits = static_cast<const std::uint16_t*>(values)[index];
  const std::uint32_t upper = bits << 16;
  float value;
  std::memcpy(&value, &upper, sizeof(value));
  return value;
}

// With d the distances to the first row, m = x_0 + E[d] and v = E[d^2] - E[d]^2, which
// is accurate even where the mean is much larger than the deviation.
void moments_at(const Sizes& sizes, const void* x, float* mean, float* variance) {
  std::vector<float> origin(sizes.channels);
  for (std::int64_t c = 0; c < sizes.channels; ++c) {
    const float value = as_float(x, c, sizes.is_bfloat16);
    origin[c] = std::isfinite(value) ? value : 0;
  }
  NormJob job = sizes.job(Norm::kMoments);
  job.x = x;
  job.mean = origin.data();
  std::vector<double> sums;
  run(job, sizes, &sums);
  for (std::int64_t c = 0; c < sizes.channels; ++c) {
    const double shift = sums[c] / sizes.rows;
    const double spread = sums[sizes.channels + c] / sizes.rows - shift * shift;
    mean[c] = static_cast<float>(origin[c] + shift);
    variance[c] = static_cast<float>(spread < 0 ? 0 : spread);
  }
}

ffi::Error moments(Buffer x, ffi::Result<Buffer> mean, ffi::Result<Buffer> variance) {
  return guarded("batch moments", [&] {
    const Sizes sizes(x);
    sizes.check({}, {&*mean, &*variance});
    const std::int64_t count = sizes.places * sizes.channels;
    if (sizes.rows == 0) {  // the mean of nothing
      const float nan = std::numeric_limits<float>::quiet_NaN();
      std::fill_n(at<float>(*mean, 0, 1), count, nan);
      std::fill_n(at<float>(*variance, 0, 1), count, nan);
    }
    if (sizes.is_empty()) return;
    for (std::int64_t place = 0; place < sizes.places; ++place) {
      moments_at(sizes, at(x, place, sizes.places),
                 at<float>(*mean, place, sizes.places),
                 at<float>(*variance, place, sizes.places));
    }
  });
}

ffi::Error apply(Buffer x, Buffer mean, Buffer factor, Buffer bias, Buffer add,
                 ffi::Result<Buffer> y, float relu, std::int64_t adds) {
  return guarded("batch normalization", [&] {
    const Sizes sizes(x);
    sizes.check({&*y, adds ? &add : &x}, {&mean, &factor, &bias});
    if (sizes.is_empty()) return;
    for (std::int64_t place = 0; place < sizes.places; ++place) {
      NormJob job = sizes.job(Norm::kApply);
      job.relu = relu > 0;
      job.largest = relu;
      job.x = at(x, place, sizes.places);
      job.mean = at<float>(mean, place, sizes.places);
      job.factor = at<float>(factor, place, sizes.places);
      job.bias = at<float>(bias, place, sizes.places);
      job.add = adds ? at(add, place, sizes.places) : nullptr;
      job.out = at(*y, place, sizes.places);
      run(job, sizes, nullptr);
    }
  });
}

// What the two maps of the backward pass have in common.
struct Backward {
  const Buffer &dy, &x, &mean, &factor, &bias;
  float relu;  // its largest value; 0: no ReLU

  NormJob job(const Sizes& sizes, Norm map, std::int64_t place) const {
    NormJob job = sizes.job(map);
    job.relu = relu > 0;
    job.largest = relu;
    job.dy = at(dy, place, sizes.places);
    job.x = at(x, place, sizes.places);
    job.mean = at<float>(mean, place, sizes.places);
    job.factor = at<float>(factor, place, sizes.places);
    job.bias = at<float>(bias, place, sizes.places);
    return job;
  }

  void check(const Sizes& sizes) const {
    sizes.check({&dy}, {&mean, &factor, &bias});
  }
};

ffi::Error sums(Buffer dy, Buffer x, Buffer y, Buffer mean, Buffer factor, Buffer bias,
                ffi::Result<Buffer> total, ffi::Result<Buffer> product,
                ffi::Result<Buffer> g, float relu, std::int64_t has_y) {
  return guarded("the sums of batch normalization's gradient", [&] {
    const Sizes sizes(x);
    const Backward backward = {dy, x, mean, factor, bias, relu};
    backward.check(sizes);
    const bool wants_g = g->element_count() > 0;
    sizes.check({has_y ? &y : &x, wants_g ? &*g : &x}, {&*total, &*product});
    std::vector<double> both(2 * sizes.channels);
    for (std::int64_t place = 0; place < sizes.places; ++place) {
      NormJob job = backward.job(sizes, Norm::kSums, place);
      job.y = has_y ? at(y, place, sizes.places) : nullptr;
      job.g = wants_g ? at(*g, place, sizes.places) : nullptr;
      if (!sizes.is_empty()) run(job, sizes, &both);
      const auto middle = both.begin() + sizes.channels;
      std::copy(both.begin(), middle, at<float>(*total, place, sizes.places));
      std::copy(middle, both.end(), at<float>(*product, place, sizes.places));
    }
  });
}

ffi::Error gradient(Buffer dy, Buffer x, Buffer mean, Buffer factor, Buffer bias,
                    Buffer by_distance, Buffer constant, ffi::Result<Buffer> dx,
                    float relu) {
  return guarded("batch normalization's gradient", [&] {
    const Sizes sizes(x);
    const Backward backward = {dy, x, mean, factor, bias, relu};
    backward.check(sizes);
    sizes.check({&*dx}, {&by_distance, &constant});
    if (sizes.is_empty()) return;
    for (std::int64_t place = 0; place < sizes.places; ++place) {
      NormJob job = backward.job(sizes, Norm::kGradient, place);
      job.by_distance = at<float>(by_distance, place, sizes.places);
      job.constant = at<float>(constant, place, sizes.places);
      job.out = at(*dx, place, sizes.places);
      run(job, sizes, nullptr);
    }
  });
}

template <class Binding>
auto with_choices(Binding binding, const char* second) {
  return std::move(binding).template Attr<float>("relu").template Attr<
      std::int64_t>(second);
}

template <int count>
auto arrays() {
  if constexpr (count > 0) {
    return arrays<count - 1>().template Arg<Buffer>();
  } else {
    return ffi::Ffi::Bind();
  }
}

}  // namespace

}  // namespace cnnjax

CNNJAX_HANDLER(
    cnnjax_batch_moments_v1, cnnjax::moments,
    cnnjax::arrays<1>().Ret<cnnjax::Buffer>().Ret<cnnjax::Buffer>());
CNNJAX_HANDLER(
    cnnjax_batch_norm_v1, cnnjax::apply,
    cnnjax::with_choices(cnnjax::arrays<5>().Ret<cnnjax::Buffer>(), "adds"));
CNNJAX_HANDLER(
    cnnjax_batch_norm_sums_v1, cnnjax::sums,
    cnnjax::with_choices(
        cnnjax::arrays<6>()
            .Ret<cnnjax::Buffer>()
            .Ret<cnnjax::Buffer>()
            .Ret<cnnjax::Buffer>(),
        "has_y"));
CNNJAX_HANDLER(
    cnnjax_batch_norm_gradient_v1, cnnjax::gradient,
    cnnjax::arrays<7>().Ret<cnnjax::Buffer>().Attr<float>("relu"));

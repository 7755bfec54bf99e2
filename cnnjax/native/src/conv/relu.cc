#include "conv/relu.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "conv/terms.h"
#include "common/parallel.h"

namespace cnnjax {

namespace {

constexpr std::int64_t kValuesPerThread = 1 << 17;
constexpr auto kHalf = dnnl::memory::data_type::bf16;

// Without the sign, the bits order numbers by magnitude; infinity and NaNs come last.
template <class Bits>
std::uint32_t largest_bits(const std::byte* values, std::int64_t begin,
                           std::int64_t end) {
  constexpr Bits magnitude = std::numeric_limits<Bits>::max();
  const auto* bits = reinterpret_cast<const Bits*>(values);
  Bits largest = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    largest = std::max<Bits>(largest, bits[i] & magnitude);
  }
  return largest;
}

// The largest magnitude in an array; NaN or infinity where it is not finite.
double largest_of(const std::byte* values, std::int64_t count,
                  dnnl::memory::data_type dtype) {
  const int threads = threads_for(count, kValuesPerThread);
  std::vector<std::uint32_t> largest(threads);
  on_threads(threads, threads, [&](std::int64_t part) {
    const std::int64_t begin = count * part / threads;
    const std::int64_t end = count * (part + 1) / threads;
    largest[part] = dtype == kHalf
                        ? largest_bits<std::int16_t>(values, begin, end) << 16
                        : largest_bits<std::int32_t>(values, begin, end);
  });
  const std::uint32_t bits = *std::max_element(largest.begin(), largest.end());
  float number;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

// The bits of -0 up to those of minus infinity become those of 0. Above are NaNs.
template <class Bits>
void relu(std::byte* values, std::int64_t begin, std::int64_t end, Bits zero,
          Bits infinity) {
  auto* bits = reinterpret_cast<Bits*>(values);
  for (std::int64_t i = begin; i < end; ++i) {
    const auto above = static_cast<Bits>(bits[i] - zero);
    bits[i] = above <= infinity ? Bits{0} : bits[i];
  }
}

}  // namespace

bool has_finite_sums(const ConvProblem& problem, const ConvArrays& arrays) {
  const auto largest = [&](const std::byte* values, const Dims& shape) {
    return largest_of(values, count(shape), problem.dtype);
  };
  const Dims &x = problem.x, &kernel = problem.kernel;
  const auto terms = static_cast<double>(count(kernel) / kernel.back());
  double bound = terms * largest(arrays.x, x) * largest(arrays.kernel, kernel);
  if (arrays.bias) bound += largest(arrays.bias, {kernel.back()});
  return bound < std::numeric_limits<float>::max() / 4;  // with room for rounding
}

void relu_in_place(std::byte* y, std::int64_t values, dnnl::memory::data_type dtype) {
  const int threads = threads_for(values, kValuesPerThread);
  on_threads(threads, threads, [=](std::int64_t part) {
    const std::int64_t begin = values * part / threads;
    const std::int64_t end = values * (part + 1) / threads;
    if (dtype == kHalf) {
      relu<std::uint16_t>(y, begin, end, 0x8000, 0x7f80);
    } else {
      relu<std::uint32_t>(y, begin, end, 0x80000000, 0x7f800000);
    }
  });
}

}  // namespace cnnjax

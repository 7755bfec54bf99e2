// The spatial axes of images. There are always three: the ones that an array lacks come
// first, with one place each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace cnnjax {

constexpr std::size_t kAxes = 3;
using PerAxis = std::array<std::int64_t, kAxes>;

// `numbers` for the last axes, one of them each.
template <class Range>
PerAxis last_axes(const Range& numbers, std::int64_t missing) {
  PerAxis all = {missing, missing, missing};
  std::copy(numbers.begin(), numbers.end(), all.end() - numbers.size());
  return all;
}

inline std::int64_t product(const PerAxis& numbers) {
  return numbers[0] * numbers[1] * numbers[2];
}

// The index on each axis of the place with this number, in row-major order.
inline PerAxis place_at(std::int64_t number, const PerAxis& sizes) {
  return {number / sizes[2] / sizes[1], number / sizes[2] % sizes[1],
          number % sizes[2]};
}

}  // namespace cnnjax

// The loops of the poolings, compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace cnnjax {

// Along one axis, the pairs (tap, position in the other array) that contribute to one
// position: `count` of them. The first is given, the others follow in the steps of
// `Axis`.
struct Reach {
  std::int64_t offset;  // of the position in the other array, in values
  std::int32_t tap, count;
};

struct Axis {
  const Reach* places;
  std::int64_t size;
  std::int64_t offset_step;
  std::int32_t tap_step;
};

enum class Pool : std::int64_t { kMax, kPlace, kSum };

// Each value of `out` is computed from the values of `in` that its windows cover.
// `kMax` writes the index of the tap with the maximum to `which`; `kPlace` adds a value
// where `which` holds the index of its tap.
struct PoolJob {
  Pool pool;
  bool is_bfloat16;
  Axis axes[3];
  std::int64_t taps;
  std::int64_t channels;
  std::int64_t image;  // values of one image of `in`
  const void* in;
  void* out;
  std::uint8_t* which;
};

// Computes the pixels from `begin` to `end`, numbered through the whole batch.
using PoolLoop = void (*)(const PoolJob&, std::int64_t begin, std::int64_t end);

void pool_on_avx512(const PoolJob&, std::int64_t begin, std::int64_t end);
void pool_on_avx2(const PoolJob&, std::int64_t begin, std::int64_t end);
void pool_on_any(const PoolJob&, std::int64_t begin, std::int64_t end);

}  // namespace cnnjax

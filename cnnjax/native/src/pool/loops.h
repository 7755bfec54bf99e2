// The loops of the poolings, compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace cnnjax {

// Along one axis, what the windows join to one place: `count` pairs of a tap and a
// place of the other array, the first ones given, the next ones a step of `Axis` away.
struct Reach {
  std::int64_t offset;  // of the other place, in values
  std::int32_t tap, count;
};

struct Axis {
  const Reach* places;
  std::int64_t size;
  std::int64_t offset_step;
  std::int32_t tap_step;
};

enum class Pool : std::int64_t { kMax, kPlace, kSum };

// Each value of `out` is made of the values of `in` that the windows join to it. The
// maximum writes into `which` the number of the tap that won; `kPlace` sums where the
// number in `which` is the tap's.
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

// Computes the pixels from `begin` to `end`, counted through the whole batch.
using PoolLoop = void (*)(const PoolJob&, std::int64_t begin, std::int64_t end);

void pool_on_avx512(const PoolJob&, std::int64_t begin, std::int64_t end);
void pool_on_avx2(const PoolJob&, std::int64_t begin, std::int64_t end);
void pool_on_any(const PoolJob&, std::int64_t begin, std::int64_t end);

}  // namespace cnnjax

// The loops of windows that tile an image, compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace cnnjax {

// Copies each value of `in` to the tap of its window in `out` that `which` names, and
// zeros to the other taps; without `which`, copies it to all taps.
struct TileJob {
  bool is_bfloat16;
  std::int64_t channels;
  std::int64_t windows[3];  // planes, rows and columns of windows in an image
  std::int64_t steps[4];    // in `out`, from one image to the next, plane, row, column
  const std::int64_t* offsets;  // of the taps in `out`, from the first one of a window
  std::int32_t taps;
  const void* in;
  const std::uint8_t* which;
  void* out;
};

// Fills the windows from `begin` to `end`, numbered through the whole batch.
using TileLoop = void (*)(const TileJob&, std::int64_t begin, std::int64_t end);

void tile_on_avx512(const TileJob&, std::int64_t begin, std::int64_t end);
void tile_on_avx2(const TileJob&, std::int64_t begin, std::int64_t end);
void tile_on_any(const TileJob&, std::int64_t begin, std::int64_t end);

}  // namespace cnnjax

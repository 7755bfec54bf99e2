#include "pool/tiles.h"

#include <vector>

#include "common/parallel.h"
#include "pool/tile_loops.h"

namespace cnnjax {

namespace {

// Distance of each tap from the first tap of its window, in values of x.
std::vector<std::int64_t> offsets_of(const PerAxis& taps, const PerAxis& steps) {
  std::vector<std::int64_t> offsets;
  for (std::int64_t tap = 0; tap < product(taps); ++tap) {
    const PerAxis place = place_at(tap, taps);
    offsets.push_back(place[0] * steps[0] + place[1] * steps[1] + place[2] * steps[2]);
  }
  return offsets;
}

}  // namespace

void fill_tiles(const PoolProblem& problem, const PoolArrays& arrays) {
  static const TileLoop loop =
      best_for_this_cpu(tile_on_avx512, tile_on_avx2, tile_on_any);
  const auto& [planes, rows, columns] = problem.x;
  const auto& taps = problem.taps;
  const std::int64_t row = columns * problem.channels, plane = rows * row;
  const auto offsets = offsets_of(taps, {plane, row, problem.channels});
  const TileJob job = {
      problem.is_bfloat16,
      problem.channels,
      {problem.y[0], problem.y[1], problem.y[2]},
      {planes * plane, taps[0] * plane, taps[1] * row, taps[2] * problem.channels},
      offsets.data(),
      static_cast<std::int32_t>(offsets.size()),
      arrays.in,
      arrays.which,
      arrays.out};
  share_among_threads(problem.threads(), loop, job,
                      problem.images * product(problem.y));
}

}  // namespace cnnjax

// CMake compiles this file once for each instruction set, under the name
// CNNJAX_NORM_LOOP, and without fused multiply-add: the backward pass computes y again
// and must get the same sign.

#include "norm/loops.h"

#include "common/vectors.h"

namespace cnnjax {

namespace {

template <int lanes>
using Floats = Vector<float, lanes>;

// A few rows of a few channels, of which `first` is the index of the first value.
template <class T, int lanes>
struct Tile {
  const NormJob& job;
  std::int64_t first, channel;

  Floats<lanes> read(const void* array, int row) const {
    return load_floats<lanes>(static_cast<const T*>(array) + place(row));
  }

  void write(Floats<lanes> values, void* array, int row) const {
    store_floats<lanes>(rounded<T, lanes>(values), static_cast<T*>(array) + place(row));
  }

  Floats<lanes> of_channel(const float* row) const {
    return load_floats<lanes>(row + channel);
  }

  // y, before ReLU.
  Floats<lanes> output(Floats<lanes> distance, int row) const {
    Floats<lanes> y = distance * of_channel(job.factor) + of_channel(job.bias);
    if (job.add) y += read(job.add, row);
    return y;
  }

  // g.
  Floats<lanes> passed(Floats<lanes> distance, int row) const {
    const Floats<lanes> dy = read(job.dy, row), zero = {};
    if (!job.relu) return dy;
    const Floats<lanes> y = job.y ? read(job.y, row) : output(distance, row);
    return (y > zero) & (y < zero + job.largest) ? dy : zero;
  }

 private:
  std::int64_t place(int row) const { return first + row * job.channels; }
};

template <int lanes>
void add_to(float* sums, Floats<lanes> values) {
  store_floats<lanes>(load_floats<lanes>(sums) + values, sums);
}

template <Norm map, class T, int lanes, int rows>
void run_tile(const Tile<T, lanes>& tile, float* sums) {
  const NormJob& job = tile.job;
  const Floats<lanes> mean = tile.of_channel(job.mean), zero = {};
  Floats<lanes> one = zero, other = zero;
  for (int row = 0; row < rows; ++row) {
    const Floats<lanes> distance = tile.read(job.x, row) - mean;
    if constexpr (map == Norm::kMoments) {
      one += distance;
      other += distance * distance;
    } else if constexpr (map == Norm::kApply) {
      Floats<lanes> y = tile.output(distance, row);
      if (job.relu) {
        y = y <= zero ? zero : y;
        y = y > zero + job.largest ? zero + job.largest : y;
      }
      tile.write(y, job.out, row);
    } else if constexpr (map == Norm::kSums) {
      const Floats<lanes> g = tile.passed(distance, row);
      if (job.g) tile.write(g, job.g, row);
      one += g;
      other += g * distance;
    } else {
      const Floats<lanes> g = tile.passed(distance, row);
      const Floats<lanes> dx = g * tile.of_channel(job.factor) +
                               distance * tile.of_channel(job.by_distance) +
                               tile.of_channel(job.constant);
      tile.write(dx, job.out, row);
    }
  }
  if constexpr (map == Norm::kMoments || map == Norm::kSums) {
    add_to<lanes>(sums + tile.channel, one);
    add_to<lanes>(sums + job.channels + tile.channel, other);
  }
}

template <Norm map, class T, int lanes, int rows>
std::int64_t run_channels(const NormJob& job, std::int64_t row, float* sums,
                          std::int64_t channel) {
  for (; channel + lanes <= job.channels; channel += lanes) {
    run_tile<map, T, lanes, rows>({job, row * job.channels + channel, channel}, sums);
  }
  return channel;
}

template <Norm map, class T, int rows>
void run_rows(const NormJob& job, std::int64_t row, float* sums) {
  std::int64_t channel = 0;
  channel = run_channels<map, T, kLanes, rows>(job, row, sums, channel);
  channel = run_channels<map, T, 4, rows>(job, row, sums, channel);
  run_channels<map, T, 1, rows>(job, row, sums, channel);
}

template <Norm map, class T>
void run(const NormJob& job, std::int64_t begin, std::int64_t end, float* sums) {
  constexpr int kRows = 8;
  std::int64_t row = begin;
  for (; row + kRows <= end; row += kRows) run_rows<map, T, kRows>(job, row, sums);
  for (; row < end; ++row) run_rows<map, T, 1>(job, row, sums);
}

template <class T>
void run_norm(const NormJob& job, std::int64_t begin, std::int64_t end, float* sums) {
  switch (job.map) {
    case Norm::kMoments:
      return run<Norm::kMoments, T>(job, begin, end, sums);
    case Norm::kApply:
      return run<Norm::kApply, T>(job, begin, end, sums);
    case Norm::kSums:
      return run<Norm::kSums, T>(job, begin, end, sums);
    case Norm::kGradient:
      return run<Norm::kGradient, T>(job, begin, end, sums);
  }
}

}  // namespace

void CNNJAX_NORM_LOOP(const NormJob& job, std::int64_t begin, std::int64_t end,
                      float* sums) {
  if (job.is_bfloat16) {
    run_norm<Half>(job, begin, end, sums);
  } else {
    run_norm<float>(job, begin, end, sums);
  }
}

}  // namespace cnnjax

// CMake compiles this file once for each instruction set, under the name
// CNNJAX_POOL_LOOP.

#include "pool/loops.h"

#include "common/vectors.h"

namespace cnnjax {

namespace {

// The contributions to the pixels of one row, except along the columns. It is a copy of
// the job's numbers, because the compiler must assume that bytes written to `which`
// change the job.
struct Row {
  std::int64_t offset, plane_step, row_step, column_step;
  std::int32_t tap, plane_tap_step, row_tap_step, column_tap_step;
  std::int32_t planes, rows;
  std::int64_t taps;  // of a whole window

  Row(const PoolJob& job, const Reach& of_planes, const Reach& of_rows)
      : offset(of_planes.offset + of_rows.offset),
        plane_step(job.axes[0].offset_step),
        row_step(job.axes[1].offset_step),
        column_step(job.axes[2].offset_step),
        tap(of_planes.tap + of_rows.tap),
        plane_tap_step(job.axes[0].tap_step),
        row_tap_step(job.axes[1].tap_step),
        column_tap_step(job.axes[2].tap_step),
        planes(of_planes.count),
        rows(of_rows.count),
        taps(job.taps) {}
};

struct Pixel {
  Row row;
  Reach columns;

  // Visits the pairs in the order of their taps.
  template <class Visit>
  void visit(const Visit& visit) const {
    for (std::int32_t p = 0; p < row.planes; ++p) {
      for (std::int32_t r = 0; r < row.rows; ++r) {
        std::int64_t offset =
            row.offset + p * row.plane_step + r * row.row_step + columns.offset;
        std::int32_t tap =
            row.tap + p * row.plane_tap_step + r * row.row_tap_step + columns.tap;
        for (std::int32_t c = 0; c < columns.count; ++c) {
          visit(offset, tap);
          offset += row.column_step;
          tap += row.column_tap_step;
        }
      }
    }
  }

  // The padding adds zeros to the sum, and 0 + -0 is 0.
  float neutral() const {
    const std::int64_t pairs = std::int64_t{row.planes} * row.rows * columns.count;
    return pairs == row.taps ? -0.0f : 0.0f;
  }
};

// The maxima of `parts` vectors of channels for one pixel. GCC keeps them in registers
// only if it unrolls the loops over the parts early.
template <class T, int lanes, int parts>
void take_maximum(const Pixel& pixel, const T* in, T* out, std::uint8_t* which) {
  using Floats = Vector<float, lanes>;
  using Numbers = Vector<std::int32_t, lanes>;
  Floats best[parts];
  Numbers winner[parts];
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) {
    best[part] = Floats{} - __builtin_inff();
    winner[part] = Numbers{};
  }
  pixel.visit([&](std::int64_t offset, std::int32_t tap) {
#pragma GCC unroll 4
    for (int part = 0; part < parts; ++part) {
      const Floats value = load_floats<lanes>(in + offset + part * lanes);
      Floats& most = best[part];
      // A NaN counts as the maximum, and nothing replaces it.
      const Numbers stays = (value <= most) | (most != most);
      most = stays ? most : value;
      winner[part] = stays ? winner[part] : Numbers{} + tap;
    }
  });
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) {
    store_floats<lanes>(best[part], out + part * lanes);
    store_bytes<lanes>(winner[part], which + part * lanes);
  }
}

template <class T, int lanes, int parts, bool placed>
void add_up(const Pixel& pixel, const T* in, T* out, const std::uint8_t* which) {
  using Floats = Vector<float, lanes>;
  Floats sum[parts];
  const float neutral = pixel.neutral();
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) sum[part] = neutral - Floats{};  // keeps -0
  pixel.visit([&](std::int64_t offset, std::int32_t tap) {
#pragma GCC unroll 4
    for (int part = 0; part < parts; ++part) {
      const std::int64_t from = offset + part * lanes;
      Floats value = load_floats<lanes>(in + from);
      if constexpr (placed) {
        const auto winner = load_wide<std::uint8_t, lanes>(which + from);
        value = winner == tap ? value : Floats{};
      }
      sum[part] += value;
    }
  });
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) {
    store_floats<lanes>(rounded<T, lanes>(sum[part]), out + part * lanes);
  }
}

template <Pool pool, class T>
void run(const PoolJob& job, std::int64_t begin, std::int64_t end) {
  const auto& [planes, rows, columns] = job.axes;
  for (std::int64_t number = begin; number < end;) {
    const std::int64_t row = number / columns.size, plane = row / rows.size;
    const std::int64_t image = plane / planes.size;
    std::int64_t column = number % columns.size;
    Pixel pixel = {
        {job, planes.places[plane % planes.size], rows.places[row % rows.size]}, {}};
    const T* in = static_cast<const T*>(job.in) + image * job.image;
    for (; column < columns.size && number < end; ++column, ++number) {
      pixel.columns = columns.places[column];
      T* out = static_cast<T*>(job.out) + number * job.channels;
      // `which` has the layout of the maxima: of `out`, or of `in` for `kPlace`.
      std::uint8_t* which =
          job.which + (pool == Pool::kMax ? number * job.channels : image * job.image);
      // Captured by value: bytes written to `which` could change what a reference
      // means.
      over_channels(job.channels, [=](auto lanes, auto parts, std::int64_t channel) {
        if constexpr (pool == Pool::kMax) {
          take_maximum<T, lanes, parts>(pixel, in + channel, out + channel,
                                        which + channel);
        } else {
          add_up<T, lanes, parts, pool == Pool::kPlace>(pixel, in + channel,
                                                        out + channel, which + channel);
        }
      });
    }
  }
}

template <class T>
void run_pool(const PoolJob& job, std::int64_t begin, std::int64_t end) {
  switch (job.pool) {
    case Pool::kMax:
      return run<Pool::kMax, T>(job, begin, end);
    case Pool::kPlace:
      return run<Pool::kPlace, T>(job, begin, end);
    case Pool::kSum:
      return run<Pool::kSum, T>(job, begin, end);
  }
}

}  // namespace

void CNNJAX_POOL_LOOP(const PoolJob& job, std::int64_t begin, std::int64_t end) {
  if (job.is_bfloat16) {
    run_pool<Half>(job, begin, end);
  } else {
    run_pool<float>(job, begin, end);
  }
}

}  // namespace cnnjax

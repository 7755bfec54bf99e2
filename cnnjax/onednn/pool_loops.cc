// CMake compiles this file once for each instruction set, under the name
// CNNJAX_POOL_LOOP.

#include "pool_loops.h"

#include "vectors.h"

namespace cnnjax {

namespace {

// What the windows join to one pixel, along each axis.
struct Pixel {
  const Reach* reach[3];

  // Visits the pairs in the order of their taps.
  template <class Visit>
  void visit(const PoolJob& job, const Visit& visit) const {
    const auto& [planes, rows, columns] = reach;
    const Axis* axes = job.axes;
    for (std::int32_t p = 0; p < planes->count; ++p) {
      for (std::int32_t r = 0; r < rows->count; ++r) {
        std::int64_t offset = planes->offset + p * axes[0].offset_step + rows->offset +
                              r * axes[1].offset_step + columns->offset;
        std::int32_t tap = planes->tap + p * axes[0].tap_step + rows->tap +
                           r * axes[1].tap_step + columns->tap;
        for (std::int32_t c = 0; c < columns->count; ++c) {
          visit(offset, tap);
          offset += axes[2].offset_step;
          tap += axes[2].tap_step;
        }
      }
    }
  }

  // Zeros of the padding are terms of a sum too, and 0 + -0 is 0.
  float neutral(const PoolJob& job) const {
    const std::int64_t pairs =
        std::int64_t{reach[0]->count} * reach[1]->count * reach[2]->count;
    return pairs == job.taps ? -0.0f : 0.0f;
  }
};

// The values of `parts` vectors of channels from one channel on, for one pixel.
template <class T, int lanes, int parts>
void take_maximum(const PoolJob& job, const Pixel& pixel, const T* in, T* out,
                  std::uint8_t* which) {
  using Floats = Vector<float, lanes>;
  using Numbers = Vector<std::int32_t, lanes>;
  Floats best[parts];
  Numbers winner[parts] = {};
  for (auto& lowest : best) lowest = Floats{} - __builtin_inff();
  pixel.visit(job, [&](std::int64_t offset, std::int32_t tap) {
    for (int part = 0; part < parts; ++part) {
      const Floats value = load_floats<lanes>(in + offset + part * lanes);
      Floats& most = best[part];
      // Larger, or the first NaN.
      const Numbers wins = (value > most) | ((value != value) & (most == most));
      most = wins ? value : most;
      winner[part] = wins ? Numbers{} + tap : winner[part];
    }
  });
  for (int part = 0; part < parts; ++part) {
    store_floats<lanes>(best[part], out + part * lanes);
    using Bytes = Vector<std::uint8_t, lanes>;
    const auto bytes = __builtin_convertvector(winner[part], Bytes);
    std::memcpy(which + part * lanes, &bytes, sizeof(bytes));
  }
}

template <class T, int lanes, int parts, bool placed>
void add_up(const PoolJob& job, const Pixel& pixel, const T* in, T* out,
            const std::uint8_t* which) {
  using Floats = Vector<float, lanes>;
  Floats sum[parts];
  for (auto& start : sum) start = Floats{} + pixel.neutral(job);
  pixel.visit(job, [&](std::int64_t offset, std::int32_t tap) {
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
  for (int part = 0; part < parts; ++part) {
    store_floats<lanes>(rounded<T, lanes>(sum[part]), out + part * lanes);
  }
}

// Channels from `channel` on, as long as so many of them are left.
template <Pool pool, class T, int lanes, int parts>
std::int64_t run_channels(const PoolJob& job, const Pixel& pixel, const T* in, T* out,
                          std::uint8_t* which, std::int64_t channel) {
  for (; channel + lanes * parts <= job.channels; channel += lanes * parts) {
    if constexpr (pool == Pool::kMax) {
      take_maximum<T, lanes, parts>(job, pixel, in + channel, out + channel,
                                    which + channel);
    } else {
      add_up<T, lanes, parts, pool == Pool::kPlace>(job, pixel, in + channel,
                                                    out + channel, which + channel);
    }
  }
  return channel;
}

template <Pool pool, class T>
void run(const PoolJob& job, std::int64_t begin, std::int64_t end) {
  const auto& [planes, rows, columns] = job.axes;
  for (std::int64_t number = begin; number < end;) {
    const std::int64_t row = number / columns.size, plane = row / rows.size;
    const std::int64_t image = plane / planes.size;
    std::int64_t column = number % columns.size;
    Pixel pixel = {
        {planes.places + plane % planes.size, rows.places + row % rows.size, nullptr}};
    const T* in = static_cast<const T*>(job.in) + image * job.image;
    for (; column < columns.size && number < end; ++column, ++number) {
      pixel.reach[2] = columns.places + column;
      T* out = static_cast<T*>(job.out) + number * job.channels;
      // The winners lie beside the maxima: beside `out` or, to place, beside `in`.
      std::uint8_t* which =
          job.which + (pool == Pool::kMax ? number * job.channels : image * job.image);
      std::int64_t channel = 0;
      channel = run_channels<pool, T, kLanes, 4>(job, pixel, in, out, which, channel);
      channel = run_channels<pool, T, kLanes, 2>(job, pixel, in, out, which, channel);
      channel = run_channels<pool, T, kLanes, 1>(job, pixel, in, out, which, channel);
      channel = run_channels<pool, T, 4, 1>(job, pixel, in, out, which, channel);
      run_channels<pool, T, 1, 1>(job, pixel, in, out, which, channel);
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

// CMake compiles this file once for each instruction set, under the name
// CNNJAX_TILE_LOOP.

#include "pool/tile_loops.h"

#include "common/vectors.h"

namespace cnnjax {

namespace {

// Fills one window for `parts` vectors of channels. GCC keeps them in registers only if
// it unrolls the loops over the parts early.
template <class T, int lanes, int parts, bool placed>
void fill(const TileJob& job, const T* in, const std::uint8_t* which, T* out) {
  using Floats = Vector<float, lanes>;
  using Numbers = Vector<std::int32_t, lanes>;
  Floats value[parts];
  Numbers winner[parts];
#pragma GCC unroll 4
  for (int part = 0; part < parts; ++part) {
    value[part] = load_floats<lanes>(in + part * lanes);
    if constexpr (placed) {
      winner[part] = load_wide<std::uint8_t, lanes>(which + part * lanes);
    }
  }
  for (std::int32_t tap = 0; tap < job.taps; ++tap) {
    T* to = out + job.offsets[tap];
#pragma GCC unroll 4
    for (int part = 0; part < parts; ++part) {
      Floats here = value[part];
      if constexpr (placed) here = winner[part] == tap ? here : Floats{};
      store_floats<lanes>(here, to + part * lanes);
    }
  }
}

template <class T, bool placed>
void fill_windows(const TileJob& job, std::int64_t begin, std::int64_t end) {
  const auto& [planes, rows, columns] = job.windows;
  for (std::int64_t number = begin; number < end;) {
    const std::int64_t row = number / columns, plane = row / rows;
    std::int64_t column = number % columns;
    T* start = static_cast<T*>(job.out) + plane / planes * job.steps[0] +
               plane % planes * job.steps[1] + row % rows * job.steps[2];
    for (; column < columns && number < end; ++column, ++number) {
      T* out = start + column * job.steps[3];
      const T* in = static_cast<const T*>(job.in) + number * job.channels;
      const std::uint8_t* which = job.which + number * job.channels;
      over_channels(job.channels, [=](auto lanes, auto parts, std::int64_t channel) {
        fill<T, lanes, parts, placed>(job, in + channel, which + channel,
                                      out + channel);
      });
    }
  }
}

template <class T>
void fill_all(const TileJob& job, std::int64_t begin, std::int64_t end) {
  return job.which ? fill_windows<T, true>(job, begin, end)
                   : fill_windows<T, false>(job, begin, end);
}

}  // namespace

void CNNJAX_TILE_LOOP(const TileJob& job, std::int64_t begin, std::int64_t end) {
  return job.is_bfloat16 ? fill_all<Half>(job, begin, end)
                         : fill_all<float>(job, begin, end);
}

}  // namespace cnnjax

// Vectors of floats, stored in memory as float or bfloat16, for the files that are
// compiled once for each instruction set.
//
// Everything is local to the file that includes this. The linker keeps one copy of an
// inline function that several files share, which could use instructions that the
// machine lacks.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cnnjax {

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

template <int number>
using Number = std::integral_constant<int, number>;

using Half = std::uint16_t;  // the upper half of a float: bfloat16

template <class T, int lanes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(sizeof(T) * lanes)));
};
template <class T, int lanes>
using Vector = typename VectorOf<T, lanes>::Type;

// Covers all channels with calls of `at(lanes, parts, channel)`, each for `parts`
// vectors of `lanes` channels from `channel` on. The widest come first.
template <class At>
void over_channels(std::int64_t channels, const At& at) {
  std::int64_t channel = 0;
  const auto as_long_as_possible = [&](auto lanes, auto parts) {
    constexpr int width = lanes * parts;
    for (; channel + width <= channels; channel += width) at(lanes, parts, channel);
  };
  as_long_as_possible(Number<kLanes>{}, Number<4>{});
  as_long_as_possible(Number<kLanes>{}, Number<2>{});
  as_long_as_possible(Number<kLanes>{}, Number<1>{});
  as_long_as_possible(Number<4>{}, Number<1>{});
  as_long_as_possible(Number<1>{}, Number<1>{});
}

template <class To, class From>
To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

template <class T, int lanes>
Vector<T, lanes> load(const T* from) {
  Vector<T, lanes> values;
  std::memcpy(&values, from, sizeof(values));
  return values;
}

// Widens bytes and halves with one instruction each, which GCC does not find itself.
template <class T, int lanes>
Vector<std::int32_t, lanes> load_wide(const T* from) {
  const auto narrow = load<T, lanes>(from);
  using Wide = Vector<std::int32_t, lanes>;
#ifdef __AVX512F__
  if constexpr (lanes == 16 && sizeof(T) == 1) {
    return Wide(_mm512_cvtepu8_epi32(same_bits<__m128i>(narrow)));
  } else if constexpr (lanes == 16) {
    return Wide(_mm512_cvtepu16_epi32(same_bits<__m256i>(narrow)));
  } else
#endif
#ifdef __AVX2__
      if constexpr (lanes == 8 && sizeof(T) == 1) {
    return Wide(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  } else if constexpr (lanes == 8) {
    return Wide(_mm256_cvtepu16_epi32(same_bits<__m128i>(narrow)));
  } else
#endif
  {
    return __builtin_convertvector(narrow, Wide);
  }
}

template <int lanes>
Vector<float, lanes> load_floats(const float* from) {
  return load<float, lanes>(from);
}

template <int lanes>
Vector<float, lanes> load_floats(const Half* from) {
  return same_bits<Vector<float, lanes>>(load_wide<Half, lanes>(from) << 16);
}

// Stores numbers below 256 as bytes, all at once; GCC would convert them one by one.
template <int lanes>
void store_bytes(const Vector<std::int32_t, lanes>& numbers, std::uint8_t* to) {
#ifdef __AVX512F__
  if constexpr (lanes == 16) {
    const __m128i bytes = _mm512_cvtepi32_epi8(same_bits<__m512i>(numbers));
    std::memcpy(to, &bytes, sizeof(bytes));
  } else
#endif
#ifdef __AVX2__
      if constexpr (lanes == 8) {
    const auto wide = same_bits<__m256i>(numbers);
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(wide),
                                            _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(halves, halves));
  } else
#endif
  {
    const auto bytes = __builtin_convertvector(numbers, Vector<std::uint8_t, lanes>);
    std::memcpy(to, &bytes, sizeof(bytes));
  }
}

template <int lanes>
void store_floats(const Vector<float, lanes>& values, float* to) {
  std::memcpy(to, &values, sizeof(values));
}

template <int lanes>
void store_floats(const Vector<float, lanes>& values, Half* to) {
  const auto bits = same_bits<Vector<std::uint32_t, lanes>>(values);
  const auto halves = __builtin_convertvector(bits >> 16, Vector<Half, lanes>);
  std::memcpy(to, &halves, sizeof(halves));
}

// The values as memory holds them: a float is unchanged; bfloat16 rounds to nearest,
// ties to even.
template <class T, int lanes>
Vector<float, lanes> rounded(const Vector<float, lanes>& values) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return values;
  } else {
    const auto bits = same_bits<Vector<std::uint32_t, lanes>>(values);
    const auto nearest = bits + 0x7fff + (bits >> 16 & 1);
    const auto kept = values == values ? nearest : bits | 0x400000;
    return same_bits<Vector<float, lanes>>(kept & 0xffff0000);
  }
}

}  // namespace

}  // namespace cnnjax

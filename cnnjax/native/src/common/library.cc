// What Python asks of the library, as C functions.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "conv/plan.h"
#include "common/engine.h"

namespace {

const char* name(dnnl::cpu_isa isa) {
  using Isa = dnnl::cpu_isa;
  switch (isa) {
    case Isa::sse41:
      return "SSE4.1";
    case Isa::avx:
      return "AVX";
    case Isa::avx2:
      return "AVX2";
    case Isa::avx2_vnni:
      return "AVX2 with VNNI";
    case Isa::avx2_vnni_2:
      return "AVX2 with VNNI 2";
    case Isa::avx512_core:
      return "AVX512";
    case Isa::avx512_core_vnni:
      return "AVX512 with VNNI";
    case Isa::avx512_core_bf16:
      return "AVX512 with BF16";
    case Isa::avx512_core_fp16:
      return "AVX512 with FP16";
    case Isa::avx512_core_amx:
      return "AVX512 with AMX";
    case Isa::avx512_core_amx_fp16:
      return "AVX512 with AMX and FP16";
    default:
      return "all instructions of this CPU";
  }
}

// Fills a buffer of the caller's, cutting what does not fit.
void write(const std::string& text, char* buffer, std::size_t size) {
  const std::size_t length = std::min(text.size(), size - 1);
  std::memcpy(buffer, text.data(), length);
  buffer[length] = 0;
}

}  // namespace

#define CNNJAX_EXPORT extern "C" __attribute__((visibility("default")))

CNNJAX_EXPORT void cnnjax_version(char* buffer, std::size_t size) {
  const dnnl_version_t* version = dnnl_version();
  write(std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
            std::to_string(version->patch),
        buffer, size);
}

// A digest of the sources, by which Python tells whether they are the ones it has.
CNNJAX_EXPORT void cnnjax_sources(char* buffer, std::size_t size) {
  write(CNNJAX_SOURCES, buffer, size);
}

CNNJAX_EXPORT void cnnjax_isa(char* buffer, std::size_t size) {
  write(name(dnnl::get_effective_cpu_isa()), buffer, size);
}

CNNJAX_EXPORT int cnnjax_threads() { return cnnjax::threads(); }

// Returns the number of the implementation that would run (`Implementation` in
// conv/plan.h), and writes its name for people; or returns 0, and writes why there is
// none. Each array of numbers has an entry per axis.
CNNJAX_EXPORT int cnnjax_conv_implementation(
    int map, bool is_bfloat16, int spatial, const std::int64_t* x,
    const std::int64_t* kernel, const std::int64_t* y, const std::int64_t* strides,
    const std::int64_t* dilation, const std::int64_t* low, const std::int64_t* high,
    std::int64_t groups, char* buffer, std::size_t size) {
  using cnnjax::Dims;
  using Type = dnnl::memory::data_type;
  try {
    const int rank = spatial + 2;
    const cnnjax::Answer answer = cnnjax::find_implementation(
        {static_cast<cnnjax::Map>(map), is_bfloat16 ? Type::bf16 : Type::f32,
         Dims(x, x + rank), Dims(kernel, kernel + rank), Dims(y, y + rank),
         Dims(strides, strides + spatial), Dims(dilation, dilation + spatial),
         Dims(low, low + spatial), Dims(high, high + spatial), groups});
    write(answer.name, buffer, size);
    return static_cast<int>(answer.implementation);
  } catch (const std::exception& error) {
    write(error.what(), buffer, size);
    return 0;
  }
}

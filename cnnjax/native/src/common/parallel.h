// Runs our own loops on threads, with the best instructions of this CPU.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "common/engine.h"
#include "common/fenced.h"

namespace cnnjax {

inline std::int64_t divide_up(std::int64_t number, std::int64_t by) {
  return (number + by - 1) / by;
}

// How many threads are worth waking for this work; waking one takes microseconds.
inline int threads_for(std::int64_t work, std::int64_t work_per_thread) {
  if (checks()) return threads();  // so that small tests use every thread
  const std::int64_t wanted = divide_up(work, work_per_thread);
  return static_cast<int>(std::clamp<std::int64_t>(wanted, 1, threads()));
}

// Runs each of the parts, on `count` threads.
template <class Function>
void on_threads(int count, std::int64_t parts, const Function& function) {
  if (count == 1) {
    for (std::int64_t part = 0; part < parts; ++part) function(part);
    return;
  }
  // XLA's threads flush subnormal numbers to zero; OpenMP's have to do the same.
  const unsigned rounding = _mm_getcsr();
  use_threads(count);
#pragma omp parallel for schedule(static)
  for (std::int64_t part = 0; part < parts; ++part) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(rounding);
    function(part);
    _mm_setcsr(before);
  }
}

// Runs `loop(job, begin, end)` on equal shares of `places`, one per thread.
template <class Loop, class Job>
void share_among_threads(int count, Loop loop, const Job& job, std::int64_t places) {
  on_threads(count, count, [&](std::int64_t part) {
    loop(job, places * part / count, places * (part + 1) / count);
  });
}

// Whether oneDNN uses these instructions here (ONEDNN_MAX_CPU_ISA can forbid them).
inline bool uses(dnnl::cpu_isa isa) {
  const auto bits = static_cast<unsigned>(isa);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

// The loop for the best of the three instruction sets.
template <class Loop>
Loop best_for_this_cpu(Loop on_avx512, Loop on_avx2, Loop on_any) {
  if (uses(dnnl::cpu_isa::avx512_core)) return on_avx512;
  return uses(dnnl::cpu_isa::avx2) ? on_avx2 : on_any;
}

}  // namespace cnnjax

#include "common/engine.h"

#include <omp.h>

#include <algorithm>
#include <thread>

namespace cnnjax {

namespace {

const int loaded_threads = omp_get_max_threads();

// A parallel region shows how many threads OpenMP gives, which OMP_THREAD_LIMIT and
// others restrict. It runs in a thread of its own, whose workers end with it: a process
// that forks later has no workers to lose.
int given_threads() {
  int given = 1;
  std::thread([&given] {
    use_threads(loaded_threads);
#pragma omp parallel
#pragma omp single
    given = omp_get_num_threads();
  }).join();
  return given;
}

}  // namespace

const dnnl::engine& engine() {
  // Never freed: threads may still run while the process ends.
  static const auto* cpu = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *cpu;
}

int threads() {
  static const int most = given_threads();
  // Within a region of the caller's, OpenMP may give no more than this one thread.
  const bool may_divide = omp_get_active_level() < omp_get_max_active_levels();
  return may_divide ? std::min(most, omp_get_thread_limit()) : 1;
}

void use_threads(int count) {
  omp_set_dynamic(0);  // otherwise OpenMP may give fewer, and oneDNN waits for all
  omp_set_num_threads(count);
}

}  // namespace cnnjax

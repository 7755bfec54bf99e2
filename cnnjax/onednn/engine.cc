#include "engine.h"

#include <omp.h>

namespace cnnjax {

namespace {
const int loaded_threads = omp_get_max_threads();
}

const dnnl::engine& engine() {
  // Never freed: threads may still run while the process ends.
  static const auto* cpu = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *cpu;
}

int threads() { return loaded_threads; }

void use_threads(int count) { omp_set_num_threads(count); }

}  // namespace cnnjax

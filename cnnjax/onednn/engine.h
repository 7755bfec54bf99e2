// The CPU as oneDNN sees it: one engine, and how many threads work in it.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace cnnjax {

const dnnl::engine& engine();

// The most there are: as many as OpenMP had when the library was loaded:
// OMP_NUM_THREADS, or the cores this process may use.
int threads();

// OpenMP's number of threads is a setting of the calling thread.
void use_threads(int count);

}  // namespace cnnjax

// The CPU as oneDNN sees it: one engine, and how many threads work in it.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace cnnjax {

const dnnl::engine& engine();

// The most that OpenMP gives the calling thread: OMP_NUM_THREADS, or the cores this
// process could use when the library was loaded, within OpenMP's limits. oneDNN's
// threads wait for each other, so it must never count on more.
int threads();

// OpenMP's number of threads is a setting of the calling thread. It gives exactly
// `count` of them where that is at most `threads()`.
void use_threads(int count);

}  // namespace cnnjax

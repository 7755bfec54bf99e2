// Each condition covers the instruction sets together: AVX-512 (vectors of 16 floats)
// and AVX2 (of 8), whatever this machine has.

#include "conv/faults.h"

#include <algorithm>

#include "conv/terms.h"

namespace cnnjax {

namespace {

constexpr std::int64_t kWidestVector = 16;

bool has_one_tap(const ConvProblem& problem) {
  return count(taps_of(problem.kernel)) == 1;
}

// Of a 1x1 kernel with strides, oneDNN first copies the places that the window stops at.
// It counts that memory in inputs, but addresses it in whole vectors of them: with fewer
// inputs it writes beyond the end (uxlfoundation/oneDNN #6035).
bool overruns_its_copy(const ConvProblem& problem) {
  const auto& strides = problem.strides;
  const bool strided = *std::max_element(strides.begin(), strides.end()) > 1;
  return problem.map == Map::kKernelGradient && has_one_tap(problem) && strided &&
         problem.x.back() / problem.groups < kWidestVector;
}

// In bfloat16, oneDNN sorts each row of x by its place modulo the stride. A row shorter
// than the stride leaves some of these parts empty, and they are read without having
// been written.
bool reads_unwritten_rows(const ConvProblem& problem) {
  return problem.map == Map::kKernelGradient &&
         problem.dtype == dnnl::memory::data_type::bf16 && !has_one_tap(problem) &&
         problem.x[problem.x.size() - 2] < problem.strides.back();
}

// Without bfloat16 instructions (AVX-512 of Skylake and Cascade Lake), oneDNN keeps 5x5
// sums of a 1x1 kernel in registers, and the instructions that stand in for bfloat16's
// overwrite some of them. It chooses 5x5 sums for images of five places and for results
// of more than four vectors of channels.
bool overwrites_its_sums(const ConvProblem& problem) {
  const Dims places(problem.y.begin() + 1, problem.y.end() - 1);
  const Dims& result = problem.map == Map::kForward ? problem.y : problem.x;
  return problem.map != Map::kKernelGradient &&
         problem.dtype == dnnl::memory::data_type::bf16 && has_one_tap(problem) &&
         count(places) == 5 && result.back() > 4 * kWidestVector;
}

}  // namespace

const char* fault_of_onednn(const ConvProblem& problem) {
  if (overruns_its_copy(problem)) {
    return "3.2's gradient of a 1x1 kernel with strides overruns its scratch memory"
           " where there are fewer than 16 inputs";
  }
  if (reads_unwritten_rows(problem)) {
    return "3.2's gradient of a kernel in bfloat16 reads memory that it did not write"
           " where the image's last axis is shorter than the stride";
  }
  if (overwrites_its_sums(problem)) {
    return "3.2's 1x1 convolution in bfloat16 is wrong for five places and more than 64"
           " channels, where the CPU has AVX-512 without bfloat16";
  }
  return nullptr;
}

}  // namespace cnnjax

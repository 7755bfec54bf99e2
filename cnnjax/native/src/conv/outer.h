// The kernel gradient of a convolution as sums of outer products, for CPUs with AVX2.
//
// The gradient of tap t is the sum of x_q y_p^T over all images and all places q that
// tap t of the window at p meets. oneDNN's loops for AVX2 take 1.1 to 2.2 times as
// long.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/axes.h"
#include "conv/problem.h"
#include "conv/outer_loops.h"

namespace cnnjax {

class ConvOuter {
 public:
  // Whether this is faster than oneDNN's convolution.
  static bool suits(const ConvProblem& problem);

  explicit ConvOuter(const ConvProblem& problem);

  // Reads x and y, and writes the kernel.
  void run(const ConvArrays& arrays) const;

 private:
  struct Range {
    std::int64_t begin, end;
  };
  using Box = std::array<Range, kAxes>;  // places of y

  // What one thread computes: some channels and taps of the kernel, from one of equal
  // shares of the images.
  struct Part {
    Range inputs, outputs, taps;
    std::int64_t share;
  };

  void prepare_axis(std::size_t axis);
  void prepare_parts();
  void run_part(const Part& part, const float* x, const float* y, float* kernel) const;
  void add_boxes(const OuterJob& job, Range taps) const;
  void add_tap(OuterJob job, std::int64_t number, const PerAxis& begin) const;
  Box met(const PerAxis& begin, const PerAxis& tap) const;

  int threads_;
  std::int64_t images_, inputs_, outputs_;
  PerAxis taps_, strides_, dilation_, low_, x_sizes_, y_sizes_;
  std::array<std::vector<Range>, kAxes> within_;  // by tap: where it meets the image
  PerAxis box_;                                   // the places of y computed at a time
  std::int64_t images_of_box_;
  std::vector<Part> parts_;
  std::int64_t shares_ = 1;  // of the images, each of which is summed apart
};

}  // namespace cnnjax

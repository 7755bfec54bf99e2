// The kernel gradient of a convolution as sums of outer products, for CPUs with AVX2.
//
// The gradient of tap t is the sum of x_q y_p^T over all images and all places q that
// tap t of the window at p meets. oneDNN's loops for AVX2 reach some 60 % of what the
// CPU can multiply, these 90 %.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "conv_problem.h"
#include "outer_loops.h"

namespace cnnjax {

class ConvOuter {
 public:
  // Whether this is faster than oneDNN's convolution.
  static bool suits(const ConvProblem& problem);

  explicit ConvOuter(const ConvProblem& problem);

  // Reads x and y, and writes the kernel.
  void run(const ConvArrays& arrays) const;

 private:
  static constexpr std::size_t kAxes = 3;
  using Numbers = std::array<std::int64_t, kAxes>;

  struct Range {
    std::int64_t begin, end;
  };
  using Box = std::array<Range, kAxes>;  // places of y

  // Some channels of x and of y, whose products one part of the work computes.
  struct Block {
    Range inputs, outputs;
  };

  void prepare_axis(const ConvProblem& problem, std::size_t axis, std::size_t from);
  Box met(const Numbers& begin, const Numbers& tap) const;
  void add_images(const Block& block, Range images, const float* x, const float* y,
                  float* kernel) const;
  void add_boxes(const OuterJob& job) const;
  void add_box(OuterJob job, const Numbers& begin) const;
  void add_tap(OuterJob job, const Numbers& tap, const Box& box) const;

  int threads_;
  std::int64_t images_, inputs_, outputs_, images_of_box_;
  std::int64_t shares_;  // of the images, each of which is summed apart
  Numbers taps_, strides_, dilation_, low_, x_sizes_, y_sizes_, box_;
  std::array<std::vector<Range>, kAxes> within_;  // by tap: where it meets the image
  std::vector<Block> blocks_;
};

}  // namespace cnnjax

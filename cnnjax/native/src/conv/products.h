// A convolution of small images as products of matrices, without the padding.
//
// On an image of 2x2 places, five ninths of a padded 3x3 window lie outside, and on 4x4
// a third does; kernels that slide a window multiply those zeros too. Here each tap of
// the kernel is a matrix, and so are all images at one place (see conv_products.cc).
#pragma once

#include <cstdint>
#include <vector>

#include "conv/problem.h"
#include "conv/terms.h"

namespace cnnjax {

class ConvProducts {
 public:
  // Whether this is faster than oneDNN's convolutions.
  static bool suits(const ConvProblem& problem);

  explicit ConvProducts(const ConvProblem& problem);

  void run(const ConvArrays& arrays) const;

 private:
  // Values of x and y are (places, images, channels).
  struct Matrices {
    float *x, *kernel, *y, *bias;
  };

  struct Columns {
    std::int64_t begin, width;
  };

  // What belongs to the array that is computed.
  template <class Value>
  Value of_result(Value of_y, Value of_x, Value of_kernel) const {
    if (map_ == Map::kForward) return of_y;
    return map_ == Map::kInputGradient ? of_x : of_kernel;
  }

  void multiply(const Matrices& matrices) const;
  bool sum(std::int64_t piece, Columns columns, const Matrices& matrices) const;
  bool add_product(const ConvTerm& term, Columns columns, const Matrices& m) const;

  Map map_;
  bool relu_;
  int threads_;
  std::int64_t images_, inputs_, outputs_, x_places_, y_places_;
  // The result's rows, from piece to piece, and its columns, `width_` of them at a time.
  std::int64_t rows_, columns_, width_;
  std::vector<std::vector<ConvTerm>> pieces_;
};

}  // namespace cnnjax

// Sums of outer products, the work of a convolution's kernel gradient.
#pragma once

#include <cstdint>

namespace cnnjax {

// Adds to w the sum of x_p y_p^T over `rows` rows of `places` places p of some images.
// Here x_p are `inputs` floats, and y_p `outputs` of them, a multiple of 16.
struct OuterJob {
  const float *x, *y;
  float* w;
  std::int64_t images, rows, places;
  std::int64_t inputs, outputs;
  // How many floats the next image is away, the next row, and the next place.
  std::int64_t x_image, x_row, x_step, y_image, y_row, y_step;
  std::int64_t w_step;  // and the next input's products
};

// Needs a CPU with AVX2 and FMA.
void outer_on_avx2(const OuterJob& job);

}  // namespace cnnjax

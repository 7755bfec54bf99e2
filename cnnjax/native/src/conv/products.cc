// With X_q all images' values at place q, a matrix (images, in), Y_p those of y, and W_t
// the kernel's tap t, (in, out), the three maps are
//
//     Y_p = sum X_q W_t,    X_q = sum Y_p W_t^T,    W_t = sum X_q^T Y_p
//
// over all (p, t, q) where tap t of the window at p meets the place q. Neighbours p along
// the last axis meet neighbours q where the stride is 1: they make one taller matrix.

#include "conv/products.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "common/arena.h"
#include "common/parallel.h"

namespace cnnjax {

namespace {

constexpr std::int64_t kPartsPerThread = 4;
constexpr std::int64_t kNarrowest = 64;  // columns of a product
constexpr std::int64_t kLanes = 16;      // numbers in a line of the cache

constexpr double kLargestShare = 0.75;
constexpr std::int64_t kFewPlaces = 4, kMostPlaces = 64, kFewChannels = 64;

// Copies (rows, columns, width) to (columns, rows, width).
void swap_axes(const float* from, float* to, std::int64_t rows, std::int64_t columns,
               std::int64_t width, int threads) {
  on_threads(threads, columns, [=](std::int64_t column) {
    for (std::int64_t row = 0; row < rows; ++row) {
      std::memcpy(to + (column * rows + row) * width,
                  from + (row * columns + column) * width, width * sizeof(float));
    }
  });
}

}  // namespace

// The limits are measured: below them oneDNN's loops cost less than short products.
bool ConvProducts::suits(const ConvProblem& problem) {
  const bool floats = problem.dtype == dnnl::memory::data_type::f32;
  if (problem.groups != 1 || !floats) return false;
  const std::int64_t places = count(spatial(problem.y));
  const std::int64_t fewest = places <= kFewPlaces ? kFewChannels : 2 * kFewChannels;
  return places <= kMostPlaces && share_within(problem) <= kLargestShare &&
         std::min(problem.x.back(), problem.y.back()) >= fewest;
}

ConvProducts::ConvProducts(const ConvProblem& problem)
    : map_(problem.map),
      relu_(problem.relu),
      threads_(problem.threads()),
      images_(problem.x.front()),
      inputs_(problem.x.back()),
      outputs_(problem.y.back()),
      x_places_(count(spatial(problem.x))),
      y_places_(count(spatial(problem.y))) {
  const auto axes = problem.strides.size();
  const std::int64_t x_row = problem.x[axes], y_row = problem.y[axes];
  const std::int64_t taps = count(taps_of(problem.kernel));
  columns_ = of_result(outputs_, inputs_, outputs_);
  rows_ = of_result(images_ * y_row, images_ * x_row, inputs_);
  pieces_.resize(of_result(y_places_ / y_row, x_places_ / x_row, taps));
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (const ConvTerm& term : terms_of(problem, tap)) {
      pieces_[of_result(term.y / y_row, term.x / x_row, tap)].push_back(term);
    }
  }
  const auto pieces = static_cast<std::int64_t>(pieces_.size());
  const std::int64_t wanted = divide_up(kPartsPerThread * threads_, pieces);
  const std::int64_t lines = divide_up(divide_up(columns_, wanted), kLanes);
  width_ = std::max(lines * kLanes, kNarrowest);
}

void ConvProducts::run(const ConvArrays& arrays) const {
  const std::int64_t x_size = x_places_ * images_ * inputs_;
  const std::int64_t y_size = y_places_ * images_ * outputs_;
  auto* scratch = reinterpret_cast<float*>(
      Arena::of_this_thread(Scratch::kWork).reserve((x_size + y_size) * sizeof(float)));
  const Matrices own = {scratch, reinterpret_cast<float*>(arrays.kernel),
                        scratch + x_size, reinterpret_cast<float*>(arrays.bias)};
  auto* x = reinterpret_cast<float*>(arrays.x);
  auto* y = reinterpret_cast<float*>(arrays.y);
  if (map_ != Map::kInputGradient) {
    swap_axes(x, own.x, images_, x_places_, inputs_, threads_);
  }
  if (map_ != Map::kForward) {
    swap_axes(y, own.y, images_, y_places_, outputs_, threads_);
  }
  multiply(own);
  if (map_ == Map::kForward) {
    swap_axes(own.y, y, y_places_, images_, outputs_, threads_);
  }
  if (map_ == Map::kInputGradient) {
    swap_axes(own.x, x, x_places_, images_, inputs_, threads_);
  }
}

void ConvProducts::multiply(const Matrices& matrices) const {
  const std::int64_t blocks = divide_up(columns_, width_);
  const auto pieces = static_cast<std::int64_t>(pieces_.size());
  std::atomic<bool> failed = false;  // an exception would not leave the threads
  on_threads(threads_, pieces * blocks, [&](std::int64_t part) {
    const std::int64_t begin = part % blocks * width_;
    const Columns columns = {begin, std::min(width_, columns_ - begin)};
    if (!sum(part / blocks, columns, matrices)) failed = true;
  });
  if (failed) throw std::runtime_error("oneDNN could not multiply two matrices");
}

bool ConvProducts::sum(std::int64_t piece, Columns columns, const Matrices& m) const {
  float* result = of_result(m.y, m.x, m.kernel) + piece * rows_ * columns_;
  const auto each_row = [&](const auto& function) {
    for (std::int64_t row = 0; row < rows_; ++row) {
      function(result + row * columns_ + columns.begin);
    }
  };
  each_row([&](float* values) {
    if (m.bias) {
      std::copy_n(m.bias + columns.begin, columns.width, values);
    } else {
      std::fill_n(values, columns.width, 0.f);
    }
  });
  for (const ConvTerm& term : pieces_[piece]) {
    if (!add_product(term, columns, m)) return false;
  }
  if (relu_) {
    each_row([&](float* values) {
      for (std::int64_t i = 0; i < columns.width; ++i) {
        values[i] = values[i] <= 0 ? 0 : values[i];  // what is not a number stays
      }
    });
  }
  return true;
}

bool ConvProducts::add_product(const ConvTerm& term, Columns columns,
                               const Matrices& m) const {
  float* x = m.x + term.x * images_ * inputs_;
  float* y = m.y + term.y * images_ * outputs_;
  float* kernel = m.kernel + term.tap * inputs_ * outputs_;
  const auto [begin, width] = columns;
  const std::int64_t tall = term.places * images_;
  const auto product = [](char a, char b, auto... rest) {
    return dnnl_sgemm(a, b, rest...) == dnnl_success;
  };
  switch (map_) {
    case Map::kForward:
      return product('N', 'N', tall, width, inputs_, 1.f, x, inputs_, kernel + begin,
                     outputs_, 1.f, y + begin, outputs_);
    case Map::kInputGradient:
      return product('N', 'T', tall, width, outputs_, 1.f, y, outputs_,
                     kernel + begin * outputs_, outputs_, 1.f, x + begin, inputs_);
    default:
      return product('T', 'N', inputs_, width, tall, 1.f, x, inputs_, y + begin,
                     outputs_, 1.f, kernel + begin, outputs_);
  }
}

}  // namespace cnnjax

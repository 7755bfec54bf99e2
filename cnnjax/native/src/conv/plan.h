// One convolution of given shapes: oneDNN's primitive and the reorders around it, or
// loops of our own, or products of matrices.
#pragma once

#include <cstddef>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>

#include "conv/gather.h"
#include "conv/outer.h"
#include "conv/problem.h"
#include "conv/products.h"

namespace cnnjax {

// Which implementation would run: oneDNN's name of it, "products" or "outer products".
// Throws where there is none.
std::string implementation(const ConvProblem& problem);

class ConvPlan {
 public:
  explicit ConvPlan(const ConvProblem& problem);

  // Reads two of x, kernel and y, and writes the third.
  void run(const ConvArrays& arrays) const;

  static std::shared_ptr<const ConvPlan> of(const ConvProblem& problem);

 private:
  // Between JAX's layout of the kernel and the one oneDNN computes in.
  struct Reorder {
    dnnl::primitive primitive;
    dnnl::memory::desc from, to, scratch;
    int threads;
  };

  void prepare_primitive(const ConvProblem& problem);
  void prepare_reorder(const ConvProblem& problem);
  void reorder(dnnl::stream& stream, std::byte* from, std::byte* to) const;

  Map map_;
  int threads_;
  std::optional<ConvProducts> products_;
  std::optional<ConvOuter> outer_;
  std::optional<ConvGather> gather_;
  std::optional<ConvProblem> with_relu_;
  dnnl::primitive conv_;
  dnnl::memory::desc x_, kernel_, y_, bias_, scratch_;
  std::optional<Reorder> reorder_;
};

}  // namespace cnnjax

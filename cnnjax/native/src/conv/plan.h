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

// What computes a convolution. `Implementation` in cnnjax/native/conv.py has the same
// numbers, and 0 for none.
enum class Implementation : int {
  kJit = 1,             // oneDNN's generated code
  kJitDepthwise = 2,    // the same, made for one channel per group
  kGemm = 3,            // oneDNN's im2col with a matrix product
  kReference = 4,       // oneDNN's plain loops
  kMatrixProducts = 5,  // products.h
  kOuterProducts = 6,   // outer.h
};

struct Answer {
  Implementation implementation;
  std::string name;  // for people: oneDNN's name of it, or ours
};

// What would compute the problem. Throws where nothing can.
Answer find_implementation(const ConvProblem& problem);

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

#include "conv/plan.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "common/arena.h"
#include "conv/faults.h"
#include "common/engine.h"
#include "common/parallel.h"
#include "conv/relu.h"

namespace cnnjax {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr std::size_t kPlans = 512;
constexpr std::int64_t kReorderedPerThread = 1 << 17;

void check_sizes(const ConvProblem& problem) {
  const auto width = static_cast<std::int64_t>(memory::data_type_size(problem.dtype));
  for (const Dims* dims : {&problem.x, &problem.kernel, &problem.y}) {
    if (count(*dims) > kLargestBytes / width) {
      throw std::invalid_argument("an array is larger than 2 GiB");
    }
  }
}

enum class Way { kProducts, kOuter, kGather, kPrimitive };

// The fastest way to compute a problem. Throws where there is none.
Way choose(const ConvProblem& problem) {
  check_sizes(problem);
  if (ConvProducts::suits(problem)) return Way::kProducts;
  if (ConvOuter::suits(problem)) return Way::kOuter;
  const char* fault = fault_of_onednn(problem);
  if (!fault) return Way::kPrimitive;
  if (ConvGather::suits(problem)) return Way::kGather;
  throw std::invalid_argument(fault);
}

// (batch, *spatial, channels) -> (batch, channels, *spatial), the order of oneDNN's
// dimensions; memory stays as it is.
memory::desc image_desc(const Dims& shape, memory::data_type dtype) {
  Dims dims = {shape.front(), shape.back()};
  dims.insert(dims.end(), shape.begin() + 1, shape.end() - 1);
  const Tag tags[] = {Tag::nwc, Tag::nhwc, Tag::ndhwc};
  return {dims, dtype, tags[shape.size() - 3]};
}

// (*taps, in / groups, out) -> ([groups,] out / groups, in / groups, *taps).
Dims kernel_dims(const ConvProblem& problem) {
  const Dims& shape = problem.kernel;
  const auto taps_end = shape.end() - 2;
  Dims dims;
  if (problem.groups > 1) dims.push_back(problem.groups);
  dims.push_back(shape.back() / problem.groups);
  dims.push_back(*taps_end);
  dims.insert(dims.end(), shape.begin(), taps_end);
  return dims;
}

// JAX's kernel in memory: taps outermost, then inputs, then the outputs of each group.
memory::desc kernel_desc(const ConvProblem& problem) {
  const Dims& shape = problem.kernel;
  const std::int64_t outputs = shape.back();
  Dims strides;
  if (problem.groups > 1) strides.push_back(outputs / problem.groups);
  strides.push_back(1);
  strides.push_back(outputs);
  std::int64_t step = outputs * shape[shape.size() - 2];
  Dims taps(shape.size() - 2);
  for (std::size_t axis = taps.size(); axis-- > 0; step *= shape[axis]) {
    taps[axis] = step;
  }
  strides.insert(strides.end(), taps.begin(), taps.end());
  return {kernel_dims(problem), problem.dtype, strides};
}

dnnl::primitive_attr attributes(bool relu = false) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (relu) {
    dnnl::post_ops last;
    last.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
    attr.set_post_ops(last);
  }
  return attr;
}

memory::desc bias_desc(const ConvProblem& problem) {
  if (!problem.has_bias) return {};
  return {{problem.kernel.back()}, problem.dtype, Tag::x};
}

// The descriptor of the problem's map, of one of three types with one base.
dnnl::primitive_desc_base describe(const ConvProblem& problem) {
  use_threads(problem.threads());
  const auto x = image_desc(problem.x, problem.dtype);
  const auto y = image_desc(problem.y, problem.dtype);
  const memory::desc kernel(kernel_dims(problem), problem.dtype, Tag::any);
  Dims dilation = problem.dilation;
  for (std::size_t axis = 0; axis < dilation.size(); ++axis) {
    // oneDNN counts the places left out between two taps. If told of some beside a
    // single tap, 3.2 takes jit_bf16_1x1, whose input gradient with strides is wrong
    // for some shapes.
    dilation[axis] = problem.kernel[axis] == 1 ? 0 : dilation[axis] - 1;
  }

  const auto direct = dnnl::algorithm::convolution_direct;
  const auto attr = attributes(problem.relu);
  const dnnl::convolution_forward::primitive_desc forward(
      engine(), dnnl::prop_kind::forward_training, direct, x, kernel,
      bias_desc(problem), y, problem.strides, dilation, problem.low, problem.high, attr);
  if (problem.map == Map::kForward) return forward;
  if (problem.map == Map::kInputGradient) {
    return dnnl::convolution_backward_data::primitive_desc(
        engine(), direct, x, kernel, y, problem.strides, dilation, problem.low,
        problem.high, forward, attr);
  }
  return dnnl::convolution_backward_weights::primitive_desc(
      engine(), direct, x, kernel, y, problem.strides, dilation, problem.low,
      problem.high, forward, attr);
}

// What oneDNN calls the arrays of each map.
struct Names {
  int x, kernel, y;
};

Names names(Map map) {
  switch (map) {
    case Map::kForward:
      return {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    case Map::kInputGradient:
      return {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST};
    default:
      return {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST};
  }
}

// oneDNN tells what it chose only by a name such as "jit:avx2", "jit_dw:avx512_core" or
// "gemm:ref": this is the one place that reads it.
Implementation kind_of(const std::string& name) {
  const std::string parts = ":" + name + ":";
  const auto has = [&](const char* part) {
    return parts.find(part) != std::string::npos;
  };
  if (has(":gemm:")) return Implementation::kGemm;
  if (has(":ref:")) return Implementation::kReference;
  return has("dw:") ? Implementation::kJitDepthwise : Implementation::kJit;
}

}  // namespace

Answer find_implementation(const ConvProblem& problem) {
  switch (choose(problem)) {
    case Way::kProducts:
      return {Implementation::kMatrixProducts, "matrix products"};
    case Way::kOuter:
      return {Implementation::kOuterProducts, "outer products"};
    case Way::kGather:
      return find_implementation(ConvGather::without_strides(problem));
    default: {
      const std::string name = describe(problem).impl_info_str();
      return {kind_of(name), name};
    }
  }
}

ConvPlan::ConvPlan(const ConvProblem& problem)
    : map_(problem.map), threads_(problem.threads()) {
  switch (choose(problem)) {
    case Way::kProducts:
      products_.emplace(problem);
      break;
    case Way::kOuter:
      outer_.emplace(problem);
      break;
    case Way::kGather:
      gather_.emplace(problem);
      break;
    default:
      prepare_primitive(problem);
  }
}

void ConvPlan::prepare_primitive(const ConvProblem& problem) {
  if (problem.relu) with_relu_ = problem;
  const dnnl::primitive_desc_base pd = describe(problem);
  const Names name = names(map_);
  const auto what = dnnl::query::exec_arg_md;
  conv_ = dnnl::primitive(pd.get());
  x_ = pd.query_md(what, name.x);
  kernel_ = pd.query_md(what, name.kernel);
  y_ = pd.query_md(what, name.y);
  bias_ = bias_desc(problem);
  scratch_ = pd.scratchpad_desc();
  prepare_reorder(problem);
}

void ConvPlan::prepare_reorder(const ConvProblem& problem) {
  memory::desc from = kernel_desc(problem), to = kernel_;
  if (from == to) return;
  if (map_ == Map::kKernelGradient) std::swap(from, to);
  const int threads = threads_for(count(problem.kernel), kReorderedPerThread);
  use_threads(threads);
  const dnnl::reorder::primitive_desc pd(engine(), from, engine(), to, attributes());
  reorder_ = {dnnl::primitive(pd.get()), from, to, pd.scratchpad_desc(), threads};
}

void ConvPlan::reorder(dnnl::stream& stream, std::byte* from, std::byte* to) const {
  std::byte* scratch =
      Arena::of_this_thread(Scratch::kWork).reserve(reorder_->scratch.get_size());
  use_threads(reorder_->threads);
  reorder_->primitive.execute(
      stream, {{DNNL_ARG_FROM, memory(reorder_->from, engine(), from)},
               {DNNL_ARG_TO, memory(reorder_->to, engine(), to)},
               {DNNL_ARG_SCRATCHPAD, memory(reorder_->scratch, engine(), scratch)}});
}

void ConvPlan::run(const ConvArrays& arrays) const {
  if (products_) return products_->run(arrays);
  if (outer_) return outer_->run(arrays);
  if (gather_) return gather_->run(arrays);
  if (with_relu_ && !has_finite_sums(*with_relu_, arrays)) {
    ConvProblem problem = *with_relu_;
    problem.relu = false;
    ConvPlan::of(problem)->run(arrays);
    return relu_in_place(arrays.y, count(problem.y), problem.dtype);
  }
  dnnl::stream stream(engine());
  std::byte* kernel = arrays.kernel;
  if (reorder_) {
    kernel = Arena::of_this_thread(Scratch::kKernel).reserve(kernel_.get_size());
    if (map_ != Map::kKernelGradient) reorder(stream, arrays.kernel, kernel);
  }
  std::byte* scratch =
      Arena::of_this_thread(Scratch::kWork).reserve(scratch_.get_size());
  use_threads(threads_);
  const Names name = names(map_);
  std::unordered_map<int, memory> arguments = {
      {name.x, memory(x_, engine(), arrays.x)},
      {name.kernel, memory(kernel_, engine(), kernel)},
      {name.y, memory(y_, engine(), arrays.y)},
      {DNNL_ARG_SCRATCHPAD, memory(scratch_, engine(), scratch)}};
  if (arrays.bias) {
    arguments.emplace(DNNL_ARG_BIAS, memory(bias_, engine(), arrays.bias));
  }
  conv_.execute(stream, arguments);
  if (reorder_ && map_ == Map::kKernelGradient) reorder(stream, kernel, arrays.kernel);
  stream.wait();
}

std::shared_ptr<const ConvPlan> ConvPlan::of(const ConvProblem& problem) {
  static auto* plans = new Cache<ConvPlan>(kPlans);  // threads may outlive statics
  return plans->get(problem.key(), [&] { return ConvPlan(problem); });
}

}  // namespace cnnjax

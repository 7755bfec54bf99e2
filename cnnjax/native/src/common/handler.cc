#include "common/handler.h"

#include <cstring>
#include <exception>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "common/arena.h"
#include "common/fenced.h"

namespace cnnjax {

namespace {

std::size_t bytes_of(const XLA_FFI_Buffer& buffer) {
  const auto values = std::accumulate(buffer.dims, buffer.dims + buffer.rank,
                                      std::int64_t{1}, std::multiplies<>());
  const auto dtype = static_cast<xla::ffi::DataType>(buffer.dtype);
  return static_cast<std::size_t>(values) * xla::ffi::ByteWidth(dtype);
}

XLA_FFI_Error* failure(const XLA_FFI_CallFrame& frame, const std::string& message) {
  XLA_FFI_Error_Create_Args args = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, nullptr,
                                    message.c_str(), XLA_FFI_Error_Code_INTERNAL};
  return frame.api->XLA_FFI_Error_Create(&args);
}

// A call with copies of its arrays. An output may share the memory of an input.
class FencedCall {
 public:
  FencedCall(const XLA_FFI_CallFrame& frame, Edge edge) : frame_(frame) {
    arrays_.reserve(frame.args.size + frame.rets.size);  // pointers go into it
    for (std::int64_t i = 0; i < frame.args.size; ++i) copy(frame.args.args[i], edge);
    for (std::int64_t i = 0; i < frame.rets.size; ++i) copy(frame.rets.rets[i], edge);
    const std::size_t inputs = frame.args.size;
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
      Array& array = arrays_[i];
      const bool is_output = i >= inputs;
      for (std::size_t other = 0; is_output && other < inputs; ++other) {
        if (arrays_[other].original == array.original && array.memory.size()) {
          array.buffer.data = arrays_[other].memory.data();
          arrays_[other].is_written = true;
        }
      }
      pointers_.push_back(&array.buffer);
    }
    for (std::size_t i = 0; i < inputs; ++i) {
      if (!arrays_[i].is_written) arrays_[i].memory.forbid_writing();
    }
    frame_.args.args = pointers_.data();
    frame_.rets.rets = pointers_.data() + inputs;
  }

  XLA_FFI_Error* run(XLA_FFI_Handler* handler) { return handler(&frame_); }

  bool is_rest_untouched() const {
    for (const Array& array : arrays_) {
      if (!array.memory.is_rest_untouched()) return false;
    }
    return true;
  }

  bool has_outputs_of(const FencedCall& other) const {
    for (std::size_t i = frame_.args.size; i < arrays_.size(); ++i) {
      const Array& array = arrays_[i];
      const void* theirs = other.arrays_[i].buffer.data;
      if (std::memcmp(array.buffer.data, theirs, array.memory.size())) return false;
    }
    return true;
  }

  void write_outputs() const {
    for (std::size_t i = frame_.args.size; i < arrays_.size(); ++i) {
      const Array& array = arrays_[i];
      if (array.memory.size()) {
        std::memcpy(array.original, array.buffer.data, array.memory.size());
      }
    }
  }

 private:
  struct Array {
    XLA_FFI_Buffer buffer;
    void* original;
    Fenced memory;
    bool is_written;
  };

  void copy(void* pointer, Edge edge) {
    const auto& buffer = *static_cast<const XLA_FFI_Buffer*>(pointer);
    const bool is_input = static_cast<std::int64_t>(arrays_.size()) < frame_.args.size;
    Array array = {buffer, buffer.data, Fenced(bytes_of(buffer), edge), false};
    if (is_input && array.memory.size()) {
      std::memcpy(array.memory.data(), buffer.data, array.memory.size());
    }
    array.buffer.data = array.memory.data();
    arrays_.push_back(std::move(array));
  }

  XLA_FFI_CallFrame frame_;
  std::vector<Array> arrays_;
  std::vector<void*> pointers_;
};

XLA_FFI_Error* call_fenced(const XLA_FFI_CallFrame& frame, XLA_FFI_Handler* handler) {
  scratch_edge() = Edge::kEnd;
  FencedCall at_end(frame, Edge::kEnd);
  if (XLA_FFI_Error* error = at_end.run(handler)) return error;
  scratch_edge() = Edge::kBegin;
  FencedCall at_begin(frame, Edge::kBegin);
  if (XLA_FFI_Error* error = at_begin.run(handler)) return error;
  Arena::check_all();
  if (!at_end.is_rest_untouched() || !at_begin.is_rest_untouched()) {
    return failure(frame, "a kernel wrote outside of its arrays");
  }
  if (!at_end.has_outputs_of(at_begin)) {
    return failure(frame, "a kernel's results depend on where its arrays are");
  }
  at_end.write_outputs();
  return nullptr;
}

}  // namespace

XLA_FFI_Error* call_handler(XLA_FFI_CallFrame* frame, XLA_FFI_Handler* handler) {
  // XLA also calls handlers without arrays, to ask what they are.
  const bool has_arrays = frame->args.size + frame->rets.size > 0;
  if (!checks() || !has_arrays) return handler(frame);
  try {
    return call_fenced(*frame, handler);
  } catch (const std::exception& error) {
    return failure(*frame, std::string("check mode: ") + error.what());
  }
}

}  // namespace cnnjax

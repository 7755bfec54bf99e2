// The definition of an XLA custom call, which the check mode can watch.
#pragma once

#include "xla/ffi/api/ffi.h"

namespace cnnjax {

// Calls a handler; in the check mode, with copies of its arrays that touch a protected
// page, once for each end.
XLA_FFI_Error* call_handler(XLA_FFI_CallFrame* frame, XLA_FFI_Handler* handler);

}  // namespace cnnjax

// Defines the C function `name`, to be registered with XLA.
#define CNNJAX_HANDLER(name, function, binding)                      \
  extern "C" __attribute__((visibility("default"))) XLA_FFI_Error*   \
  name(XLA_FFI_CallFrame* frame) {                                   \
    XLA_FFI_DEFINE_HANDLER(handler, function, binding);              \
    return cnnjax::call_handler(frame, handler);                     \
  }

// A handler's work, with every exception as an error of XLA.
#pragma once

#include <exception>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace cnnjax {

// An exception that leaves a custom call would end the process.
template <class Function>
xla::ffi::Error guarded(const std::string& what, const Function& function) {
  using xla::ffi::Error;
  try {
    function();
    return Error::Success();
  } catch (const dnnl::error& error) {
    return Error::Internal("oneDNN: " + std::string(error.what()));
  } catch (const std::exception& error) {
    return Error::Internal(what + ": " + error.what());
  } catch (...) {
    return Error::Internal(what + ": unknown exception");
  }
}

}  // namespace cnnjax

"""Optional kernels for x86-64 CPUs, made of oneDNN's primitives."""

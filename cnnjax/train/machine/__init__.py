"""What a run computes on: devices, processes, signals and the compilation cache."""

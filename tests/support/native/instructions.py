"""What the instructions that oneDNN uses here can do."""

from cnnjax.native import library

HAS_AVX512 = "AVX512" in library.describe()  # and with it bfloat16

"""Kernels in C for the processor: `build.py` compiles them, `library.py` loads what it made."""

"""Triton kernels of the student: the same passes as the compiled loops of the CPU.

Nothing here is imported unless Triton is installed and the points are on a GPU; see
``waffleiron.fast_paths``.
"""

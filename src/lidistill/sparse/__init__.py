"""Convolutions over the occupied cells of a grid, in plain PyTorch, on the CPU and on GPUs.

``cells`` numbers occupied cells, ``kernel_map`` finds which of them meet in a convolution,
``convolution`` computes it, ``layout`` says what lies where in a kernel. A dense ``conv3d`` on a
small grid is the definition that the tests compare with.
"""

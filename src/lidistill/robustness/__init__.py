"""Scans as bad weather, tired sensors and other mountings leave them, and what that costs.

Written from formulas and facts; no line is from the benchmarks' own code, whose licences differ.

References:
    Kong et al., "Robo3D: Towards Robust and Reliable 3D Perception against Corruptions", ICCV 2023.
"""

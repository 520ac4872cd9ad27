"""Compiled loops of a WaffleIron on the CPU."""

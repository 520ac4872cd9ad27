"""A street simulator: procedural streets, ray-cast cameras and lidars, real data sets' formats."""

from lidistill.sim.simulate import SimulationConfig, simulate_pandaset

__all__ = ["SimulationConfig", "simulate_pandaset"]

"""A street simulator: procedural streets, ray-cast cameras and lidars, real data sets' formats."""

from lidistill.sim.plan import SimulationConfig
from lidistill.sim.simulate import simulate

__all__ = ["SimulationConfig", "simulate"]

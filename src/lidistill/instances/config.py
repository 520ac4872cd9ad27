"""How objects are found without labels: the settings, which need no library that computes."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from lidistill.config import Config


class GroundConfig(Config):
    """How steep ground may be, and what lies on it."""

    cell: Annotated[FiniteFloat, Field(gt=0, le=5)] = 0.5  # metres
    slope: Annotated[FiniteFloat, Field(gt=0, le=2)] = 0.2  # metres up a metre
    step: Annotated[FiniteFloat, Field(gt=0, le=2)] = 0.2  # metres; what is lower is ground
    reach: Annotated[FiniteFloat, Field(gt=0, le=500)] = 100.0  # metres; farther points are left


class DiscoveryConfig(Config):
    """What is dense enough to be an object, and small enough."""

    ground: GroundConfig = GroundConfig()
    radius: Annotated[FiniteFloat, Field(gt=0, le=10)] = 0.5  # metres between points of an object
    near: Annotated[FiniteFloat, Field(gt=0, le=200)] = 20.0  # metres; beyond, the radius grows
    min_neighbors: Annotated[int, Field(ge=1, le=1000)] = 4
    min_points: Annotated[int, Field(ge=1)] = 20  # of an object
    max_length: Annotated[FiniteFloat, Field(gt=0, le=1000)] = 15.0  # metres; longer: a building
    min_height: Annotated[FiniteFloat, Field(ge=0, le=100)] = 0.3  # metres over the ground

"""3D networks behind one contract."""

from typing import TypeAlias

from lidistill.backbones.base import Backbone
from lidistill.backbones.waffleiron.model import WaffleIron, WaffleIronConfig

BackboneConfig: TypeAlias = WaffleIronConfig
"""Any backbone's configuration; a second one makes this a union told apart by ``kind``."""

BACKBONES = {"waffleiron": WaffleIronConfig}
"""Configuration of each network, by its ``kind``."""

__all__ = ["BACKBONES", "Backbone", "BackboneConfig", "WaffleIron", "WaffleIronConfig"]

"""3D networks behind one contract."""

from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BeforeValidator, SerializeAsAny

from lidistill.backbones.base import Backbone, BackboneSettings
from lidistill.backbones.litept.litept import LitePTConfig
from lidistill.backbones.litept.ptv3 import PTv3Config
from lidistill.backbones.minkunet.model import MinkUNet, MinkUNetConfig
from lidistill.backbones.waffleiron.config import FORMER_KEYS, is_legacy_default
from lidistill.backbones.waffleiron.model import WaffleIron, WaffleIronConfig
from lidistill.errors import suggestion
from lidistill.reading.names import shown

S = TypeVar("S", bound=BackboneSettings)
BACKBONES: dict[str, type[BackboneSettings]] = {
    "waffleiron": WaffleIronConfig,
    "minkunet": MinkUNetConfig,
    "litept": LitePTConfig,
    "ptv3": PTv3Config,
}
"""Configuration of each network, by its ``kind``."""
DEFAULT_KIND = "waffleiron"


def _of_its_kind(values: Any) -> Any:
    """Values of a network's configuration, checked by the model of their ``kind``."""
    if not isinstance(values, dict):
        return values
    kind = values.get("kind", DEFAULT_KIND)
    if not isinstance(kind, str) or kind not in BACKBONES:
        msg = f"unknown kind {shown(kind)}; {suggestion(str(kind), set(BACKBONES))}"
        raise ValueError(msg.removesuffix("."))
    return BACKBONES[kind].model_validate(values)


BackboneConfig: TypeAlias = Annotated[
    SerializeAsAny[BackboneSettings], BeforeValidator(_of_its_kind)
]
"""Any backbone's configuration, told apart by ``kind`` (``waffleiron`` where there is none)."""


def network_changes(values: dict[str, Any], backbone: BackboneSettings | None) -> dict[str, Any]:
    """Changes to a network's configuration, checked and completed below the keys that they name.

    Args:
        values: By key; None leaves that key as the network has it.
        backbone: The network; None where only a checkpoint will tell. Then they must fit one of
            ``BACKBONES``.

    Raises:
        ValidationError: If they fit none.
    """
    given = {key: value for key, value in values.items() if value is not None}
    kinds = list(BACKBONES.values()) if backbone is None else [type(backbone)]
    fitting = [kind for kind in kinds if given.keys() <= kind.model_fields.keys()]
    checked = (fitting or kinds)[0].model_validate(given)
    return values | checked.model_dump(mode="json", include=set(given))


def changed(config: S, changes: dict[str, Any]) -> S:
    """A network's configuration with some of its keys replaced.

    Raises:
        ValidationError: If it has no such key, or the values make no network.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    return type(config).model_validate(config.model_dump() | given) if given else config


__all__ = [
    "BACKBONES",
    "DEFAULT_KIND",
    "FORMER_KEYS",
    "Backbone",
    "BackboneConfig",
    "BackboneSettings",
    "LitePTConfig",
    "MinkUNet",
    "MinkUNetConfig",
    "PTv3Config",
    "WaffleIron",
    "WaffleIronConfig",
    "changed",
    "is_legacy_default",
    "network_changes",
]

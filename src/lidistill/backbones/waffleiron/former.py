"""Keys of recipes that older versions wrote, from when a WaffleIron was the only network."""

from typing import Any, Final

FORMER_KEYS: Final[dict[str, dict[str, str]]] = {
    "pretrain": {"data.sampling.num_neighbors": "backbone.num_neighbors"},
    "probe": {"sampling.num_neighbors": "network.num_neighbors", "grid": "network.grid"},
    "finetune": {
        "sampling.num_neighbors": "network.num_neighbors",
        "grid": "network.grid",
        "drop_path": "network.drop_path",
    },
}
"""Former and present name of each, by the kind of recipe."""

_SPELLED_OUT: Final = {"num_neighbors": 16}


def said_by_habit(key: str, value: Any) -> bool:
    """Whether a change to a network stands in a run's recipe only as an older version's default."""
    return key in _SPELLED_OUT and _SPELLED_OUT[key] == value

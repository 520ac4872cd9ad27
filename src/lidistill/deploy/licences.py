"""Under which licences a model's data sets and teacher stand, for its card.

A card says what is known and no more: weights are not lawyers' advice.
"""

from typing import Any, Final

from lidistill.teachers.table import known_teacher

UNKNOWN: Final = "unknown to lidistill; see where its weights come from"
_OF_LIDAR: Final = "that of the lidar network it learned from; see that one's own card"
DATA: Final = {
    "nuscenes": "nuScenes (Motional), CC BY-NC-SA 4.0",
    "semantic_kitti": "SemanticKITTI (University of Bonn, KIT), CC BY-NC-SA 3.0",
    "kitti_raw": "KITTI raw (KIT), CC BY-NC-SA 3.0",
    "pandaset": "PandaSet (Hesai and Scale AI), CC BY 4.0",
    "argoverse2": "Argoverse 2 (Argo AI), CC BY-NC-SA 4.0",
    "folder": "own recordings, licence known to whoever made them",
}
"""Who made each kind of data set, and its licence; simulated drives in their formats have none."""
_FAMILIES: Final = {
    "dinov2": "Apache-2.0",
    "dinov3": "DINOv3 License",
    "clip-vit": "MIT",
    "siglip": "Apache-2.0",
}
"""Licence of weights by a part of their Hugging Face name."""


def data_licence(kind: str) -> str:
    """Name and licence of a kind of data set."""
    return DATA.get(kind, f"{kind}, licence unknown to lidistill")


def teacher_licence(config: dict[str, Any] | None) -> str:
    """Licence of a teacher's weights.

    Args:
        config: The teacher's configuration as JSON values; None where the run does not say it.
    """
    if config is None:
        return ""
    if config.get("kind") == "lidistill":
        return _OF_LIDAR
    model = str(config.get("model", config.get("kind", "")))
    row = known_teacher(model)
    if row is not None:
        return row.family.licence
    name = model.rpartition("/")[2].lower()
    fitting = [licence for part, licence in _FAMILIES.items() if name.startswith(part)]
    return fitting[0] if fitting else UNKNOWN

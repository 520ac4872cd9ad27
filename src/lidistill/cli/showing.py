"""What ``lidistill view`` does: the frames, the networks, and the page that shows them."""

import math
import webbrowser
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lidistill.apps.features import FeatureModel
from lidistill.apps.load_features import load
from lidistill.cli.output import OUT, positive, print_json
from lidistill.cli.view import Showing, ViewOptions
from lidistill.cli.view_queries import queries_of
from lidistill.datasets.own.files import read_statistics
from lidistill.deploy.hub import is_hub_address
from lidistill.deploy.model_config import is_model_folder
from lidistill.errors import CheckpointError, ConfigError
from lidistill.training.checkpoint import load_checkpoint, newest_checkpoint
from lidistill.training.progress import ProgressBar
from lidistill.viewer.build import EXPORT_WIDTH, SERVER_WIDTH, Network, build_content, names_of
from lidistill.viewer.content import Content
from lidistill.viewer.differences import most_different
from lidistill.viewer.export import export as write_page
from lidistill.viewer.page import built_page, with_source
from lidistill.viewer.saving import Saver
from lidistill.viewer.server import application, new_token
from lidistill.viewer.serving import HOST, hosts_of, listen, serve
from lidistill.viewer.sources import Source, choose_frames, open_source, source_of_run
from lidistill.viewer.teacher_images import teacher_of

_MOST_SERVED, _MOST_EXPORTED, _MOST_COMPARED = 60, 10, 200


def look_at(
    paths: Sequence[Path], options: ViewOptions, showing: Showing, *, as_json: bool
) -> None:
    """Show runs and scans; see ``view``.

    Raises:
        ConfigError: If options contradict one another, or do not go with what is shown.
    """
    _check_together(options, showing)
    runs = [path for path in paths if _is_run(path)]
    scans = [path for path in paths if path not in runs]
    source = _source(runs, scans, options)
    source.check_column(options.intensity)
    most = _MOST_SERVED if showing.export is None else _MOST_EXPORTED
    if options.max_frames is not None:
        most = positive("max-frames", options.max_frames)
    indices = choose_frames(source.dataset, most=most, drive=options.drive, ids=options.frames)
    networks = networks_of(runs, names_of(runs), source, options)
    if options.text is not None and all(one.queries.text is None for one in networks):
        msg = (
            "--text looks for words in a teacher's space, into which no network here leads; give a "
            "run of `lidistill pretrain`."
        )
        raise ConfigError(msg)
    build = partial(
        build_content,
        source.dataset,
        networks=networks,
        title=", ".join(path.resolve().name for path in paths),
        image_width=SERVER_WIDTH if showing.export is None else EXPORT_WIDTH,
    )
    if options.most_different:
        indices = most_different(build(_candidates(source, options, networks)), most)
    content = build(indices)
    own_folder = bool(runs) and not is_hub_address(runs[0])
    beside = runs[0] / "view" if own_folder else Path("runs/view")
    show(content, showing, beside=beside, as_json=as_json)


def _check_together(options: ViewOptions, showing: Showing) -> None:
    """Refuse options of which one would be left aside without a word.

    Raises:
        ConfigError: If there are such.
    """
    msg = ""
    if options.frames and options.drive is not None:
        msg = "--frames names every frame that is shown, so --drive has no say; leave one out."
    elif options.frames and options.max_frames is not None and not options.most_different:
        msg = "--frames names every frame that is shown, so --max-frames has no say; leave one out."
    elif showing.export is None and showing.overwrite:
        msg = "--overwrite is for a page that is written; give --export with it."
    elif showing.export is not None and (showing.output is not None or showing.port):
        msg = "--output and --port are for the server, and --export starts none; leave them out."
    if msg:
        raise ConfigError(msg)


def show(
    content: Content,
    showing: Showing,
    *,
    beside: Path,
    as_json: bool,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Write a page, or serve it until Ctrl-C.

    Args:
        content: What it shows.
        showing: Which of the two, and where.
        beside: Where labels and heads are saved unless ``showing`` says so.
        as_json: Print one JSON object instead of text.
        also: What that object says besides.
    """
    more = {} if also is None else dict(also)
    if showing.export is not None:
        file = _export(content, showing.export, overwrite=showing.overwrite)
        megabytes = _size(showing.export) / 1e6
        if as_json:
            print_json(more | {"page": str(file), "megabytes": round(megabytes, 2)})
        else:
            OUT.print(f"page        {file} ({megabytes:.1f} MB, opens in a browser as it is)")
        if showing.open:
            webbrowser.open(file.resolve().as_uri())
        return
    content.is_served = True
    saver = Saver(content, showing.output or beside)
    page = with_source(built_page(), "server")
    token, one = new_token(), listen(showing.port)
    address = f"http://{HOST}:{one.getsockname()[1]}/{token}/"

    def say() -> None:
        if as_json:
            print_json(more | {"address": address})
        else:
            OUT.print(f"page        {address} (Ctrl-C ends it)")
        if showing.open:
            webbrowser.open(address)

    serve(application(content, saver, page, token=token, hosts=hosts_of(one)), one, on_start=say)


def _export(content: Content, target: Path, *, overwrite: bool) -> Path:
    with ProgressBar("writing the page", total=sum(1 for _ in content.names())) as bar:
        return write_page(content, target, overwrite=overwrite, on_part=bar.advance)


def _size(target: Path) -> int:
    files = [target] if target.is_file() else target.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _is_model(path: Path) -> bool:
    """Whether a path is a model folder, on disk or on a hub: a network without data or teacher."""
    return is_hub_address(path) or is_model_folder(path)


def _is_run(path: Path) -> bool:
    if _is_model(path):
        return True
    try:
        newest_checkpoint(path)
    except CheckpointError:
        return False
    return True


def _source(runs: Sequence[Path], scans: Sequence[Path], options: ViewOptions) -> Source:
    """What is given, or the data of the first run."""
    if scans:
        return open_source(scans, sensor=options.sensor, intensity=options.intensity)
    if _is_model(runs[0]):
        msg = (
            f"{runs[0]} is a model folder, which knows no data; give scans or the folder of a data "
            "set after it."
        )
        raise ConfigError(msg)
    return source_of_run(load_checkpoint(runs[0]), sensor=options.sensor)


def networks_of(
    runs: Sequence[Path], names: Sequence[str], source: Source, options: ViewOptions
) -> list[Network]:
    """The networks of some runs, for the lidar of what is shown.

    Args:
        runs: Run folders, checkpoints or model folders.
        names: What to call them.
        source: What is shown.
        options: How they compute.
    """
    networks = []
    for run, name in zip(runs, names, strict=True):
        teacher = None
        if not (options.no_teacher or _is_model(run)):
            teacher = teacher_of(load_checkpoint(run), options.device, name=options.teacher)
        model = load_for(run, source, options)
        distilled = model.has_head and not model.class_names
        queries = queries_of(
            model,
            run,
            has_teacher=teacher is not None,
            partner=options.text if distilled else None,
        )
        networks.append(Network(name=name, model=model, teacher=teacher, queries=queries))
    return networks


def _candidates(source: Source, options: ViewOptions, networks: Sequence[Network]) -> list[int]:
    """Frames among which the most different ones are looked for."""
    if len(networks) != 2:
        msg = f"--most-different compares two runs, found {len(networks)}; give two."
        raise ConfigError(msg)
    return choose_frames(
        source.dataset, most=_MOST_COMPARED, drive=options.drive, ids=options.frames
    )


def load_for(run: Path, source: Source, options: ViewOptions) -> FeatureModel:
    """The network of a run, for the lidar of what is shown."""
    sensor, mean, std = options.sensor, None, None
    if options.statistics is not None:
        mean, std = read_statistics(options.statistics)
    elif source.sensor is not None and math.isfinite(source.sensor.intensity_std):
        found = source.sensor
        sensor, mean, std = found.name, found.intensity_mean, found.intensity_std
    elif source.sensor is not None:  # without intensity, which the frames have as zeros
        sensor, mean, std = source.sensor.name, 0.0, 1.0
    return load(
        run,
        options.device,
        sensor=sensor,
        intensity_mean=mean,
        intensity_std=std,
        precision=options.precision,
        head=options.teacher,
    )

"""CPU seconds of a network in PyTorch and in onnxruntime, and of both ways to prepare a scan.

CPU seconds of one thread do not count the time that other programs have the core.

    python benchmarks/onnx_speed.py FOLDER SCAN... [--published]

FOLDER is what `lidistill export --onnx --half` wrote. --published: a WI-48-256 with random weights
in place of its network.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import onnxruntime
import torch

from lidistill.backbones import Backbone, WaffleIronConfig
from lidistill.deploy import preprocess
from lidistill.deploy.model import read_model_folder
from lidistill.deploy.onnx_graph import write_graph
from lidistill.deploy.robot_package import HALF, NETWORK, SETTINGS, sample_of
from lidistill.loading.collate import collate
from lidistill.scan_formats.scan_file import read_scan


def main() -> None:
    """Time every scan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--published", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = read_model_folder(arguments.folder)
    sensor = model.sensor(None, source=str(arguments.folder))
    settings = json.loads((arguments.folder / SETTINGS).read_text())
    backbone: Backbone = model.build_backbone()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder
        if arguments.published:
            folder, backbone = Path(temporary), WaffleIronConfig().build().eval()
            batch = collate([sample_of(read_scan(arguments.scans[0]), model, sensor)])
            for name, dtype in ((NETWORK, torch.float32), (HALF, torch.float16)):
                write_graph(backbone, None, batch, folder / name, dtype=dtype)
        graphs = {name: _session(folder / name) for name in (NETWORK, HALF)}
        network, form = backbone.for_inference(), backbone.export_form()
        for file in arguments.scans:
            scan = read_scan(file)
            sample, prepared = _timed(partial(sample_of, scan, model, sensor))
            _, in_numpy = _timed(partial(preprocess.prepare, scan.points, scan.intensity, settings))
            batch = collate([sample])
            values = (tensor.numpy() for tensor in form.feed(batch))
            feed = dict(zip(form.inputs, values, strict=True))
            _, torch_s = _timed(partial(network, batch))
            times = {
                name: _timed(partial(graph.run, ["features"], feed))[1]
                for name, graph in graphs.items()
            }
            shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
            print(
                f"{len(scan.points):,} points, {len(sample):,} seen: PyTorch {torch_s:.2f} s, "
                f"{shown}; prepared in {prepared:.3f} s, by preprocess.py in {in_numpy:.2f} s"
            )


def _session(file: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the median CPU seconds of three after the first."""
    result, times = run(), []
    for _ in range(3):
        start = time.process_time()
        result = run()
        times.append(time.process_time() - start)
    return result, median(times)


if __name__ == "__main__":
    main()

"""Commands that take a network out of a run: a model folder, ONNX for robots, a hub."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from lidistill.cli.output import OUT, Folder, Run, print_json
from lidistill.errors import ConfigError

if TYPE_CHECKING:
    from lidistill.deploy.robot_package import RobotOptions, RobotPackage


_Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
_Scores = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RESULTS ...")]
_Scans = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="SCAN ...")]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptions:
    """Whether and how the network also becomes ONNX."""

    onnx: bool = False
    """Also write the network as ONNX without custom operators, compared in onnxruntime."""
    half: bool = False
    """Also write an ONNX network that computes in 16 bits."""
    sensor: str | None = None
    """Lidar of the robot; needed for ONNX where the run was trained on several."""
    scans: _Scans = ()
    """Scans to compare PyTorch and onnxruntime on, or folders, of which the first three are taken;
    made ones where none are given."""

    @property
    def robot(self) -> "RobotOptions | None":
        """What is wanted, or None."""
        from lidistill.deploy.robot_package import RobotOptions

        if not self.onnx and (self.half or self.scans or self.sensor is not None):
            msg = "--half, --sensor and --scans are about ONNX; give --onnx with them."
            raise ConfigError(msg)
        options = RobotOptions(half=self.half, sensor=self.sensor, scans=self.scans)
        return options if self.onnx else None


_Options = Annotated[OnnxOptions, tyro.conf.arg(name="")]
_DEFAULT = OnnxOptions()


def export(
    run: Run,
    folder: Folder,
    /,
    *,
    name: str = "",
    teacher: str | None = None,
    scores: _Scores = (),
    overwrite: bool = False,
    options: _Options = _DEFAULT,
    json: bool = False,
) -> None:
    """Write a run's network as a folder that loads anywhere: weights, config, card, figure.

    Example: lidistill export runs/pretrain/pandaset-002 models/pandaset-002
        --scores runs/probe/pandaset-002

    Then: lidistill features models/pandaset-002 SCANS --output features

    Or in Python: lidistill.load("models/pandaset-002").

    With --onnx, for robots: network.onnx, preprocess.py (NumPy alone), Autoware's parameter files.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        folder: Folder to write.
        name: What the card calls the model; default: the folder's name.
        teacher: Of a run with several teachers: whose head is written.
        scores: Runs of probes on these weights, or their results.json; the card shows them.
        overwrite: Replace an earlier export there.
        options: About ONNX.
        json: Print one JSON object instead of text.
    """
    from lidistill.deploy.export import export as write_export

    robot = options.robot
    found = write_export(
        run,
        folder,
        name=name,
        head_name=teacher,
        scores=scores,
        overwrite=overwrite,
        robot=robot,
    )
    if json:
        package = None if found.robot is None else dataclasses.asdict(found.robot)
        config_json = found.config.to_json()
        print_json({"folder": str(found.folder), "config": config_json, "onnx": package})
        return
    config = found.config
    what = f"{len(config.class_names)} classes" if config.class_names else "features"
    OUT.print(f"model       {found.folder} ({what}, format {config.format})")
    OUT.print(f"scores      {len(found.scores)} on the card")
    OUT.print(f"figure      {found.figure or 'none: the run has neither scores nor a log'}")
    OUT.print("licence     say yours in README.md before you publish it")
    if found.robot is not None:
        OUT.print(_comparison(found.robot))


def push(folder: Folder, name: _Name, /, *, private: bool = False, json: bool = False) -> None:
    """Upload a model folder to a hub of Hugging Face's kind (HF_ENDPOINT names another one).

    Example: lidistill push models/pandaset-002 you/lidistill-pandaset-002

    Then, anywhere: lidistill.load("hf://you/lidistill-pandaset-002").

    Args:
        folder: What lidistill export wrote.
        name: Name on the hub; its repository is made where it is not there.
        private: A new repository is for its owner alone.
        json: Print one JSON object instead of text.
    """
    from lidistill.deploy.hub import push as push_folder

    commit = push_folder(folder, name, private=private)
    if json:
        print_json({"model": f"hf://{name}", "commit": commit})
        return
    OUT.print(f"pushed      hf://{name}")
    OUT.print(f"commit      {commit}")


def _comparison(package: "RobotPackage") -> Table:
    """What onnxruntime makes of each scan, beside PyTorch."""
    table = Table("network", "points", "difference", "same output %", "PyTorch ms", "ONNX ms")
    for name, found in (("float32", package.exact), ("float16", package.half)):
        for one in found:
            times = (f"{1000 * seconds:.0f}" for seconds in (one.network_s, one.graph_s))
            alike = f"{100 * one.agreement:.2f}"
            table.add_row(name, f"{one.num_points:,}", f"{one.difference:.1e}", alike, *times)
    return table

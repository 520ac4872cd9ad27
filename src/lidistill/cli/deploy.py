"""Commands that take a network out of a run: a model folder, and a hub."""

from pathlib import Path
from typing import Annotated

import tyro

from lidistill.cli.output import OUT, Folder, Run, print_json
from lidistill.deploy.export import export as write_export
from lidistill.deploy.hub import push as push_folder

_Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
_Scores = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RESULTS ...")]


def export(
    run: Run,
    folder: Folder,
    /,
    *,
    name: str = "",
    scores: _Scores = (),
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Write a run's network as a folder that loads anywhere: weights, config, card, figure.

    Example: lidistill export runs/pretrain/pandaset-002 models/pandaset-002
        --scores runs/probe/pandaset-002

    Then: lidistill features models/pandaset-002 SCANS --output features

    Or in Python: lidistill.load("models/pandaset-002").

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        folder: Folder to write.
        name: What the card calls the model; default: the folder's name.
        scores: Runs of probes on these weights, or their results.json; the card shows them.
        overwrite: Replace an earlier export there.
        json: Print one JSON object instead of text.
    """
    found = write_export(run, folder, name=name, scores=scores, overwrite=overwrite)
    if json:
        print_json({"folder": str(found.folder), "config": found.config.to_json()})
        return
    config = found.config
    what = f"{len(config.class_names)} classes" if config.class_names else "features"
    OUT.print(f"model       {found.folder} ({what}, format {config.format})")
    OUT.print(f"scores      {len(found.scores)} on the card")
    OUT.print(f"figure      {found.figure or 'none: the run has neither scores nor a log'}")
    OUT.print("licence     say yours in README.md before you publish it")


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
    commit = push_folder(folder, name, private=private)
    if json:
        print_json({"model": f"hf://{name}", "commit": commit})
        return
    OUT.print(f"pushed      hf://{name}")
    OUT.print(f"commit      {commit}")

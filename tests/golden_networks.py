"""The reference's networks as ours: one stored case, its network and its padded batch."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from golden_cases import load_module, read_tensors
from torch import Tensor, nn

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import WaffleInputs
from lidistill.backbones.waffleiron.published import from_official, to_official
from lidistill.distill.heads import LinearHeadConfig, MLPHeadConfig
from lidistill.records import Batch
from lidistill.segment.heads import SegmentationHead

ROUNDING = 1e-6
"""Norm of a gradient that is zero but for rounding: of a bias before a BatchNorm."""


@dataclass
class Case:
    file: Path
    tensors: dict[str, Tensor]
    facts: dict

    @property
    def config(self) -> dict:
        return self.facts["config"]


@cache
def read_case(file: Path) -> Case:
    tensors, meta = read_tensors(file)
    sidecar = file.with_suffix(".json")
    facts = json.loads(sidecar.read_text()) if sidecar.is_file() else meta
    return Case(file, tensors, facts)


def build_net(case: Case) -> nn.ModuleDict:
    config = case.config
    is_main = case.facts["branch"] == "main"
    backbone = WaffleIronConfig(
        width=config["c"],
        depth=config["depth"],
        activation="gelu" if config.get("gelu", not is_main) else "relu",
        norm="batch" if config.get("which_norm") == "batchnorm" else "layer",
        drop_path=config.get("drop_path", 0.0),
        flatten="sum_over_count_eps" if is_main else "mean",
        grid=GridConfig(planes=tuple(tuple(size) for size in config["grids"])),
    ).build()
    net = nn.ModuleDict({"backbone": backbone, "head": build_head(case)})
    load(net, stored_weights(case, net))
    return net


def build_head(case: Case) -> nn.Module:
    config = case.config
    if "nb_class" in case.facts:
        return SegmentationHead(config["c"], case.facts["nb_class"])
    mlp = config.get("mlp_classif", False)
    head = MLPHeadConfig(hidden_channels=config["hidden"]) if mlp else LinearHeadConfig()
    return head.build(config["c"], config["out"])


def stored_weights(case: Case, net: nn.ModuleDict) -> dict[str, Tensor]:
    stored = {k[3:]: v for k, v in case.tensors.items() if k.startswith("sd.")}
    if stored:
        return stored
    detfill = load_module(case.file.parent / "detfill.py")
    shapes = official_tensors(net)
    tag = case.facts["tag"]
    return {
        name: torch.from_numpy(detfill.fill(f"{tag}/{name}", tuple(tensor.shape)).copy())
        for name, tensor in shapes.items()
    }


def load(net: nn.ModuleDict, official: dict[str, Tensor]) -> None:
    named = from_official(official)
    net["backbone"].load_state_dict(named.backbone)
    net["head"].load_state_dict(named.head)


def official_tensors(net: nn.ModuleDict) -> dict[str, Tensor]:
    return to_official(
        NamedWeights(backbone=net["backbone"].state_dict(), head=net["head"].state_dict())
    )


def official_gradients(net: nn.ModuleDict) -> dict[str, Tensor]:
    grads = {
        part: {name: p.grad for name, p in net[part].named_parameters() if p.grad is not None}
        for part in ("backbone", "head")
    }
    return to_official(NamedWeights(**grads))


def padded_batch(case: Case) -> Batch:
    features = case.tensors["in.feat"]
    num_scans, _, columns = features.shape
    neighbors = case.tensors["in.neighbors_emb"].long().transpose(1, 2)
    starts = torch.arange(num_scans) * columns
    cells = case.tensors["in.cell_ind"].long().transpose(1, 2)
    if case.facts["branch"] == "main":
        counts = case.tensors["in.occupied_cells"] > 0
        cells = torch.where(counts[:, :, None], cells, -1 - cells)
    return Batch(
        offsets=torch.arange(num_scans + 1) * columns,
        features=features.transpose(1, 2).flatten(0, 1).contiguous(),
        inputs=WaffleInputs(
            neighbors=(neighbors + starts[:, None, None]).flatten(0, 1), cells=cells.flatten(0, 1)
        ),
    )


def relative(found: Tensor, expected: Tensor) -> float:
    expected = expected.double()
    norm = expected.norm().clamp(min=1e-30)
    return float((found.double().reshape(expected.shape) - expected).norm() / norm)


def channels_first(x: Tensor, case: Case) -> Tensor:
    return x.unflatten(0, (case.tensors["in.feat"].shape[0], -1)).transpose(1, 2)


def gradient_tolerance(name: str, depth: int) -> float:
    # Two neighbours, or a ReLU's two sides, may be closer than float32 can tell. Then a discrete
    # choice differs: the reference itself moves this much between float32 and float64.
    return 5e-3 if name.startswith("embed.") or depth > 12 else 1e-4

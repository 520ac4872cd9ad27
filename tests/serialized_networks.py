"""The reference's LitePT and Point Transformer V3 as ours: stored cases, networks, batches."""

import importlib.util
import json

import torch
from golden_cases import read_tensors

from lidistill.backbones.litept.inputs import SerializedInputs, inputs_of_cells
from lidistill.backbones.litept.litept import LitePTConfig
from lidistill.backbones.litept.ptv3 import PTv3Config
from lidistill.backbones.litept.published import our_name, ours
from lidistill.records import Batch

AS_PUBLISHED = {"depth_over": "batch", "shuffle_orders": "never"}


class Case:
    """A stored case; rows of ours are cells in lexicographic order, theirs may lie otherwise."""

    def __init__(self, file):
        self.tensors, _ = read_tensors(file)
        self.facts = json.loads(file.with_suffix(".json").read_text())
        self.ptv3 = "ptv3" in file.parts
        self.file = file
        self.perms = self.facts.get("shuffle_perms_of_eval_out_shuffled")

    def config(self, **changes):
        kind = PTv3Config if self.ptv3 else LitePTConfig
        return kind(**(settings(self.facts.get("config"), ptv3=self.ptv3) | AS_PUBLISHED | changes))

    def network(self, **changes):
        network = self.config(**changes).build()
        network.load_state_dict(dict(ours(name, w) for name, w in self.weights().items()))
        return network

    def weights(self):
        stored = {n.removeprefix("sd."): w for n, w in self.tensors.items() if n.startswith("sd.")}
        return stored or filled(self.file)

    def batch(self, config):
        """The two scans, packed; rows of ``features`` keep the order of the file."""
        scan, cells = self.tensors["in.batch"].long(), self.tensors["in.grid_coord"].long()
        parts = [inputs_of_cells(cells[scan == number], config.rule()) for number in range(2)]
        starts = [0, len(parts[0])]
        assert torch.equal(scan, scan.sort().values)
        return Batch(
            offsets=torch.tensor([0, len(parts[0]), len(scan)]),
            features=self.tensors["in.feat"],
            inputs=SerializedInputs.collate(parts, starts),
        )

    def rows(self, number, level):
        """Our row of each of their rows of a level."""
        ours = torch.cat([level.scan()[:, None], level.cells], 1).tolist()
        row_of = {tuple(cell): row for row, cell in enumerate(ours)}
        key = f"eval.enc.enc{number}.down" if number else "in"
        theirs = [self.tensors[f"{key}.{name}"] for name in ("batch", "grid_coord")]
        theirs = torch.cat([theirs[0][:, None], theirs[1]], 1).tolist()
        return torch.tensor([row_of[tuple(cell)] for cell in theirs])


def settings(config, *, ptv3=False):
    """Keys of ours that say what a configuration of theirs says."""
    if config is None:
        return {}
    attending = 5 if ptv3 else 2
    found = {
        "channels": ("x", "y", "z", "intensity"),
        "widths": tuple(config["enc_channels"]),
        "depths": tuple(config["enc_depths"]),
        "heads": tuple(config["enc_num_head"][-attending:]),
        "decoder_widths": tuple(config["dec_channels"]),
        "patch_size": config["enc_patch_size"][-1],
        "drop_path": config["drop_path"],
    }
    if ptv3:
        found["decoder_depths"] = tuple(config["dec_depths"])
        found["decoder_heads"] = tuple(config["dec_num_head"])
    return found


def filled(file):
    """Weights of the published size, which a formula gives."""
    spec = importlib.util.spec_from_file_location("fill", file.with_name("fill.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = json.loads(file.with_name("litept_keys.json").read_text())["S"]["keys"]
    return {
        name: torch.from_numpy(module.fill(f"litepts/{name}", tuple(shape)))
        for name, shape in keys.items()
    }


def official_gradients(network, names):
    """Gradients under the authors' names and in their shapes."""
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return {name: as_theirs(gradients[our_name(name)]) for name in names}


def as_theirs(tensor):
    """A kernel as spconv stores it: (V, in, out), x fastest, to (out, kx, ky, kz, in)."""
    if tensor.ndim != 3:
        return tensor
    size = round(tensor.shape[0] ** (1 / 3))
    return tensor.unflatten(0, (size, size, size)).permute(4, 2, 1, 0, 3)


def relative(found, expected):
    return float((found.double() - expected.double()).norm() / expected.double().norm())

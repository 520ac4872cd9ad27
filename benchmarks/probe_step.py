"""A probe's training step on given features, beside its parts one after the other, by turns.

The reference is BatchNorm, linear layer, and the Lovász loss by its definition or as an older
version of this package has it; ours are the same weights in the package's head and loss. Both
compute on the same features in one process.

    python benchmarks/probe_step.py --points 20000 --channels 768 --output probe-step.json
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import spread, timed, write_record
from torch import Tensor, nn

from lidistill.labels import IGNORE
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.losses import cross_entropy_lovasz
from lidistill.segment.lovasz import lovasz_defined


def defined_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus Lovász loss, the latter as it is defined."""
    counts = labels != IGNORE
    logits, labels = logits[counts], labels[counts]
    return F.cross_entropy(logits, labels) + lovasz_defined(logits.softmax(1), labels)


def loss_of(file: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """``cross_entropy_lovasz`` of another version's ``segment/losses.py``."""
    spec = importlib.util.spec_from_file_location("other_losses", file)
    assert spec is not None  # noqa: S101  a file that ends in .py has one
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loss: Callable[[Tensor, Tensor], Tensor] = module.cross_entropy_lovasz
    return loss


def gradients_of(network: nn.Module) -> list[Tensor]:
    """Gradients of all parameters, in their order."""
    return [p.grad for p in network.parameters() if p.grad is not None]


def options_given() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--channels", type=int, default=768)
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--losses", type=Path, help="segment/losses.py of another version")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Time both, with the largest difference of their gradients in the first step."""
    options = options_given()
    torch.manual_seed(0)
    head = SegmentationHead(options.channels, options.classes)
    nn.init.normal_(head.linear.weight, std=0.05)
    parts = nn.Sequential(
        nn.BatchNorm1d(options.channels), nn.Linear(options.channels, options.classes)
    )
    parts[1].load_state_dict(head.linear.state_dict())
    features = torch.randn(options.points, options.channels)
    labels = torch.randint(options.classes, (options.points,))
    labels[::17] = IGNORE
    reference = defined_loss if options.losses is None else loss_of(options.losses)

    def gradients(network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        network.zero_grad()
        loss(network(features), labels).backward()

    def step(
        network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], learn: torch.optim.Optimizer
    ) -> None:
        gradients(network, loss)
        learn.step()

    gradients(head, cross_entropy_lovasz)
    gradients(parts, reference)
    pairs = zip(gradients_of(head), gradients_of(parts), strict=True)
    apart = max(float((a - b).norm() / b.norm()) for a, b in pairs)
    ours = torch.optim.AdamW(head.parameters(), fused=True)
    theirs = torch.optim.AdamW(parts.parameters(), fused=True)
    seconds: list[tuple[float, float]] = []
    for _ in range(options.turns):
        first = timed(lambda: step(head, cross_entropy_lovasz, ours))
        second = timed(lambda: step(parts, reference, theirs))
        seconds.append((first["cpu_s"], second["cpu_s"]))
    results = {
        "ours": spread([a for a, _ in seconds]),
        "reference": spread([b for _, b in seconds]),
        "ratio": spread([b / a for a, b in seconds]),
        "gradients_apart": apart,
    }
    write_record(options.output, results | vars(options) | {"output": None, "losses": None})
    print(results)


if __name__ == "__main__":
    main()

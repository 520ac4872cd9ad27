"""Networks as they compute where they do not learn: folded, and in 16 bits where that is wanted."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from lidistill.backbones.base import Backbone
from lidistill.backbones.checked import (
    BothPrecisions,
    CheckedNetwork,
    Difference,
    Judge,
    SameClass,
    same_direction,
)
from lidistill.config import FrozenPrecision, InferencePrecision
from lidistill.distributed.processes import on_rank_zero, sum_counts
from lidistill.loading.collate import collate
from lidistill.records import Sample
from lidistill.segment.encoders import BackboneEncoder, Encoder
from lidistill.training.precision import fast_in_bf16, warn_if_slow

logger = logging.getLogger(__name__)

FEWEST_SCANS: Final = 10
"""Below so many the look at the first ones costs more than 16 bits save."""


def inference_network(
    network: Backbone, precision: InferencePrecision, device: torch.device
) -> Backbone:
    """A copy that computes in a precision, on a device; where that is not what was asked, it says.

    Args:
        network: As it was trained.
        precision: Of its products; ``auto`` gives ``BothPrecisions``, where the machine is fast in
            16 bits and the network has a form for them.
        device: Where it computes.
    """
    low = precision != "fp32"
    if low and not network.has_16_bits:
        logger.info("products in fp32: %s has no other form", network.shown_name)
        low = False
    elif precision == "auto" and not fast_in_bf16(device):
        logger.info("products in fp32: this machine is not faster in bf16")
        low = False
    if low and precision == "auto":
        return BothPrecisions(network).to(device)
    warn_if_slow(device, "bf16" if low else "fp32", key="precision")
    return network.for_inference(torch.bfloat16 if low else torch.float32).to(device)


def inference_encoder(
    encoder: Encoder,
    precision: InferencePrecision,
    scores: Callable[[Tensor], Tensor] | None,
) -> Encoder:
    """An encoder whose network computes as ``inference_network`` has it; others stay as they are.

    Args:
        encoder: Of a probe or a fine-tuning.
        precision: Of its products.
        scores: Class scores of its features, where classes are what counts; else it is the
            direction of features.
    """
    if not isinstance(encoder, BackboneEncoder):
        return encoder
    network = inference_network(encoder.backbone, precision, encoder.device)
    if isinstance(network, BothPrecisions):
        judge: Judge = same_direction if scores is None else SameClass(scores)
        network = network.checked(judge, what="direction" if scores is None else "class")
    return BackboneEncoder(network)


def settle(encoder: Encoder, samples: Iterable[Sample], num_scans: int) -> None:
    """Let an encoder's network decide on the first scans, if it has a choice.

    Args:
        encoder: From ``inference_encoder``.
        samples: All scans in the order of their data set; only the first ones are read, and that
            by the first process, which tells the others.
        num_scans: How many there are.
    """
    if not isinstance(encoder, BackboneEncoder) or not isinstance(encoder.backbone, CheckedNetwork):
        return
    network = encoder.backbone
    if too_few(network, num_scans):
        return

    def decided() -> tuple[FrozenPrecision | None, Difference]:
        network.settle(collate([sample]).to(encoder.device) for sample in samples)
        return network.taken, network.seen

    network.taken, network.seen = on_rank_zero(decided)


def too_few(network: CheckedNetwork, num_scans: int) -> bool:
    """Whether so many scans are not worth a look; then the network decides for 32 bits.

    Args:
        network: One that has the choice.
        num_scans: How many there are.
    """
    if num_scans >= FEWEST_SCANS:
        return False
    network.taken = "fp32"
    logger.info(
        "products in fp32: to see whether bf16 changes anything pays from %d scans on, and there "
        "are %d", FEWEST_SCANS, num_scans,
    )  # fmt: skip
    return True


def precision_taken(encoder: Encoder) -> dict[str, Any]:
    """In what an encoder's network computes, as JSON values; nothing where it has none.

    A network that had the choice also says what it saw. All processes must call it.
    """
    if not isinstance(encoder, BackboneEncoder):
        return {}
    network = encoder.backbone
    if not isinstance(network, CheckedNetwork):
        return {"precision": precision_of(network)}
    exceptions = sum_counts(np.array([network.num_exceptions], np.int64))
    return {
        "precision": network.taken,
        "points_changed_at_first": network.seen.changed,
        "points_seen_at_first": network.seen.points,
        "scans_in_fp32_after_a_check": int(exceptions[0]),
    }


def precision_of(network: Backbone) -> FrozenPrecision:
    """Arithmetic of the products of a network that has no choice."""
    return "bf16" if getattr(network, "dtype", torch.float32) == torch.bfloat16 else "fp32"

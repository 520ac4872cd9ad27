"""Samples packed one after the other: a batch."""

import numpy as np
import torch
from torch import Tensor

from lidistill.records import Batch, ForTeachers, Pairs, Sample


def collate(samples: list[Sample]) -> Batch:
    """Pack samples one after the other and shift every index.

    Raises:
        ValueError: If there is no sample, or only some of them carry labels, pairs or images.
    """
    if not samples:
        msg = "cannot pack an empty list of samples"
        raise ValueError(msg)
    lengths = torch.tensor([len(sample) for sample in samples])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    starts = offsets[:-1].tolist()
    images = _stack_all_or_none("images", [sample.images for sample in samples])
    return Batch(
        offsets=offsets,
        features=torch.cat([sample.features for sample in samples]),
        inputs=type(samples[0].inputs).collate([sample.inputs for sample in samples], starts),
        coords=torch.cat([sample.coords for sample in samples]),
        labels=_stack_all_or_none("labels", [sample.labels for sample in samples]),
        pairs=_pack_pairs(samples, starts),
        images=images,
        image_paths=tuple(path for sample in samples for path in sample.image_paths),
        image_sizes=tuple(size for sample in samples for size in sample.image_sizes),
        frame_ids=tuple(sample.frame_id for sample in samples),
        mirrored=tuple(sample.mirrored for sample in samples for _ in sample.image_paths),
        for_teachers=_pack_for_teachers(samples, starts),
    )


def _pack_for_teachers(samples: list[Sample], starts: list[int]) -> ForTeachers | None:
    present = [one.for_teachers for one in samples if one.for_teachers is not None]
    if not present:
        return None
    if len(present) != len(samples):
        msg = f"only {len(present)} of {len(samples)} samples carry what teachers want"
        raise ValueError(msg)
    return type(present[0]).collate(present, starts)


def _stack_all_or_none(name: str, tensors: list[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    if len(present) != len(tensors):
        msg = f"only {len(present)} of {len(tensors)} samples carry {name}"
        raise ValueError(msg)
    return torch.cat(present)


def _pack_pairs(samples: list[Sample], starts: list[int]) -> Pairs | None:
    present = [sample.pairs for sample in samples if sample.pairs is not None]
    if not present:
        return None
    if len(present) != len(samples):
        msg = f"only {len(present)} of {len(samples)} samples carry pairs"
        raise ValueError(msg)
    view_starts = np.cumsum([0] + [len(sample.image_paths) for sample in samples[:-1]]).tolist()
    return Pairs(
        point=torch.cat([p.point + s for p, s in zip(present, starts, strict=True)]),
        view=torch.cat([p.view + s for p, s in zip(present, view_starts, strict=True)]),
        uv=torch.cat([p.uv for p in present]),
    )

import ast
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from fakes.batches import opened
from golden_cases import golden_files, read_tensors

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import WafflePreparer
from lidistill.loading.collate import collate
from lidistill.records import Frame
from lidistill.samples.augmentation import crop_mask
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.voxels import voxel_first

TIE = 1e-6  # metres: neighbours this close in distance may change places


CHANNELS_OF = {"xyz": ("x", "y", "z"), "height": ("z",)}
"""Channels of the reference's names; all others are called as ours are."""
KITTI = {"mi": 0.28613698, "si": 0.14090556}  # mean and deviation of intensity


@dataclass
class Settings:
    """What a case's header says, with the reference's defaults."""

    sampling: SamplingConfig
    preparer: WafflePreparer
    names: list[str]
    """Channel of every column that the case has; one may be there twice."""
    statistics: tuple[float, float]

    def expected(self, feat):
        """(M, F) stored features, each channel once and in our order."""
        return feat[:, [self.names.index(name) for name in self.preparer.channels]]


def literal(value):
    try:
        return ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        return value


def settings(meta):
    """Sampling, grids and channels of a case: the header names what differs from the defaults."""
    changed = {name: literal(value) for name, value in meta["kw"].items()}
    unknown = set(changed) - {"voxel", "K", "fov", "grids", "feats", "dim_proj", "si", "mi"}
    assert not unknown, f"settings this test does not know: {unknown}"
    feats = changed.get("feats", ("intensity", "xyz", "radius"))
    feats = feats.replace(",", " ").split() if isinstance(feats, str) else feats
    names = [name for feat in feats for name in CHANNELS_OF.get(feat, (feat,))]
    grid = GridConfig()
    low, high = changed.get("fov", (grid.fov_min, grid.fov_max))
    network = WaffleIronConfig(
        channels=tuple(dict.fromkeys(names)),
        num_neighbors=changed.get("K", 16),
        grid={
            "fov_min": low,
            "fov_max": high,
            "axes": changed.get("dim_proj", grid.axes),
            "planes": changed.get("grids", grid.planes),
        },
    )
    return Settings(
        sampling=SamplingConfig(voxel_size=changed.get("voxel", 0.1)),
        preparer=network.inputs(),
        names=names,
        statistics=tuple(changed.get(key, KITTI[key]) for key in ("mi", "si")),
    )


def numbers_of_scans(tensors):
    return sorted(int(name.split(".")[1]) for name in tensors if name.startswith("raw."))


def frame_of(tensors, scan, case):
    raw = tensors[f"raw.{scan}"].numpy()
    return Frame(
        frame_id=str(scan),
        sensor="semantic_kitti",
        points=raw[:, :3],
        intensity=raw[:, 3],
        labels=tensors[f"labels.{scan}"].numpy(),
        intensity_statistics=case.statistics,
    )


def distances(points, index):
    points = points.astype(np.float64)
    return np.linalg.norm(points[index] - points[:, None], axis=2)


@pytest.mark.parametrize("file", golden_files("preprocess/*.safetensors"))
def test_voxels_and_crop_keep_the_same_points(file):
    tensors, meta = read_tensors(file)
    case = settings(meta)
    for scan in numbers_of_scans(tensors):
        points = tensors[f"raw.{scan}"].numpy()[:, :3]
        kept = voxel_first(points, case.sampling.voxel_size)
        np.testing.assert_array_equal(kept, tensors[f"voxel.kept_index.{scan}"].numpy())
        mask = tensors[f"crop.mask_on_voxelised.{scan}"].numpy().astype(bool)
        np.testing.assert_array_equal(crop_mask(points[kept], case.preparer.field_of_view), mask)


@pytest.mark.parametrize("file", golden_files("preprocess/*.safetensors"))
def test_evaluation_samples_are_the_same(file):
    tensors, meta = read_tensors(file)
    case = settings(meta)
    for scan in numbers_of_scans(tensors):
        frame = frame_of(tensors, scan, case)
        sample = scan_sample(frame, case.sampling, case.preparer)
        kept = tensors[f"voxel.kept_index.{scan}"].numpy()
        inside = tensors[f"crop.mask_on_voxelised.{scan}"].numpy().astype(bool)
        np.testing.assert_array_equal(sample.source.numpy(), kept[inside])
        expected = case.expected(tensors[f"feat.{scan}"].T)
        torch.testing.assert_close(sample.features, expected, rtol=1e-6, atol=1e-5)
        np.testing.assert_array_equal(opened(sample).cells.numpy(), tensors[f"cell_ind.{scan}"].T)
        torch.testing.assert_close(sample.full_labels, tensors[f"labels.{scan}"].long())
        _assert_same_neighbors(sample, tensors[f"neighbors.{scan}"].T.numpy())
        _assert_same_inverse(sample, frame, tensors[f"upsample.{scan}"].numpy())


def _assert_same_neighbors(sample, expected):
    found, coords = opened(sample).neighbors.numpy(), sample.coords.numpy()
    np.testing.assert_array_equal(found[:, 0], np.arange(len(found)))
    assert (found != expected).mean() < 1e-3
    np.testing.assert_allclose(distances(coords, found), distances(coords, expected), atol=TIE)


def _assert_same_inverse(sample, frame, expected):
    found, kept = sample.inverse.numpy(), sample.coords.numpy().astype(np.float64)
    assert (found != expected).mean() < 1e-3
    np.testing.assert_allclose(
        np.linalg.norm(frame.points - kept[found], axis=1),
        np.linalg.norm(frame.points - kept[expected], axis=1),
        atol=TIE,
    )


@pytest.mark.parametrize("file", golden_files("preprocess/*.safetensors"))
def test_a_packed_batch_holds_what_the_padded_one_marks_as_occupied(file):
    tensors, meta = read_tensors(file)
    case = settings(meta)
    scans = numbers_of_scans(tensors)
    samples = [scan_sample(frame_of(tensors, s, case), case.sampling, case.preparer) for s in scans]
    batch = collate(samples)
    occupied = tensors["batch.occupied_cells"].bool()
    torch.testing.assert_close(batch.lengths, occupied.sum(dim=1))
    assert torch.cat([s.full_labels for s in samples]).tolist() == (
        tensors["batch.labels_orig"].tolist()
    )
    if "batch.feat" in tensors:
        padded = tensors["batch.feat"].transpose(1, 2)
        torch.testing.assert_close(
            batch.features, case.expected(padded[occupied]), rtol=1e-6, atol=1e-5
        )
        cells = tensors["batch.cell_ind"].transpose(1, 2)[occupied]
        torch.testing.assert_close(opened(batch).cells, cells.long())

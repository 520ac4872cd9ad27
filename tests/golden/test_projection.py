"""Whole distillation samples of the reference, made of its recorded draws and calibrations.

The reference moves nuScenes' points through four float32 transforms and world coordinates of a
thousand metres, which costs up to 0.1 px; one float64 transform is compared within that. The other
sets have one float64 transform there too, and pixels must be equal.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from golden_cases import golden_files, read_tensors

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.geometry import invert_rigid, quaternion_to_matrix, rigid, transform_points
from lidistill.images.files import read_image, resize
from lidistill.projection import project
from lidistill.records import CameraView, Frame
from lidistill.samples.augmentation import Augmentation
from lidistill.samples.distillation import Draws, SamplingConfig, sample_from_pairs
from lidistill.samples.pairing import PixelPairs, pair_view, resize_pixels

ROUNDING_PX = 0.15  # of the reference's nuScenes chain
GRID = GridConfig()


def read(file):
    tensors, meta = read_tensors(file)
    return {name: tensor.numpy() for name, tensor in tensors.items()}, meta


def camera(name, meta, K, T_cam_lidar, **limits):
    return CameraView(
        name=name,
        image_path=Path(f"{name}.png"),
        size_hw=tuple(meta["image_hw"]),
        K=np.asarray(K, dtype=np.float64),
        T_cam_lidar=T_cam_lidar,
        **limits,
    )


def nuscenes_pose(record):
    return rigid(quaternion_to_matrix(record["rotation"]), record["translation"])


def nuscenes_frame(tensors, meta):
    lidar = meta["keyframe"]["point"]
    T_world_lidar = nuscenes_pose(lidar["poserecord"]) @ nuscenes_pose(lidar["cs_record"])
    views = []
    for name in meta["cameras"]:
        record = meta["keyframe"][name]
        T_world_cam = nuscenes_pose(record["poserecord"]) @ nuscenes_pose(record["cs_record"])
        T_cam_lidar = invert_rigid(T_world_cam) @ T_world_lidar
        K = record["cs_record"]["camera_intrinsic"]
        views.append(camera(name, meta, K, T_cam_lidar, near_depth=meta["min_dist"], border_px=1.0))
    return plain_frame("nuscenes", tensors["points"], views)


def kitti_frame(tensors, meta):
    lines = dict(line.split(":") for line in meta["calib_txt"].strip().splitlines())
    P2, Tr = (np.array(lines[key].split(), dtype=np.float64).reshape(3, 4) for key in ("P2", "Tr"))
    T_cam_lidar = np.vstack([Tr, [0, 0, 0, 1]])
    T_cam_lidar[:3, 3] += np.linalg.solve(P2[:, :3], P2[:, 3])
    limits = {"near_x": meta["min_dist_on_lidar_x"], "border_px": 1.0}
    view = camera("image_2", meta, P2[:, :3], T_cam_lidar, **limits)
    return plain_frame("semantic_kitti", tensors["points"], [view])


def pandaset_pose(record):
    position, heading = record["position"], record["heading"]
    rotation = quaternion_to_matrix([heading[key] for key in "wxyz"])
    return rigid(rotation, [position[key] for key in "xyz"])


def pandaset_frame(sensor):
    def build(tensors, meta):
        T_shift = rigid(np.eye(3), [0.0, 0.0, -meta["z_shift"]])
        T_world_lidar = pandaset_pose(meta["lidar_pose"]) @ T_shift
        views = []
        for name in meta["camera_list"]:
            if f"{name}.kept_index" not in tensors:
                continue
            record = meta["cameras"][name]
            inner = record["intrinsics"]
            K = [[inner["fx"], 0, inner["cx"]], [0, inner["fy"], inner["cy"]], [0, 0, 1]]
            T_cam_lidar = invert_rigid(pandaset_pose(record["pose"])) @ T_world_lidar
            views.append(camera(name, meta, K, T_cam_lidar))
        world = tensors["points_world_f64"]
        points = transform_points(invert_rigid(T_world_lidar), world[:, :3])
        return Frame(
            frame_id=sensor,
            sensor=sensor,
            points=points,  # float64 like the reference's, so that every rounding is the same
            intensity=world[:, 3],
            views=tuple(views),
            T_world_lidar=T_world_lidar,
        )

    return build


def plain_frame(sensor, cloud, views):
    return Frame(
        frame_id=sensor,
        sensor=sensor,
        points=cloud[:, :3],
        intensity=cloud[:, 3],
        views=tuple(views),
    )


FRAMES = {
    "nuscenes": nuscenes_frame,
    "semantic_kitti": kitti_frame,
    "pandar64": pandaset_frame("pandar64"),
    "pandargt": pandaset_frame("pandargt"),
}
FILES = golden_files(*(f"projection/{sensor}*.safetensors" for sensor in FRAMES))


def image_hw(tensors):
    """Size of the resized image; where the sample needs no image it is not written down."""
    return tuple(tensors["sample.image"].shape[-2:]) if "sample.image" in tensors else (56, 112)


def sensor_of(file):
    return next(sensor for sensor in FRAMES if file.stem.startswith(sensor))


def recorded(tensors, view, name):
    """A view's own tensor; SemanticKITTI has one camera and no prefix."""
    full = f"{view.name}.{name}"
    return tensors[full] if full in tensors else tensors[name]


def recorded_uv(tensors, view):
    if f"{view.name}.projected_xy_f64" in tensors:
        return tensors[f"{view.name}.projected_xy_f64"]
    return tensors["projected_row_col_f64"][:, ::-1]


def view_project(points, view):
    return project(
        points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        near_depth=view.near_depth,
        near_x=view.near_x,
        border_px=view.border_px,
    )


@pytest.mark.parametrize("file", FILES)
def test_every_camera_sees_the_same_points_at_the_same_pixels(file):
    tensors, meta = read(file)
    frame = FRAMES[sensor_of(file)](tensors, meta)
    for view in frame.views:
        found = view_project(frame.points, view)
        expected = recorded(tensors, view, "kept_index")
        uv, rows_cols = recorded_uv(tensors, view), recorded(tensors, view, "pixels_row_col")
        if frame.sensor == "nuscenes":
            _assert_equal_but_for_rounding(found, expected, uv, view)
            continue
        np.testing.assert_array_equal(found.index, expected)
        np.testing.assert_allclose(found.uv, uv, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(np.floor(found.uv)[:, ::-1], rows_cols)
        small = pair_view(frame.points, view, image_hw(tensors))
        np.testing.assert_array_equal(small.uv, reference_pairs(tensors, view).uv)


def _assert_equal_but_for_rounding(found, expected, uv, view):
    common, ours, theirs = np.intersect1d(found.index, expected, return_indices=True)
    np.testing.assert_allclose(found.uv[ours], uv[theirs], rtol=0, atol=ROUNDING_PX)
    assert np.median(np.abs(found.uv[ours] - uv[theirs])) < ROUNDING_PX / 3
    height, width = view.size_hw
    far = np.array([width, height]) - view.border_px
    alone = [found.uv[~np.isin(found.index, common)], uv[~np.isin(expected, common)]]
    for positions in alone:  # seen by one of the two only: at the very edge
        edge = np.minimum(np.abs(positions), np.abs(far - positions)).min(axis=1)
        assert (edge < ROUNDING_PX).all()


def reference_pairs(tensors, view):
    uv = recorded(tensors, view, "pixels_row_col")[:, ::-1]
    return PixelPairs(
        index=recorded(tensors, view, "kept_index").astype(np.int64),
        uv=resize_pixels(uv, view.size_hw, image_hw(tensors)),
    )


def recorded_draws(tensors, meta, frame, num_pairs):
    """Draws of the recorded sample, and the view they choose.

    ``num_pairs`` tells for a view how many voxelised points it sees. The centre of the point limit,
    a whole number, is drawn only where there are too many of them; an angle follows.
    """
    draws = [(kind, values[0]) for kind, values in meta["sample.draws"] if kind != "randperm"]
    chosen = draws.pop(0)[1] if len(frame.views) > 1 else 0
    limited = draws[0][0] == "randint"
    count = num_pairs(frame.views[chosen])
    centre = (draws.pop(0)[1] + 0.5) / count if limited else 0.0
    numbers = iter(number for _, number in draws)
    angle = (2 * next(numbers) - 1) * np.pi
    flip_axis = next(numbers) if next(numbers) < 2 / 3 else None
    factor = 1 + (2 * next(numbers) - 1) * 0.1
    assert next(numbers, None) is None
    drawn = Draws(
        permutation=tensors["sample.draw_randperm"].astype(np.int64),
        view_order=(chosen,),
        centre=centre,
        augmentation=Augmentation(angle=angle, flip_axis=flip_axis, factor=factor),
    )
    # A limited sample is as large as the limit.
    return drawn, frame.views[chosen], tensors["sample.feat"].shape[1] if limited else count


def recorded_sample(file):
    tensors, meta = read(file)
    frame = FRAMES[sensor_of(file)](tensors, meta)
    config = SamplingConfig(
        voxel_frame="lidar" if frame.T_world_lidar is None else "world",
        image_size_hw=image_hw(tensors),
    )
    permutation = tensors["sample.draw_randperm"].astype(np.int64)
    unplaced = Draws(
        permutation=permutation, view_order=(), centre=0.0, augmentation=Augmentation()
    )
    kept = config.voxels(frame, unplaced.permutation)

    def pairs_of(view):
        # The reference's own pairs: their rounding was compared above.
        whole = reference_pairs(tensors, view)
        position = np.full(len(frame.points), -1)
        position[whole.index] = np.arange(len(whole.index))
        index = np.flatnonzero(position[kept] >= 0)
        return PixelPairs(index=index, uv=whole.uv[position[kept[index]]])

    draws, view, limit = recorded_draws(
        tensors, meta, frame, lambda view: len(pairs_of(view).index)
    )
    config = config.model_copy(update={"max_points": limit})
    pixels = [pairs_of(view)]
    sample = sample_from_pairs(
        frame, kept, pixels, (view,), config=config, preparer=waffle(GRID), draws=draws
    )
    return tensors, frame, sample


@pytest.mark.parametrize("file", FILES)
def test_whole_samples_are_the_same(file):
    tensors, frame, sample = recorded_sample(file)
    features = sample.features.numpy()
    np.testing.assert_allclose(features, tensors["sample.feat"].T, rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(sample.pairs.point, tensors["sample.pairing_points"])
    rows_cols = tensors["sample.pairing_images"][:, 1:]
    np.testing.assert_array_equal(sample.pairs.uv.numpy()[:, ::-1], rows_cols)
    _assert_same_cells(sample, tensors["sample.cell_ind"].T)
    _assert_same_neighbors(sample, tensors["sample.neighbors"].T, frame)


def _assert_same_cells(sample, expected):
    """Equal, but for points whose float32 coordinate lies on the border of a cell."""
    cell = (np.array(GRID.fov_max) - GRID.fov_min)[:2] / GRID.planes[0]
    position = (sample.coords.numpy().astype(np.float64) - GRID.fov_min) / cell[0]
    on_border = (np.abs(position - np.round(position)) < 1e-4).any(axis=1)
    differing = (sample.inputs.cells.numpy() != expected).any(axis=1)
    assert not (differing & ~on_border).any()
    assert differing.mean() < 1e-3


def _assert_same_neighbors(sample, expected, frame):
    found = sample.inputs.neighbors.numpy()
    assert (found != expected).mean() < 2e-3
    points = frame.points[sample.source.numpy()].astype(np.float64)

    def distances(index):
        return np.linalg.norm(points[index] - points[:, None], axis=2)

    np.testing.assert_allclose(distances(found), distances(expected), rtol=0, atol=2e-5)


@pytest.mark.parametrize("image", golden_files("projection/*_camera.png"))
def test_the_image_of_a_sample_is_the_same(image):
    tensors, _ = read(image.with_name(image.name.replace("_camera.png", ".safetensors")))
    pixels = torch.from_numpy(read_image(image)).permute(2, 0, 1)
    resized = resize(pixels, image_hw(tensors), antialias=False)
    expected = torch.from_numpy(tensors["sample.image"])[0]
    assert (resized / 255 - expected).abs().max() <= 1 / 255

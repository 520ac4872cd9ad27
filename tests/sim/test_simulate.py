import json
import multiprocessing
import sys

import numpy as np
import pytest
from fakes.rays import pixel_rays
from pydantic import ValidationError

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.errors import (
    ConfigError,
    LidistillError,
    MissingPackageError,
    UnknownNameError,
)
from lidistill.projection import project
from lidistill.sim import SimulationConfig, simulate
from lidistill.sim.camera import render
from lidistill.sim.classes import raw_ids
from lidistill.sim.plan import plan_drives
from lidistill.sim.recording import recorder, view_of
from lidistill.sim.rigs import RIGS

FORMATS = tuple(RIGS)
SIZES = {"pandaset": (54, 96), "nuscenes": (54, 96), "semantic_kitti": (60, 198)}
ROAD = {"pandaset": 0, "nuscenes": 10, "semantic_kitti": 8}
LIDAR_HEIGHT = {"pandaset": 1.7, "nuscenes": 1.84, "semantic_kitti": 1.73}


def small(dataset, **changes):
    settings = {
        "format": dataset, "seed": 7, "train_drives": 1, "val_drives": 1, "frames": 2,
        "image_size_hw": SIZES[dataset], "column_step": 10,
    }  # fmt: skip
    return SimulationConfig(**settings | changes)


def read(dataset, root, split="all", **settings):
    if dataset == "pandaset":
        return PandaSetConfig(root=root, split=split, labels="required", **settings).build()
    config = {"semantic_kitti": SemanticKittiConfig, "nuscenes": NuScenesConfig}[dataset]
    missing = "error" if split == "all" else "skip"  # of the many official drives
    return config(root=root, split=split, labels="required", missing=missing, **settings).build()


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    for dataset in FORMATS:
        simulate(folder / dataset, small(dataset))
    return folder


@pytest.fixture(params=FORMATS)
def dataset(request):
    return request.param


@pytest.fixture
def root(roots, dataset):
    return roots / dataset


def test_the_reader_finds_both_splits(root, dataset):
    for split in ("train", "val"):
        frames = read(dataset, root, split)
        assert len(frames) == 2
        frame = frames[1]
        assert len(frame.labels) == len(frame.points) > 500
        assert len(frame.views) == len(RIGS[dataset].cameras)
        assert frame.T_world_lidar is not None


def test_pandaset_has_its_second_lidar_too(roots):
    frames = read("pandaset", roots / "pandaset", sensor="pandargt")
    assert len(frames[0].points) > 500
    assert frames[0].points[:, 1].min() > 0  # it looks forward


def test_intensities_stay_in_the_scale_of_the_sensor(root, dataset):
    intensity = read(dataset, root)[0].intensity
    top, step = (0.99, 0.01) if dataset == "semantic_kitti" else (255, 1)
    assert 0 <= intensity.min() < intensity.max() <= top + 1e-6
    np.testing.assert_allclose(intensity / step, np.round(intensity / step), atol=1e-3)


def test_the_road_lies_under_the_lidar_at_its_height(root, dataset):
    frame = read(dataset, root)[0]
    near = np.hypot(frame.points[:, 0], frame.points[:, 1]) < 12
    road = frame.points[near & (frame.labels == ROAD[dataset]), 2]
    assert len(road) > 50
    assert np.median(road) == pytest.approx(-LIDAR_HEIGHT[dataset], abs=0.15)


def test_standing_points_stay_in_place_from_frame_to_frame(root, dataset):
    """Poses and the scans' frames agree: facades of two frames lie on each other."""
    frames = read(dataset, root)
    world = []
    for frame in (frames[0], frames[1]):
        house = np.isin(frame.labels, list(_classes(frames, "building", "manmade")))
        T = frame.T_world_lidar
        world.append((frame.points[house] @ T[:3, :3].T + T[:3, 3])[::3])
    gap = np.linalg.norm(world[0][:, None] - world[1][None], axis=2).min(axis=1)
    assert len(gap) > 100
    assert np.median(gap) < 0.6  # between neighbouring beams


def _classes(frames, *names):
    return [i for i, name in enumerate(frames.label_map.class_names) if name in names]


def test_points_fall_on_pixels_that_show_the_same_thing(root, dataset):
    """Follows the files' own calibration, so every link of the chain is in it."""
    config = small(dataset)
    vehicle = recorder(config, plan_drives(config)[0])
    frames = read(dataset, root)
    frame = frames[1]
    views = {view.name: view for view in frame.views}
    same = []
    for camera in config.rig.cameras:
        view = views.pop(camera.name)
        exposed_at = 0.5 + camera.delay_s
        T_street_camera = vehicle.T_street_body(exposed_at) @ camera.T_body_camera
        world = vehicle.stage.seen(view_of(camera, T_street_camera, exposed_at))
        rendering = render(
            world, camera, T_street_camera,
            sky=vehicle.stage.street.sky, rng=np.random.default_rng(0),
        )  # fmt: skip
        seen = project(frame.points, K=view.K, T_cam_lidar=view.T_cam_lidar, size_hw=view.size_hw)
        column, row = seen.uv.astype(int).T
        ray_depth = rendering.depth[row, column] * _cosine(camera, row, column)
        visible = np.abs(ray_depth - seen.depth) < 1
        shown = raw_ids(dataset, rendering.label[row, column])
        shown = frames.label_map.apply(shown, source="image")
        same.append((shown == frame.labels[seen.index])[visible])
    assert not views
    assert len(np.concatenate(same)) > 500
    assert min(part.mean() for part in same) > 0.8


def _cosine(camera, row, column):
    return pixel_rays(camera).reshape(*camera.size_hw, 3)[row, column, 2]


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(root, dataset, tmp_path):
    simulate(tmp_path / "again", small(dataset), workers=2)
    expected, found = contents(root), contents(tmp_path / "again")
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


class StopError(Exception):
    pass


def stop_after(number):
    def progress(done, total):
        del total
        if done == number:
            raise StopError

    return progress


def test_a_cut_run_is_no_data_set_and_goes_on_where_it_was_cut(root, dataset, tmp_path):
    folder, calls = tmp_path / "cut", []
    with pytest.raises(StopError):
        simulate(folder, small(dataset), progress=stop_after(1))
    with pytest.raises(LidistillError):
        read(dataset, folder)[0]
    before = contents(folder)
    (folder / ".writing-1234.bin").write_bytes(b"cut")
    simulate(folder, small(dataset), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert contents(folder) == contents(root)
    assert set(before) < set(contents(root))


@pytest.mark.slow
def test_an_interrupted_run_waits_for_no_frame_of_its_processes(tmp_path):
    many = small("pandaset", frames=100)
    with pytest.raises(StopError):
        simulate(tmp_path / "many", many, workers=2, progress=stop_after(1))
    assert multiprocessing.active_children() == []
    assert len(list((tmp_path / "many").rglob("lidar/*.pkl.gz"))) < 200


def test_complete_frames_are_not_simulated_again(root, dataset):
    calls = []
    simulate(root, small(dataset), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(4, 4)]


def test_another_seed_gives_another_drive(roots, tmp_path):
    simulate(tmp_path / "other", small("pandaset", seed=8, val_drives=0, frames=1))
    name = "000/lidar/00.pkl.gz"
    assert (tmp_path / "other" / name).read_bytes() != (roots / "pandaset" / name).read_bytes()


def test_intrinsics_follow_the_image_size(roots):
    file = roots / "pandaset/000/camera/front_camera/intrinsics.json"
    stored = json.loads(file.read_text())
    assert stored == pytest.approx({"fx": 98.5, "fy": 98.5, "cx": 48.5, "cy": 24.2})


def test_nuscenes_tables_refer_to_rows_and_files_that_exist(roots):
    root = roots / "nuscenes"
    tables = {p.stem: json.loads(p.read_text()) for p in (root / "v1.0-trainval").glob("*.json")}
    assert len(tables) == 14  # 13 and lidarseg
    tokens = {name: {row["token"] for row in rows} for name, rows in tables.items()}
    for name, rows in tables.items():
        assert len(tokens[name]) == len(rows)
        for row in rows:
            links = {k.removesuffix("_token"): v for k, v in row.items() if k.endswith("_token")}
            links = {k.removeprefix("first_").removeprefix("last_"): v for k, v in links.items()}
            assert all(value in tokens[table] for table, value in links.items())
            assert row.get("next", "") in tokens[name] | {""}
            assert row.get("prev", "") in tokens[name] | {""}
            assert (root / row.get("filename", ".")).exists()


def test_a_nuscenes_scan_has_every_pulse_and_its_ring(roots):
    rows = np.fromfile(next(roots.glob("nuscenes/samples/LIDAR_TOP/*.bin")), "<f4").reshape(-1, 5)
    assert len(rows) == 109 * 32  # every tenth column of 1,084
    np.testing.assert_array_equal(rows[:, 4].reshape(-1, 32), np.tile(np.arange(32), (109, 1)))


def test_semantic_kitti_scans_lie_row_by_row_and_labels_count_instances(roots):
    folder = roots / "semantic_kitti/sequences/08"
    points = np.fromfile(folder / "velodyne/000000.bin", "<f4").reshape(-1, 4)[:, :3]
    azimuth = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    assert (np.diff(azimuth) < -1).sum() <= 63
    labels = np.fromfile(folder / "labels/000000.label", "<u4")
    car = np.isin(labels & 0xFFFF, (10, 252))
    assert len(np.unique(labels[car] >> 16)) > 1
    assert (labels[car] >> 16).min() > 0
    assert (labels[(labels & 0xFFFF) == 40] >> 16).max() == 0


def test_what_moves_has_semantic_kittis_ids_of_moving_things(roots):
    files = roots.glob("semantic_kitti/sequences/*/labels/*.label")
    ids = np.unique(np.concatenate([np.fromfile(file, "<u4") for file in files]) & 0xFFFF)
    assert {252, 254} <= set(ids.tolist())
    assert set(ids.tolist()) <= {
        0, 10, 11, 13, 15, 18, 20, 30, 40, 48, 50, 51, 60, 70, 71, 72, 80, 81, 99,
        252, 253, 254, 255, 257, 258, 259,
    }  # fmt: skip


def test_other_settings_in_the_same_folder_are_refused(root, dataset):
    with pytest.raises(ConfigError, match="other settings"):
        simulate(root, small(dataset, seed=9))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not empty"):
        simulate(tmp_path, small("pandaset"))
    with pytest.raises(ConfigError, match="is a file"):
        simulate(tmp_path / "holiday.txt", small("pandaset"))
    assert (tmp_path / "holiday.txt").read_text() == "keep me"


@pytest.mark.parametrize("package", ["embreex", "pandas"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"extra \[sim\]"):
        simulate(tmp_path / "new", small("pandaset"))
    assert not (tmp_path / "new").exists()


def test_districts_are_taken_in_turn():
    config = small("pandaset", train_drives=3, train_districts=("suburb", "downtown"),
                   val_districts=("industrial",))  # fmt: skip
    drives = plan_drives(config)
    assert [d.district for d in drives] == ["suburb", "downtown", "suburb", "industrial"]
    assert [d.split for d in drives] == ["train", "train", "train", "val"]


def test_drives_have_the_official_names_of_their_splits():
    names = {
        dataset: [d.name for d in plan_drives(small(dataset, train_drives=2))]
        for dataset in FORMATS
    }
    assert names["pandaset"] == ["000", "001", "002"]
    assert names["nuscenes"] == ["scene-0001", "scene-0002", "scene-0003"]
    assert names["semantic_kitti"] == ["00", "01", "08"]


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'downtown'"):
        small("pandaset", val_districts=("dountown",))
    with pytest.raises(ValidationError, match="at least one district"):
        small("pandaset", train_districts=())
    with pytest.raises(ValidationError, match="val split of semantic_kitti has 1 drives, found 2"):
        small("semantic_kitti", val_drives=2)
    with pytest.raises(ValidationError, match="extra"):
        SimulationConfig.model_validate({"drive": 3})

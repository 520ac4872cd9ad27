import json
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from lidistill.data.pandaset import PandaSetConfig
from lidistill.errors import ConfigError, MissingPackageError, UnknownNameError
from lidistill.geometry import project
from lidistill.sim import SimulationConfig, simulate_pandaset
from lidistill.sim.camera import render
from lidistill.sim.raycast import RayScene
from lidistill.sim.rig import PANDASET
from lidistill.sim.simulate import plan_drives
from lidistill.sim.street import build_street

SMALL = SimulationConfig(
    seed=7, train_drives=1, val_drives=1, frames=2, image_size_hw=(54, 96), azimuth_step_deg=2.0
)


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "drives"
    simulate_pandaset(folder, SMALL)
    return folder


def test_the_reader_finds_both_splits_and_sensors(root):
    for sensor in ("pandar64", "pandargt"):
        for split, drive in (("train", "000"), ("val", "001")):
            dataset = PandaSetConfig(
                root=root, sensor=sensor, split=split, labels="required", missing="error"
            ).build()
            assert len(dataset) == 2
            frame = dataset[1]
            assert frame.frame_id.startswith(drive)
            assert len(frame.labels) == len(frame.points) > 500
            assert 0 <= frame.intensity.min() < frame.intensity.max() <= 255


def test_the_road_lies_a_little_under_1_7_m_below_the_lidar_frame(root):
    frame = PandaSetConfig(root=root, sensor="pandar64", split="train").build()[0]
    near = np.hypot(frame.points[:, 0], frame.points[:, 1]) < 12
    road = frame.points[near & (frame.labels == 0), 2]
    assert len(road) > 50
    assert np.median(road) == pytest.approx(-1.75, abs=0.1)


def test_points_fall_on_pixels_that_show_the_same_thing(root):
    """Follows the files' own calibration, so every link of the chain is in it."""
    street = build_street("rowhouses", seconds=1.0, seed=(7, 0))
    T_street_body = street.T_street_ego(0.5) @ PANDASET.T_ego_body
    scene = RayScene(street.static, street.moving(0.5))
    frame = PandaSetConfig(root=root, sensor="pandar64", split="train").build()[1]
    names = {camera.name: camera.resized((54, 96)) for camera in PANDASET.cameras}
    same = []
    for view in frame.views:
        camera = names.pop(view.name)
        picture = render(
            scene, camera, T_street_body @ camera.T_body_camera, sky=street.sky,
            rng=np.random.default_rng(0),
        )  # fmt: skip
        seen = project(frame.points, K=view.K, T_cam_lidar=view.T_cam_lidar, size_hw=view.size_hw)
        column, row = seen.uv.astype(int).T
        visible = np.abs(picture.depth[row, column] * _cosine(camera, row, column) - seen.depth) < 1
        raw_to_train = PandaSetConfig(root=root, sensor="pandar64").build().label_map
        shown = raw_to_train.apply(picture.label[row, column], source="picture")
        same.append((shown == frame.labels[seen.index])[visible])
    assert not names
    assert len(np.concatenate(same)) > 1000
    assert min(part.mean() for part in same) > 0.8


def _cosine(camera, row, column):
    return camera.pixel_rays().reshape(*camera.size_hw, 3)[row, column, 2]


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_as_one(root, tmp_path):
    simulate_pandaset(tmp_path / "again", SMALL, workers=2)
    expected, found = contents(root), contents(tmp_path / "again")
    assert list(found) == list(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_a_cut_run_goes_on_with_what_is_missing(root, tmp_path):
    folder, calls = tmp_path / "cut", []
    one_frame = SMALL.model_copy(update={"val_drives": 0})
    simulate_pandaset(folder, one_frame)
    whole = contents(folder)
    (folder / "000" / "annotations" / "semseg" / "01.pkl.gz").unlink()
    kept = folder / "000" / "lidar" / "00.pkl.gz"
    before = kept.stat().st_mtime_ns
    simulate_pandaset(folder, one_frame, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    assert kept.stat().st_mtime_ns == before
    assert contents(folder) == whole


def test_another_seed_gives_another_drive(root, tmp_path):
    other = SMALL.model_copy(update={"seed": 8, "val_drives": 0, "frames": 1})
    simulate_pandaset(tmp_path / "other", other)
    name = "000/lidar/00.pkl.gz"
    assert (tmp_path / "other" / name).read_bytes() != (root / name).read_bytes()


def test_intrinsics_follow_the_picture_size(root):
    stored = json.loads((root / "000/camera/front_camera/intrinsics.json").read_text())
    assert stored == pytest.approx({"fx": 98.5, "fy": 98.5, "cx": 48.5, "cy": 24.2})


def test_other_settings_in_the_same_folder_are_refused(root):
    with pytest.raises(ConfigError, match="other settings"):
        simulate_pandaset(root, SMALL.model_copy(update={"seed": 9}))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not empty"):
        simulate_pandaset(tmp_path, SMALL)
    with pytest.raises(ConfigError, match="is a file"):
        simulate_pandaset(tmp_path / "holiday.txt", SMALL)
    assert (tmp_path / "holiday.txt").read_text() == "keep me"


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex", None)
    with pytest.raises(MissingPackageError, match=r"lidistill\[sim\]"):
        simulate_pandaset(tmp_path / "new", SMALL)
    assert not (tmp_path / "new").exists()


def test_districts_are_taken_in_turn_and_splits_kept_apart():
    config = SimulationConfig(train_drives=3, val_drives=1, train_districts=("suburb", "downtown"),
                              val_districts=("industrial",))  # fmt: skip
    drives = plan_drives(config)
    assert [d.district for d in drives] == ["suburb", "downtown", "suburb", "industrial"]
    assert [d.latitude > 37.6 for d in drives] == [True, True, True, False]


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'downtown'"):
        SimulationConfig(val_districts=("dountown",))
    with pytest.raises(ValidationError, match="at least one district"):
        SimulationConfig(train_districts=())
    with pytest.raises(ValidationError, match="extra"):
        SimulationConfig(drive=3)

from dataclasses import replace

import numpy as np
import pytest
from fakes.posts import HEIGHT, sound_frames
from faults.recordings import FAULTS, yawed
from golden_cases import DATA, needs_data

from lidistill.data_check.findings import chosen_frames, diagnose
from lidistill.data_check.findings.edges import depth_steps, fit, image_edges
from lidistill.data_check.findings.ground import fit_ground
from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.datasets.sensors import SENSORS
from lidistill.images.files import read_image

SENSOR = SENSORS["pandar64"]


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return sound_frames(tmp_path_factory.mktemp("posts"))


def test_nothing_is_wrong_with_sound_frames(frames):
    assert diagnose(frames, SENSOR) == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found(frames, tmp_path, fault):
    inject, right = FAULTS[fault]
    found = diagnose(inject(frames, tmp_path), SENSOR)
    assert {finding.fault for finding in found} & right, found
    for finding in found:
        assert "\n" not in finding.text
        assert finding.evidence


def test_frames_without_points_say_nothing(frames):
    empty = replace(
        frames[0], points=np.zeros((0, 3), np.float32), intensity=np.zeros(0, np.float32)
    )
    assert diagnose([empty], SENSOR) == diagnose([], SENSOR) == ()


def test_an_unknown_sensor_has_no_scale_to_miss(frames):
    scaled = [replace(frame, intensity=frame.intensity * 100) for frame in frames[:1]]
    assert diagnose(scaled, None) == ()


def test_a_yawed_camera_is_measured_in_pixels_and_degrees(frames):
    turn = yawed(-3.0)
    broken = [replace(f, views=tuple(turn(view) for view in f.views)) for f in frames]
    offsets = [f for f in diagnose(broken, SENSOR) if f.fault == "sideways_offset"]
    assert {finding.text.split()[1] for finding in offsets} == {"front", "left"}
    for finding in offsets:
        assert finding.evidence["degrees"] == pytest.approx(3, abs=0.5)
        assert finding.evidence["shift_px"] < 0


def test_a_image_that_does_not_decode_is_left_to_the_reader(frames, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    views = tuple(replace(view, image_path=broken) for view in frames[0].views)
    assert diagnose([replace(frames[0], views=views)], SENSOR) == ()


@pytest.mark.parametrize("turn", [np.eye(3), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]])
def test_the_road_is_found_whatever_axis_points_up(frames, turn):
    ground = fit_ground(frames[0].points @ np.array(turn, dtype=float).T)
    np.testing.assert_allclose(ground.up, np.array(turn)[:, 2], atol=0.02)
    assert ground.height == pytest.approx(HEIGHT, abs=0.03)


def test_too_few_points_have_no_road():
    assert fit_ground(np.random.default_rng(0).uniform(-9, 9, (50, 3))) is None


def test_steps_in_depth_lie_on_edges_and_nowhere_else(frames):
    frame, view = frames[0], frames[0].views[0]
    edges, steps = image_edges(read_image(view.image_path)), depth_steps(frame.points, view)
    assert fit(edges, steps.uv).contrast > 0.1
    assert abs(fit(edges[:, ::-1], steps.uv).contrast) < 0.08
    assert fit(edges, steps.uv[:10]).contrast is None


def test_frames_to_diagnose_come_in_runs_of_three():
    assert chosen_frames(0) == ()
    assert chosen_frames(2) == (0, 1)
    assert chosen_frames(100) == (0, 1, 2, 32, 33, 34, 65, 66, 67, 97, 98, 99)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        NuScenesConfig(root=DATA / "nuscenes", version="v1.0-mini", split="all"),
        SemanticKittiConfig(root=DATA / "semantic_kitti", split="all"),
        KittiRawConfig(root=DATA / "kitti_raw"),
        PandaSetConfig(root=DATA / "pandaset", split="all", frames="50-54"),
        PandaSetConfig(root=DATA / "pandaset", split="all", sensor="pandargt", frames="50-54"),
    ],
    ids=lambda config: f"{config.kind}-{config.sensor}",
)
def test_real_recordings_are_silent(config):
    dataset = config.build()
    frames = [dataset[i] for i in chosen_frames(len(dataset))]
    assert diagnose(frames, SENSORS[dataset.sensor]) == ()

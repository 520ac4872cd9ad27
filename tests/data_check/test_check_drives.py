from dataclasses import replace

import numpy as np
import pytest
from fakes.folder import LABELS, write_folder, write_yaml
from fakes.posts import sound_frames, write_drive
from faults.recordings import exchanged

from lidistill.cli import main
from lidistill.data_check.check import check_root
from lidistill.data_check.findings import Finding
from lidistill.data_check.findings.drives import intensity_differs, merged, merged_limits
from lidistill.data_check.findings.edges import SHIFTS, Fit
from lidistill.data_check.findings.observed import is_low
from lidistill.data_check.findings.world import hidden_share, middle_of, world_frame


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return sound_frames(tmp_path_factory.mktemp("posts"))


def invert(camera):
    return camera | {"T_cam_lidar": np.linalg.inv(camera["T_cam_lidar"])}


def said(report, fault):
    return [f for one in report.datasets for f in one.findings if f.fault == fault]


def test_sound_drives_are_silent_and_drawn_apart(frames, tmp_path):
    for drive in "ab":
        write_drive(tmp_path / "set" / drive, frames)
    report = check_root(tmp_path / "set", tmp_path / "out")
    assert not report.suspicious
    names = {path.name for path in report.datasets[0].figures}
    assert names == {f"own_{d}_{c}_depth.png" for d in "ab" for c in ("front", "left")}
    fits = report.datasets[0].camera_fits
    assert [[fit.camera for fit in fits[drive]] for drive in "ab"] == [["front", "left"]] * 2
    assert all(fit.contrast > 0.1 and not fit.low for drive in "ab" for fit in fits[drive])


def test_one_drive_of_two_with_inverse_matrices_is_named_with_its_figure(frames, tmp_path):
    write_drive(tmp_path / "set" / "a", frames)
    write_drive(tmp_path / "set" / "b", frames, invert)
    report = check_root(tmp_path / "set", tmp_path / "out")
    found = said(report, "inverted_extrinsics")
    assert {name for finding in found for name in finding.cameras} == {"front", "left"}
    for finding in found:
        assert finding.drives == ("b",)
        assert "(in 1 of 2 drives: b)" in finding.text
        assert str(tmp_path / "out" / f"own_b_{finding.cameras[0]}_depth.png") in finding.text


def test_a_drive_of_another_intensity_scale_is_named(frames, tmp_path):
    write_drive(tmp_path / "set" / "a", frames[:2])
    write_drive(tmp_path / "set" / "b", frames[:2], intensity=255)
    (finding,) = said(check_root(tmp_path / "set"), "intensity_differs")
    assert finding.evidence["ratio"] == pytest.approx(255, rel=1e-3)
    assert finding.drives == ("a", "b")


def test_labels_that_name_no_class_are_told(tmp_path):
    root = write_folder(tmp_path / "set")
    assert not said(check_root(root), "no_class")
    write_yaml(root / "labels.yaml", LABELS | {"ids": dict.fromkeys((0, 10, 40), "ignore")})
    (finding,) = said(check_root(root), "no_class")
    assert "all 160 labels of 4 frames are ignored" in finding.text


def test_a_mounting_height_does_not_hide_exchanged_cameras(frames, tmp_path):
    lift = np.eye(4)
    lift[2, 3] = 4
    high = [replace(f, points=f.points + np.float32([0, 0, 4])) for f in frames]

    def lowered(camera):
        return camera | {"T_cam_lidar": camera["T_cam_lidar"] @ np.linalg.inv(lift)}

    write_drive(tmp_path / "set" / "a", exchanged(high, tmp_path), lowered)
    report = check_root(tmp_path / "set")
    assert said(report, "mounting_height")
    assert said(report, "exchanged_cameras")


def test_strict_ends_with_status_1_where_something_looks_wrong(frames, tmp_path):
    write_drive(tmp_path / "set" / "a", frames[:1], invert)
    arguments = ["data", "check", str(tmp_path / "set"), "--output", str(tmp_path / "out")]
    main(arguments)
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--strict"])
    assert ended.value.code == 1


def test_findings_of_all_drives_are_said_once():
    one = Finding(fault="up_axis", severity="warning", text="tilted.")
    findings = merged({"a": [one], "b": [one], "c": [one]})
    assert [f.text for f in findings] == ["tilted. (in all 3 drives)"]
    assert merged({"a": [one]})[0].text == "tilted."
    assert merged_limits({"a": ["dark"], "b": []}) == ("dark (in 1 of 2 drives: a)",)


@pytest.mark.parametrize(
    ("means", "found"),
    [({"a": 10.0, "b": 20.0}, False), ({"a": 0.1, "b": 25.0}, True), ({"a": 0.0, "b": 9.0}, False)],
)
def test_scales_of_real_drives_differ_by_less_than_four(means, found):
    assert (intensity_differs(means) is not None) == found


@pytest.mark.parametrize(("steps", "low"), [(8000, True), (300, False)])
def test_a_low_contrast_of_few_steps_is_chance(steps, low):
    level = np.full(len(SHIFTS), 0.5 * steps)
    assert is_low(Fit(total=level, count=np.full(len(SHIFTS), steps))) == low


def test_a_scan_hides_nothing_of_itself_but_seen_from_elsewhere(frames):
    points = frames[0].points
    here, there = (hidden_share(points, np.array(place)) for place in ([0.0] * 3, [12.0, 5, 0]))
    assert here < 0.02
    assert there > 3 * here
    assert np.linalg.norm(middle_of(points)[:2]) < 8


def test_millimetres_are_no_world_frame(frames):
    large = [replace(frame, points=frame.points * 1000) for frame in frames]
    assert world_frame(large) is None

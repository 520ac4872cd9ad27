import pytest
from fakes.kitti_raw import write_drive
from fakes.nuscenes import FakeNuScenes
from fakes.pandaset import Drive
from fakes.pandaset import write_drive as write_pandaset_drive
from fakes.semantic_kitti import write_sequence

from lidistill.data_check.check import check_root
from lidistill.data_check.contents import detect_format, read_all
from lidistill.errors import DatasetNotFoundError


def write_nuscenes(root):
    fake = FakeNuScenes(root)
    fake.add_scene("scene-0061")
    fake.write_tables()


WRITERS = {
    "kitti_raw": write_drive,
    "nuscenes": write_nuscenes,
    "pandaset": lambda root: write_pandaset_drive(root, "001", Drive(frames=(0,))),
    "semantic_kitti": lambda root: write_sequence(root, 8),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_root_of_any_data_set_may_be_a_link(tmp_path, name):
    WRITERS[name](tmp_path / "disk")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk")
    assert detect_format(link) == name
    linked, direct = (read_all(root)[0] for root in (link, tmp_path / "disk"))
    assert linked.frame_ids == direct.frame_ids
    assert (linked[0].points == direct[0].points).all()


def test_a_link_to_nowhere_is_called_so(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(DatasetNotFoundError, match=r"link is a link to .*gone, where nothing is"):
        detect_format(tmp_path / "link")


@pytest.mark.parametrize("name", WRITERS)
def test_a_data_set_is_recognised_and_read(tmp_path, name):
    WRITERS[name](tmp_path)
    assert detect_format(tmp_path) == name
    dataset = read_all(tmp_path)[0]
    assert dataset[0].frame_id == dataset.frame_ids[0]
    assert dataset.drive_ids[0] in dataset.parts.drives
    assert dataset.sensor in dataset.parts.sensors


def test_a_part_of_a_data_set_points_to_the_whole(tmp_path):
    write_drive(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=f"perhaps a single drive: give {tmp_path}"):
        detect_format(tmp_path / "2011_09_26")


def test_a_data_set_near_by_is_named(tmp_path):
    write_drive(tmp_path / "kitti")
    with pytest.raises(DatasetNotFoundError, match=r"kitti is one \(kitti_raw\): give that"):
        detect_format(tmp_path)
    drive = next((tmp_path / "kitti" / "2011_09_26").glob("*_sync"))
    with pytest.raises(DatasetNotFoundError, match=f"single drive: give {tmp_path / 'kitti'}"):
        detect_format(drive)


def test_recordings_two_folders_above_are_no_hint(tmp_path):
    (tmp_path / "monday" / "scans").mkdir(parents=True)  # as in a folder for everything
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=r"a part of one \(folder\)"):
        detect_format(tmp_path / "a")
    with pytest.raises(DatasetNotFoundError) as caught:
        detect_format(tmp_path / "a" / "b")
    assert "a part of one" not in str(caught.value)


def test_missing_images_and_labels_are_counted(tmp_path):
    folder = write_sequence(tmp_path, 8, num_frames=3)
    (folder / "image_2" / "000001.png").unlink()
    (folder / "labels" / "000000.label").unlink()
    (folder / "labels" / "000002.label").unlink()
    (dataset,) = read_all(tmp_path)
    assert dataset.missing() == ("labels: 2 of 3 frames", "images of image_2: 1 of 3 frames")
    report = check_root(tmp_path)
    assert (report.format, report.parts) == ("semantic_kitti", ("08",))
    assert report.datasets[0].num_labelled == 1
    assert "too_few_points" in {finding.fault for finding in report.datasets[0].findings}

"""What every data set promises, over the table of data sets."""

import importlib
import pickle

import numpy as np
import pytest
from fakes.batches import waffle
from fakes.closed import close
from pydantic import ValidationError

from lidistill.config import resume_rule
from lidistill.datasets import DATASETS
from lidistill.datasets.raw_scans import ChangedPoints
from lidistill.datasets.sensors import sensor_of
from lidistill.labels import IGNORE
from lidistill.loading.mixture import Concatenation, Subset
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample


def write_copy(kind, folder):
    """A miniature by the fake of that name; what to say beside its root."""
    return importlib.import_module(f"fakes.{kind}").write_copy(folder)


@pytest.fixture(params=sorted(DATASETS))
def dataset(request, tmp_path):
    options = write_copy(request.param, tmp_path)
    return DATASETS[request.param](root=tmp_path, **options).build()


def test_frames_have_names_of_their_own(dataset):
    assert len(dataset) == len(dataset.frame_ids) == len(set(dataset.frame_ids)) > 0
    assert [dataset[i].frame_id for i in range(len(dataset))] == list(dataset.frame_ids)


def test_every_frame_is_of_a_drive_at_hand(dataset):
    assert len(dataset.drive_ids) == len(dataset)
    assert dataset.drive_ids[0]
    assert set(dataset.drive_ids) <= set(dataset.parts.drives)
    assert dataset.sensor in dataset.parts.sensors


@pytest.mark.parametrize("kind", sorted(DATASETS))
def test_a_data_set_knows_its_own_folder_and_nobody_elses(kind, tmp_path):
    write_copy(kind, tmp_path)
    assert [name for name, config in DATASETS.items() if config.detect(tmp_path)] == [kind]
    found = DATASETS[kind].everything(tmp_path)
    assert {config.kind for config in found} == {kind}
    assert all(len(config.build()) for config in found)


@pytest.mark.parametrize("kind", sorted(DATASETS))
def test_a_closed_folder_beside_the_drives_does_no_harm(kind, tmp_path, monkeypatch, caplog):
    options = write_copy(kind, tmp_path)
    names = DATASETS[kind](root=tmp_path, **options).build().frame_ids
    closed = close(tmp_path / "lost+found", monkeypatch)
    assert [name for name, config in DATASETS.items() if config.detect(tmp_path)] == [kind]
    assert DATASETS[kind](root=tmp_path, **options).build().frame_ids == names
    assert caplog.text.count(f"{closed} is left out") == 1


MAY_CHANGE = {"root": "where it lies", "missing": "how its gaps are met", "index_cache": "speed"}


@pytest.mark.parametrize("kind", sorted(DATASETS))
def test_a_run_goes_on_wherever_its_data_lie_but_with_the_same(kind, tmp_path):
    config = DATASETS[kind](root=tmp_path, **write_copy(kind, tmp_path))
    rules = {key: resume_rule(config, key) for key in type(config).model_fields}
    assert rules["root"] == rules["missing"] == "may change"
    assert rules == {key: "may change" if key in MAY_CHANGE else None for key in rules}


@pytest.mark.parametrize("kind", sorted(DATASETS))
def test_what_is_complete_lacks_nothing_and_a_served_set_has_a_format(kind, tmp_path):
    dataset = DATASETS[kind](root=tmp_path, **write_copy(kind, tmp_path)).build()
    assert all(isinstance(line, str) for line in dataset.missing())
    assert (dataset.submission_format() is not None) == bool(DATASETS[kind].TEST_SET)


def test_files_with_the_same_points_read_the_same(dataset, tmp_path):
    raw = dataset.raw_scans()
    if raw is None:
        return
    assert raw.tables
    assert all((raw.root / table).is_file() for table in raw.tables)
    for index in range(len(dataset)):
        before = dataset[index]
        same = ChangedPoints(
            points=before.points,
            intensity=before.intensity,
            source=np.arange(len(before.points)),
            added=np.zeros(len(before.points), dtype=bool),
            added_id=0,
        )
        scan, labels = raw.encode(index, before, same)
        (raw.root / raw.scan_file(index)).write_bytes(scan)
        assert (labels is None) == (before.labels is None)
        if labels is not None:
            (raw.root / raw.label_file(index)).write_bytes(labels)
        after = dataset[index]
        np.testing.assert_array_equal(after.points, before.points)
        np.testing.assert_array_equal(after.intensity, before.intensity)
        if labels is not None:
            np.testing.assert_array_equal(after.labels, before.labels)


def test_frames_are_read_the_same_twice(dataset):
    first, again = dataset[0], dataset[0]
    np.testing.assert_array_equal(first.points, again.points)
    assert first.points.dtype == first.intensity.dtype == np.float32


@pytest.mark.parametrize("kind", sorted(DATASETS))
def test_who_does_not_know_objects_says_so(kind, tmp_path):
    options = write_copy(kind, tmp_path)
    if DATASETS[kind].HAS_INSTANCES:
        assert DATASETS[kind](root=tmp_path, instances=True, **options).MIN_SEGMENT_POINTS > 0
        return
    with pytest.raises(ValidationError, match="does not say which object"):
        DATASETS[kind](root=tmp_path, instances=True, **options)


def test_segments_are_read_only_where_they_are_wanted(dataset):
    assert dataset[0].segments is None


def test_labels_are_training_ids(dataset):
    labels = dataset[0].labels
    if labels is not None:
        assert set(np.unique(labels)) <= {*range(dataset.label_map.num_classes), IGNORE}


def test_the_sensor_has_intensity_statistics(dataset):
    assert dataset[0].sensor == dataset.sensor
    assert sensor_of(dataset[0]).intensity_std > 0


def test_views_point_at_images_that_are_there(dataset):
    views = dataset[0].views
    assert views
    assert {view.name for view in views} <= set(dataset.cameras)
    assert Concatenation([dataset, Subset(dataset, [0])]).cameras == tuple(dataset.cameras)
    for view in views:
        assert view.image_path.is_file()
        rotation = view.T_cam_lidar[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_an_index_out_of_range_is_an_index_error(dataset):
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_a_worker_process_can_have_a_copy(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.frame_ids == dataset.frame_ids
    np.testing.assert_array_equal(copy[0].points, dataset[0].points)


def test_a_frame_becomes_a_sample(dataset):
    sample = scan_sample(dataset[0], SamplingConfig(), waffle())
    assert len(sample.inverse) == len(dataset[0].points)

import json

import numpy as np
import pytest
from fakes import argoverse2, folder, kitti_raw, nuscenes, pandaset, semantic_kitti
from fakes.command import run
from fakes.scan_writers import cloud

from lidistill.apps import corrupt as job
from lidistill.datasets import DATASETS
from lidistill.robustness.corruptions import CorruptionConfig, corrupted
from lidistill.scan_formats.scan_file import read_scan

FAKES = {
    "nuscenes": nuscenes.write_copy,
    "semantic_kitti": semantic_kitti.write_copy,
    "pandaset": lambda root: pandaset.write_copy(root) | {"sensor": "pandar64"},
    "folder": folder.write_copy,
    "kitti_raw": kitti_raw.write_copy,
}
SMALL = ("--kinds", "fog", "crosstalk", "beam_missing", "--severities", "light", "heavy")


@pytest.fixture(params=sorted(FAKES))
def world(request, tmp_path):
    """Kind of a data set, its root, and the options that read it."""
    root = tmp_path / "samples-lidarseg"
    options = FAKES[request.param](root)
    return request.param, root, options


def words(options):
    return [f"{key}={json.dumps(value, default=str)}" for key, value in options.items()]


def dataset(kind, root, options):
    return DATASETS[kind](root=root, **options).build()


def test_copies_read_as_the_frames_corrupted_on_the_fly(world, tmp_path, capsys):
    kind, root, options = world
    workers = 2 if kind == "semantic_kitti" else 1
    output = tmp_path / "out"
    call = ("corrupt", root, output, *words(options), *SMALL, "--workers", workers)
    status, out, err = run(capsys, *call)
    assert status == 0, err
    assert "6 copies" in out
    clean = dataset(kind, root, options)
    for corruption in ("fog", "crosstalk", "beam_missing"):
        for severity in ("light", "heavy"):
            copy = dataset(kind, output / corruption / severity, options)
            assert copy.frame_ids == clean.frame_ids
            config = CorruptionConfig(kind=corruption, severity=severity)
            for index in range(len(clean)):
                expected = corrupted(clean[index], clean.label_map, config)
                found = copy[index]
                # PandaSet stores points in the world's coordinates.
                far = 1e-5 * max(1.0, np.nanmax(np.abs(expected.points)))
                tolerance = far if kind == "pandaset" else 0
                np.testing.assert_allclose(found.points, expected.points, rtol=0, atol=tolerance)
                np.testing.assert_array_equal(found.intensity, expected.intensity)
                if expected.labels is not None:
                    np.testing.assert_array_equal(found.labels, expected.labels)
                assert len(found.views) == len(clean[index].views)


def test_added_points_have_the_benchmarks_raw_ids_and_others_keep_theirs(tmp_path, capsys):
    rng = np.random.default_rng(0)
    scan = rng.uniform(-60, 60, (3000, 4))
    scan[:, 2], scan[:, 3] = rng.uniform(-2, 1, 3000), rng.uniform(0, 0.9, 3000)
    ids = (rng.integers(0, 50, 3000) << 16) + rng.choice([10, 40, 252], 3000)
    root, output = tmp_path / "set", tmp_path / "out"
    semantic_kitti.write_sequence(root, 8, 1, scan=scan, labels=ids)
    assert run(capsys, "corrupt", root, output, "split=val", *SMALL)[0] == 0
    clean = dataset("semantic_kitti", root, {"split": "val"})
    for corruption, raw_id in (("fog", 21), ("crosstalk", 23)):
        files = output / corruption / "heavy" / "sequences" / "08" / "labels"
        found = np.fromfile(files / "000000.label", "<u4")
        config = CorruptionConfig(kind=corruption, severity="heavy")
        added = corrupted(clean[0], clean.label_map, config).added
        assert added.any()
        np.testing.assert_array_equal(found[added], raw_id)
        np.testing.assert_array_equal(found[~added], ids[~added])


def test_the_original_is_left_alone_and_a_cut_call_goes_on(world, tmp_path, capsys, monkeypatch):
    kind, root, options = world
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    output = tmp_path / "out"
    call = ("corrupt", root, output, *words(options), *SMALL, "--workers", 1)
    assert run(capsys, *call)[0] == 0
    files = {p: p.read_bytes() for p in output.rglob("*") if p.is_file()}
    raw = dataset(kind, output / "fog" / "heavy", options).raw_scans()
    lost = raw.root / raw.scan_file(0)
    lost.unlink()
    written = []
    plain = job._write

    def noted(path, values):
        written.append(path)
        return plain(path, values)

    monkeypatch.setattr(job, "_write", noted)
    assert run(capsys, *call)[0] == 0
    assert lost in written
    assert all("fog/heavy" in str(path) for path in written)
    assert {p: p.read_bytes() for p in output.rglob("*") if p.is_file()} == files
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_bad_calls_end_in_one_line(world, tmp_path, capsys):
    _, root, options = world
    output = tmp_path / "out"
    call = ("corrupt", root, output, *words(options), *SMALL)
    assert run(capsys, *call)[0] == 0
    both_lidars = ()
    if "sensor" in options:
        which = ("corrupt", root, tmp_path / "new", "split=all")
        both_lidars = ((which, "sensor= one of pandar64, pandargt"),)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for words_, reason in (
        ((*call, "--seed", 5), "of another seed"),
        (("corrupt", root, tmp_path / "full", *words(options)), "choose a new folder"),
        (("corrupt", tmp_path / "nowhere", output), "is no folder"),
        (("corrupt", tmp_path / "full", output), "looks like none of"),
        (("corrupt", root, tmp_path / "new", "split"), "expected key=value"),
        *both_lidars,
        (("corrupt", root, tmp_path / "new", *words(options), "colour=red"), "colour"),
    ):
        status, _, err = run(capsys, *words_)
        assert status == 2, words_
        assert reason in " ".join(err.split())
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_own_scans_keep_their_columns_instances_and_times(tmp_path, capsys):
    root, output = tmp_path / "set", tmp_path / "out"
    folder.write_folder(root, drives=("",))
    folder.write_times(root / "scans", {"000000": 1.0, "000001": 1.1})
    assert run(capsys, "corrupt", root, output, "--kinds", "fog", "--severities", "heavy")[0] == 0
    copy = output / "fog" / "heavy"
    before = read_scan(root / "scans" / "000000.pcd")
    after = read_scan(copy / "scans" / "000000.npz")
    assert set(after.columns) == set(before.columns)
    ids = np.fromfile(copy / "labels" / "000000.label", "<u4")
    assert set(ids.tolist()) <= {(3 << 16) + 10, 40, 0}
    assert (copy / "scans" / "times.csv").read_text() == (root / "scans/times.csv").read_text()
    shown = dataset("folder", copy, {})[0]
    assert shown.time == 1.0
    assert shown.intensity_statistics == (127.0, 74.0)


def test_own_classes_without_an_ignored_id_are_told_to_add_one(tmp_path, capsys):
    folder.write_folder(tmp_path / "set", drives=("",), table=cloud(num_points=600))
    table = {"classes": ["car", "road"], "ids": {0: "road", 10: "car", 40: "road"}}
    folder.write_yaml(tmp_path / "set" / "labels.yaml", table)
    words_ = ("--kinds", "crosstalk", "--severities", "heavy")
    status, _, err = run(capsys, "corrupt", tmp_path / "set", tmp_path / "out", *words_)
    assert status == 2
    assert "255: ignore" in " ".join(err.split())


def test_sets_whose_scans_cannot_be_written_are_told_the_other_way(tmp_path, capsys):
    options = argoverse2.write_copy(tmp_path / "set")
    status, _, err = run(capsys, "corrupt", tmp_path / "set", tmp_path / "out", *words(options))
    assert status == 2
    assert "lidistill robustness" in " ".join(err.split())
    assert not (tmp_path / "out").exists()

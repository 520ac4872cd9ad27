"""nuScenes' tables: damaged and hostile ones, and the index that is kept of them."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from fakes.nuscenes import FakeNuScenes
from faults.limits import bounded

from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.nuscenes.rows import read_rows
from lidistill.errors import DatasetNotFoundError, FileFormatError

SCENES = ("scene-0061", "scene-0103")


@pytest.fixture
def fake(tmp_path):
    fake = FakeNuScenes(tmp_path / "root")
    for scene in reversed(SCENES):
        fake.add_scene(scene)
    fake.write_tables()
    return fake


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of a user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "lidistill"


def read(fake, **changes):
    options = {"version": "v1.0-mini", "split": "all"} | changes
    return NuScenesConfig(root=fake.root, **options).build()


def edit(fake, table, change):
    path = fake.root / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text("utf-8"))
    change(rows)
    path.write_text(json.dumps(rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("ego_pose", lambda rows: rows.pop(), r"ego_pose\.json lacks 1 rows"),
        ("ego_pose", lambda rows: rows[0].update(rotation=[0, 0, 0, 0]), "has the length 0"),
        ("ego_pose", lambda rows: rows[0].update(translation="far"), "cannot be used"),
        (
            "sample",
            lambda rows: rows[0].update({"scene_token": "x"}),
            "lacks the row or the column 'x'",
        ),
        ("sample_data", lambda rows: rows[0].pop("filename"), "column 'filename'"),
        ("sample_data", lambda rows: rows.append(rows[0]), "two key frames of LIDAR_TOP"),
        ("sample_data", lambda rows: rows[2].update(height=0), "has the size 80 x 0"),
        ("calibrated_sensor", lambda rows: rows[1].update(camera_intrinsic=[]), "no 3 x 3"),
    ],
)
def test_tables_that_do_not_fit_together_are_an_error(fake, table, change, said):
    edit(fake, table, change)
    with pytest.raises(FileFormatError, match=said):
        read(fake)


def test_rows_are_the_same_however_the_text_is_cut(tmp_path):
    rows = [{"token": str(n), "name": "a } in, [text] {", "list": [[1.5, n], []]} for n in range(9)]
    path = tmp_path / "table.json"
    for indent in (None, 0, 2):
        path.write_text(json.dumps(rows, indent=indent), encoding="utf-8")
        for chunk in (60, 97, 200, 1 << 20):
            assert list(read_rows(path, chunk)) == rows
    path.write_text(" [] \n", encoding="utf-8")
    assert list(read_rows(path)) == []


@pytest.mark.parametrize("text", ["", "{}", "[", '[{"a": 1}', '[{"a": 1}, {"b"', "[1, 2]", "[{}]x"])
def test_a_damaged_table_is_an_error(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"table\.json is not a readable table"):
        list(read_rows(path))


OUTSIDE = "../../../outside/x"


@pytest.mark.parametrize(
    "name",
    [OUTSIDE, "/outside", "a/../../x", "a\x00b", pytest.param("x" * (1 << 20), id="long"), 7],
)
@pytest.mark.parametrize(
    ("table", "column"),
    [("scene", "name"), ("sample", "token"), ("sample_data", "token"), ("sample_data", "filename")],
)
def test_no_name_of_the_tables_leads_out_of_a_folder(fake, table, column, name):
    edit(fake, table, lambda rows: rows[0].update({column: name}))
    with bounded(), pytest.raises(FileFormatError, match="cannot be") as caught:
        read(fake, index_cache=None)
    message = str(caught.value).removeprefix(str(fake.root))
    assert message.isprintable()
    assert len(message) < 400


def flood(text, times=1):
    return lambda file: file.write_text(f"[{text * times}")


def sparse(file):
    with file.open("wb") as stream:
        stream.write(b"[")
        stream.truncate(3 << 30)


HOSTILE = {
    "sparse": (sparse, "no row ends within"),
    "blanks": (flood(" ", 20 << 20), "no row ends within"),
    "a long text": (flood('{"a": "' + "x" * (9 << 20) + '"}]'), "no row ends within"),
    "deep": (flood('{"a":' + "[" * (1 << 20) + "}]"), "nested too deeply"),
    "deep objects": (flood('{"a":' * (1 << 17) + "}" * (1 << 17) + "]"), "nested too deeply"),
    "doubled keys": (flood("{" + '"a":1,' * 100_000 + '"a":1}]'), "stands twice"),
    "a long key twice": (
        flood("{" + ",".join(['"' + "k" * (1 << 20) + '":1'] * 2) + "}]"),
        "stands twice",
    ),
    "digits": (flood('{"a": ' + "9" * 100_000 + "}]"), "limit"),
    "no text": (lambda file: file.write_bytes(b"[\xff\xfe"), "decode"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tables_end_in_one_short_line(tmp_path, case):
    write, said = HOSTILE[case]
    file = tmp_path / "scene.json"
    write(file)
    with bounded(), pytest.raises(FileFormatError, match=said) as caught:
        list(read_rows(file))
    message = str(caught.value).removeprefix(str(tmp_path))
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("sample", "timestamp", 10**4000, "timestamp a number of"),
        ("sample", "timestamp", float("inf"), "cannot be used"),
        ("sample_data", "height", 10**4000, "a number of"),
        ("ego_pose", "translation", [10**4000, 0, 0], "cannot be used"),
        pytest.param("ego_pose", "token", "x" * (1 << 20), "lacks 2 rows", id="long pose"),
        pytest.param("sample_data", "sample_token", "x" * 99_999, "lacks the row", id="long token"),
    ],
    ids=lambda value: "" if isinstance(value, int | list) else value,
)
def test_huge_numbers_and_names_are_shown_shortly(fake, table, column, value, said):
    at = 1 if column == "height" else 0
    edit(fake, table, lambda rows: [row.update({column: value}) for row in rows[at : at + 2]])
    with pytest.raises(FileFormatError, match=said) as caught:
        read(fake, index_cache=None)
    assert len(str(caught.value).removeprefix(str(fake.root))) < 300


def test_samples_of_one_time_keep_the_order_of_the_table_and_that_is_said(tmp_path, caplog):
    fake = FakeNuScenes(tmp_path / "root").add_scene("scene-0061", num_frames=12)
    fake.write_tables()
    expected = read(fake).frame_ids
    edit(fake, "sample", lambda rows: [row.update(timestamp=0) for row in rows])
    with caplog.at_level(logging.WARNING, logger="lidistill"):
        assert read(fake).frame_ids == expected
    assert "11 of 12 samples have the timestamp of another one of their scene" in caplog.text


def test_names_as_windows_writes_them_are_told(fake):
    edit(
        fake,
        "sample_data",
        lambda rows: rows[0].update(filename=rows[0]["filename"].replace("/", "\\")),
    )
    with pytest.raises(FileFormatError, match=r"as Windows writes; expected /\); mend it"):
        read(fake)


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "scene.json"
    path.write_text('[{"a": 1}]', encoding="utf-8-sig")
    assert list(read_rows(path)) == [{"a": 1}]


def test_a_stored_index_replaces_the_tables_until_they_change(fake, tmp_path, caplog):
    cache = tmp_path / "index"
    frames = [read(fake, index_cache=cache)[3] for _ in range(2)]
    assert frames[0].frame_id == frames[1].frame_id
    np.testing.assert_array_equal(frames[0].views[5].T_cam_lidar, frames[1].views[5].T_cam_lidar)
    (stored,) = cache.glob("*.npz")
    stored.write_bytes(stored.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert len(read(fake, index_cache=cache)) == 4
    assert "is damaged" in caplog.text
    edit(fake, "sample_data", lambda rows: rows[0].update(filename="samples/LIDAR_TOP/gone.bin"))
    with pytest.raises(DatasetNotFoundError, match="lack a scan"):
        read(fake, index_cache=cache)
    (newer,) = cache.glob("*.npz")  # the old one has gone
    assert newer != stored


def test_the_index_is_kept_in_the_cache_of_the_user_and_not_with_the_data(fake, home):
    before = sorted(fake.root.rglob("*"))
    read(fake)
    (stored,) = home.glob("*.npz")
    assert stored.stat().st_mode == (fake.root / "v1.0-mini" / "scene.json").stat().st_mode
    assert sorted(fake.root.rglob("*")) == before
    made = stored.stat().st_mtime_ns
    assert len(read(fake)) == 4
    assert stored.stat().st_mtime_ns == made


def test_sets_in_other_places_have_an_index_each(fake, home, tmp_path):
    other = FakeNuScenes(tmp_path / "other").add_scene("scene-0001", 1)
    other.write_tables()
    for _ in range(2):
        assert (len(read(fake)), len(read(other))) == (4, 1)
    assert len(list(home.glob("*.npz"))) == 2


def test_without_a_place_for_the_index_the_tables_are_read_and_it_is_said(fake, home, caplog):
    home.parent.mkdir()
    home.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert len(read(fake)) == 4
    assert "cannot be kept" in caplog.text
    assert "index_cache" in caplog.text


def test_no_cache_reads_the_tables_and_keeps_nothing(fake, home):
    assert len(read(fake, index_cache=None)) == 4
    assert not home.exists()


READER = """
import sys, pathlib
from lidistill.datasets.nuscenes import tables as nuscenes_tables
real, log = nuscenes_tables._index, pathlib.Path(sys.argv[2])
def index(folder):
    with log.open("a") as file:
        file.write("built ")
    return real(folder)
nuscenes_tables._index = index
for number in range(int(sys.argv[3])):
    sys.stdin.readline()
    cache = log.parent / f"round-{number}"
    print(len(nuscenes_tables.read_key_frames(pathlib.Path(sys.argv[1]), cache)), flush=True)
"""


@pytest.mark.slow
def test_four_processes_start_forty_times_with_one_build_a_round(fake, tmp_path):
    rounds, log = 10, tmp_path / "log"
    command = [sys.executable, "-c", READER, fake.root / "v1.0-mini", log, str(rounds)]
    pipe = subprocess.PIPE
    readers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    counts = []
    for _ in range(rounds):
        for reader in readers:
            reader.stdin.write("go\n")
            reader.stdin.flush()
        counts += [reader.stdout.readline().strip() for reader in readers]
    for reader in readers:
        reader.communicate()
    assert counts == ["4"] * 40
    assert [reader.returncode for reader in readers] == [0] * 4
    assert log.read_text().count("built") == rounds
    assert {path.suffix for path in tmp_path.glob("round-*/*")} == {".npz", ".lock"}

import dataclasses

import numpy as np
import pytest

from lidistill.apps import fleet_select
from lidistill.apps.fleet_select import select_frames
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError
from lidistill.fleet import table
from lidistill.fleet.objects import IndexedObject
from lidistill.fleet.schema import AboutIndex
from lidistill.fleet.table import ABOUT, FleetIndex, IndexedFrame
from lidistill.instances.rectangle import Rectangle

ABOUT_8 = AboutIndex(weights="abc", channels=8, head_channels=4, run="runs/a", data=("data",))
BOX = Rectangle(long=4.0, short=2.0, center=(10.0, -3.0), heading=0.5)


def unit(count, channels, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, channels)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def frames(numbers, *, objects=5, label="car"):
    return [
        IndexedFrame(
            frame=f"a/{number}",
            drive="a",
            number=number,
            objects=tuple(
                IndexedObject(
                    frame=f"a/{number}",
                    drive="a",
                    number=i + 1,
                    num_points=30,
                    box=BOX,
                    bottom=-1.5,
                    top=0.5,
                    vector=unit(objects, 8, number)[i],
                    head=unit(objects, 4, 100 + number)[i],
                    label=label,
                    confidence=(i + 1) / 10,
                )
                for i in range(objects)
            ),
        )
        for number in numbers
    ]


def test_rows_come_back_the_most_alike_first(tmp_path):
    index = FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    index.add(frames(range(4)))
    again = FleetIndex.open(str(tmp_path / "index"))
    assert again.about == ABOUT_8
    assert again.num_objects == 20
    everything = np.concatenate([unit(5, 8, number) for number in range(4)])
    wanted = unit(1, 8, 99)[0]
    rows = again.nearest(3 * wanted, "vector", 6)
    order = np.argsort(-everything @ wanted)[:6]
    assert [(row["frame"], row["object"]) for row in rows] == [
        (f"a/{i // 5}", i % 5 + 1) for i in order
    ]
    np.testing.assert_allclose(
        [row["similarity"] for row in rows], (everything @ wanted)[order], atol=1e-5
    )
    first = rows[0]
    assert (first["x"], first["y"], first["z"]) == (10, -3, -0.5)
    assert (first["length"], first["width"], first["height"]) == (4, 2, 2)
    assert first["image"] is None
    head = again.nearest(unit(5, 4, 102)[3], "head", 1)[0]
    assert (head["frame"], head["object"]) == ("a/2", 4)
    assert head["similarity"] == pytest.approx(1, abs=1e-5)


def test_objects_of_a_class_come_the_surest_first(tmp_path):
    index = FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    index.add(frames([0], label="driver's cab"))
    index.add(frames([1], label="car"))
    rows = index.of_class("driver's cab", 3)
    assert [(row["frame"], row["object"]) for row in rows] == [("a/0", 5), ("a/0", 4), ("a/0", 3)]
    assert not index.of_class("x' OR label = 'car", 3)


def test_what_a_stopped_call_left_half_is_done_again_once(tmp_path, monkeypatch):
    index = FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    index.add(frames([0]))

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(index._frames, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        index.add(frames([1, 2]))
    again = FleetIndex.open(str(tmp_path / "index"))
    assert again.num_objects == 15
    assert [row["frame"] for row in again.frames()] == ["a/0"]
    again.drop_unfinished()
    assert again.num_objects == 5
    again.add(frames([1, 2]))
    assert again.num_objects == 15


def test_objects_whose_frames_are_not_there_yet_are_not_chosen_by(tmp_path, monkeypatch):
    index = FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    index.add(frames([0]))
    opened = FleetIndex.open(str(tmp_path / "index"))
    index.add(frames([1]))  # another process, in the meantime
    assert set(opened.column_arrays()[1]) == {"a/0"}
    assert len(FleetIndex.open(str(tmp_path / "index")).column_arrays()[0]) == 10

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(index._frames, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        index.add(frames([2]))
    stopped = FleetIndex.open(str(tmp_path / "index"))
    assert len(select_frames(stopped, 2, "coverage", seed=0)) == 2


@pytest.mark.parametrize("strategy", ["coverage", "typical"])
def test_as_many_frames_are_chosen_where_objects_are_drawn_by_lot(tmp_path, monkeypatch, strategy):
    index = FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    index.add(frames([0], objects=60))
    index.add(frames(range(1, 9), objects=1))
    monkeypatch.setattr(fleet_select, "MAX_OBJECTS", 10)
    opened = FleetIndex.open(str(tmp_path / "index"))
    for seed in range(5):
        rows = select_frames(opened, 9, strategy, seed=seed)
        assert {row["frame"] for row in rows} == {f"a/{number}" for number in range(9)}


def test_objects_told_apart_by_other_boxes_do_not_go_into_one_index(tmp_path):
    def about(*sides):
        boxes = {"boxes": {"car": list(sides)}, "neighbors": 32}
        return ABOUT_8.model_copy(update={"objects": "class", "boxes": boxes})

    FleetIndex.create(str(tmp_path / "index"), about(4.4, 1.8))
    FleetIndex.create(str(tmp_path / "index"), about(4.4, 1.8))
    with pytest.raises(ConfigError, match="was made with boxes"):
        FleetIndex.create(str(tmp_path / "index"), about(9.0, 3.0))
    former = about(4.4, 1.8).model_copy(update={"boxes": None})
    FleetIndex.create(str(tmp_path / "former"), former)
    FleetIndex.create(str(tmp_path / "former"), about(4.4, 1.8))


def test_rows_of_two_networks_do_not_go_into_one_index(tmp_path):
    FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    other = ABOUT_8.model_copy(update={"weights": "def"})
    with pytest.raises(ConfigError, match="was made with weights 'abc', this call has 'def'"):
        FleetIndex.create(str(tmp_path / "index"), other)


def test_a_folder_that_is_no_index_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="is no index; make one with"):
        FleetIndex.open(str(tmp_path))
    with pytest.raises(DatasetNotFoundError, match="is no index; make one with"):
        FleetIndex.open(str(tmp_path / "absent"))
    assert not list(tmp_path.iterdir())


def test_an_index_of_a_newer_format_is_named(tmp_path):
    import lancedb  # noqa: PLC0415

    FleetIndex.create(str(tmp_path / "index"), ABOUT_8)
    text = ABOUT_8.model_dump_json().replace('"format":1', '"format":2')
    lancedb.connect(str(tmp_path / "index")).open_table(ABOUT).update(values={"json": text})
    with pytest.raises(FileFormatError, match="use the version that wrote it"):
        FleetIndex.open(str(tmp_path / "index"))


def test_a_large_table_finds_nearly_what_a_look_at_every_row_finds(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BRUTE_FORCE_ROWS", 1000)
    about = ABOUT_8.model_copy(update={"head_channels": 0})
    index = FleetIndex.create(str(tmp_path / "index"), about)
    many = [
        dataclasses.replace(
            one, objects=tuple(dataclasses.replace(o, head=None) for o in one.objects)
        )
        for one in frames(range(20), objects=80)
    ]
    index.add(many)
    index.build()
    assert index._objects.list_indices()
    found = 0
    for wanted in unit(10, 8, 7):
        exact = index.nearest(wanted, "vector", 10, exact=True)
        quick = index.nearest(wanted, "vector", 10)
        keys = [{(row["frame"], row["object"]) for row in rows} for rows in (exact, quick)]
        found += len(keys[0] & keys[1])
    assert found >= 95

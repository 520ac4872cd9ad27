import json
import shutil

import numpy as np
import pytest
from fakes.command import run
from fakes.pandaset import Camera, Drive, write_drive
from fakes.runs import CAR, pretrain_values, probe_values, write_world
from fakes.texts import write_adaptor, write_projection, write_text_encoder
from PIL import Image

from lidistill.apps import fleet_index
from lidistill.apps.open_vocabulary import image_direction
from lidistill.apps.text_classes import text_directions
from lidistill.cli.fleet_index import IndexOptions
from lidistill.distill.run import pretrain
from lidistill.errors import require
from lidistill.fleet.table import FleetIndex
from lidistill.instances.objects import find_objects, mean_features
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score
from lidistill.training.run_lock import RunLock


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A drive of four frames, a distillation and a probe, and an index of each."""
    folder = tmp_path_factory.mktemp("fleet")
    write_world(folder)
    write_posts(folder / "posts")
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), ("train.steps=10",), source="tiny"))
    return folder


def write_posts(root):
    """A drive of four frames: level ground, and two posts in front of the camera."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(-15, 25, 0.5), np.arange(-15, 15, 0.5))
    parts = [np.stack([x, y, np.full(x.shape, -1.7)], axis=-1).reshape(-1, 3)]
    posts = rng.uniform([0, 0, -1.7], [0.8, 0.8, 0.5], (2, 200, 3))
    parts += [posts[0] + [9, 0, 0], posts[1] + [14, -3, 0]]
    points = np.concatenate(parts)
    image = rng.integers(0, 255, (32, 64, 3), dtype=np.uint8)
    drive = Drive(
        frames=(0, 1, 2, 3),
        points=points,
        classes=np.full(len(points), CAR),
        intensity=rng.uniform(0, 255, len(points)),
        device=np.zeros(len(points), int),
        cameras={"front_camera": Camera(image=image)},
    )
    write_drive(root, "001", drive)


@pytest.fixture(scope="module")
def index(world):
    return make_index(world, world / "index")


def make_index(world, output):
    options = IndexOptions(sensor="pandar64", device="cpu")
    source = options.source([world / "posts"])
    model = options.model(world / "pretrain", source)
    about = fleet_index.about_index(
        model,
        run=world / "pretrain",
        data=[world / "posts"],
        sensor="pandar64",
        head=True,
    )
    table = FleetIndex.create(str(output), about)
    encode = fleet_index.EncodeFrame(model=model, head=True)
    list(fleet_index.index_frames(source.dataset, encode, fleet_index.by_density(), table))
    return output


def opened(world):
    options = IndexOptions(sensor="pandar64", device="cpu")
    source = options.source([world / "posts"])
    return options.model(world / "pretrain", source), source.dataset


def test_every_object_of_every_frame_has_a_row(world, index):
    model, dataset = opened(world)
    table = FleetIndex.open(str(index))
    assert [row["frame"] for row in table.frames()] == list(dataset.frame_ids)
    assert table.num_objects == 8
    frame = dataset[2]
    label, objects = find_objects(frame.points)
    features = mean_features(model.features(frame.points, frame.intensity), label, len(objects))
    rows = table.nearest(features[0], "vector", 50)
    assert rows[0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert {row["drive"] for row in rows} == {"001"}
    same = next(row for row in rows if (row["frame"], row["object"]) == (frame.frame_id, 1))
    assert same["similarity"] == pytest.approx(1, abs=1e-4)
    assert same["view"] == "front_camera"
    assert same["points"] == np.count_nonzero(label == 1)
    assert same["x"] == pytest.approx(objects[0].box.center[0], abs=1e-4)
    assert same["height"] == pytest.approx(objects[0].top - objects[0].bottom, abs=1e-4)


def test_the_command_goes_on_and_does_nothing_twice(world, tmp_path, capsys):
    command = ("index", world / "pretrain", world / "posts", "--output", tmp_path / "index")
    options = ("--sensor", "pandar64", "--device", "cpu", "--json")
    status, out, err = run(capsys, *command, *options)
    assert status == 0, err
    first = json.loads(out)
    assert (first["frames"], first["skipped"]) == (4, 0)
    assert first["objects"] == first["all_objects"] == 8
    status, out, _ = run(capsys, *command, *options)
    again = json.loads(out)
    assert (again["frames"], again["skipped"], again["objects"]) == (0, 4, 0)
    assert again["all_objects"] == first["all_objects"]
    other = (world / "probe-backbone", *command[2:])
    status, _, err = run(capsys, "index", *other, *options)
    assert status == 2
    assert "was made with" in err


def test_frames_that_come_later_are_taken_in(world, index, tmp_path, monkeypatch):
    monkeypatch.setattr(fleet_index, "FRAMES_AT_ONCE", 1)
    options = IndexOptions(sensor="pandar64", device="cpu")
    model, dataset = opened(world)
    about = FleetIndex.open(str(index)).about
    table = FleetIndex.create(str(tmp_path / "index"), about)
    encode = fleet_index.EncodeFrame(model=model, head=True)
    steps = fleet_index.index_frames(dataset, encode, fleet_index.by_density(), table)
    next(steps)
    next(steps)
    del steps
    assert len(FleetIndex.open(str(tmp_path / "index")).frames()) == 2
    del options
    make_index(world, tmp_path / "index")  # goes on
    whole, grown = (FleetIndex.open(str(one)) for one in (index, tmp_path / "index"))
    assert grown.num_objects == whole.num_objects
    assert [r["frame"] for r in grown.frames()] == [r["frame"] for r in whole.frames()]


def test_a_frame_that_cannot_be_read_ends_nothing_and_is_tried_again(world, tmp_path, capsys):
    shutil.copytree(world / "posts", tmp_path / "data")
    scan = tmp_path / "data" / "001" / "lidar" / "02.pkl.gz"
    whole = scan.read_bytes()
    scan.write_bytes(whole[:100])
    command = ("index", world / "pretrain", tmp_path / "data", "--output", tmp_path / "index")
    options = ("--sensor", "pandar64", "--device", "cpu", "--json")
    status, out, err = run(capsys, *command, *options)
    assert status == 2
    assert "1 of 4 frames could not be used, first: " in err
    assert "02.pkl.gz" in err
    record = json.loads(out)
    assert record["all_objects"] == 6
    assert [one["frame"] for one in record["failed"]] == ["001/02/pandar64"]
    scan.write_bytes(whole)
    status, out, err = run(capsys, *command, *options)
    assert status == 0, err
    again = json.loads(out)
    assert (again["frames"], again["skipped"], again["all_objects"]) == (1, 3, 8)
    rows = FleetIndex.open(str(tmp_path / "index")).frames()
    assert [(row["frame"], row["reason"]) for row in rows] == [
        (f"001/0{number}/pandar64", "") for number in range(4)
    ]


def test_own_scans_are_asked_as_they_were_read(world, tmp_path, capsys):
    scan = tmp_path / "scans" / "a.npz"
    scan.parent.mkdir()
    frame = opened(world)[1][0]
    x, y, z = frame.points.T
    np.savez(scan, x=x, y=y, z=z, echo=frame.intensity)
    command = ("index", world / "pretrain", scan.parent, "--output", tmp_path / "index")
    options = ("--sensor", "pandar64", "--intensity", "echo", "--device", "cpu", "--json")
    status, out, err = run(capsys, *command, *options)
    assert status == 0, err
    assert json.loads(out)["objects"] == 2
    point = int(np.flatnonzero(find_objects(frame.points)[0] == 1)[0])
    question = ("--point", f"a:{point}", "--device", "cpu", "--json")
    status, out, err = run(capsys, "search", tmp_path / "index", *question)
    assert status == 0, err
    rows = json.loads(out)["objects"]
    assert {row["frame"] for row in rows} == {"a"}
    assert rows[0]["image"] is None
    options = ("--frames", "a", "--sensor", "pandar64", "--intensity", "echo")
    assert json.loads(out)["view"].endswith(" ".join(options))


def test_one_process_writes_an_index(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    output = tmp_path / "index"
    status, _, err = run(capsys, "index", world / "pretrain", world / "posts", "--output", output)
    assert (status, "call it without torchrun" in err) == (2, True)
    assert not output.exists()


def test_two_calls_do_not_write_one_index_at_once(world, tmp_path, capsys):
    command = ("index", world / "pretrain", world / "posts", "--output", tmp_path / "index")
    with RunLock(tmp_path / "index"):
        status, _, err = run(capsys, *command, "--sensor", "pandar64", "--device", "cpu")
    assert status != 0
    assert "is in use by another run" in err


def test_a_point_finds_what_is_like_it(world, index, tmp_path, capsys):
    model, dataset = opened(world)
    frame = dataset[1]
    label, _ = find_objects(frame.points)
    point = int(np.flatnonzero(label == 1)[0])
    wanted = model.features(frame.points, frame.intensity)[point]
    sheet = tmp_path / "alike.png"
    status, out, err = run(
        capsys,
        "search",
        index,
        "--point",
        f"{frame.frame_id}:{point}",
        "--count",
        7,
        "--sheet",
        sheet,
        "--device",
        "cpu",
        "--json",
    )
    assert status == 0, err
    record = json.loads(out)
    rows = record["objects"]
    assert len(rows) == 7
    similarity = [row["similarity"] for row in rows]
    assert similarity == sorted(similarity, reverse=True)
    direct = FleetIndex.open(str(index)).nearest(wanted, "vector", 7)
    assert [(r["frame"], r["object"]) for r in rows] == [(r["frame"], r["object"]) for r in direct]
    shown = f"lidistill view {world / 'pretrain'} {world / 'posts'} --frames "
    assert record["view"].startswith(shown)
    assert rows[0]["frame"] in record["view"]
    with Image.open(sheet) as image:
        assert image.width > 5 * 100
    assert record["crops"] == sum(row["image"] is not None for row in rows)


def test_an_image_is_compared_in_the_teachers_space(world, index, tmp_path, capsys):
    crop = tmp_path / "crop.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(crop)
    status, out, err = run(
        capsys, "search", index, "--image", crop, "--device", "cpu", "--json", "--count", 3
    )
    assert status == 0, err
    rows = json.loads(out)["objects"]
    model, dataset = opened(world)
    wanted = image_direction(model, world / "pretrain", crop)
    best = rows[0]
    frame = dataset[dataset.frame_ids.index(best["frame"])]
    label, objects = find_objects(frame.points)
    heads = mean_features(model.project(frame.points, frame.intensity), label, len(objects))
    assert best["similarity"] == pytest.approx(float(heads[best["object"] - 1] @ wanted), abs=1e-4)


def test_words_are_compared_through_the_teachers_text_partner(world, index, tmp_path, capsys):
    partner = tmp_path / "partner"
    write_text_encoder(partner / "text", "clip")
    options = ("--partner", partner, "--device", "cpu", "--json", "--count", 3)
    write_adaptor(partner / "adaptor.safetensors", 32)
    status, _, err = run(capsys, "search", index, "--text", "car", *options)
    assert (status, "an adaptor leads the other way" in err.replace("\n", " ")) == (2, True)
    write_projection(partner / "projection.safetensors", 32)
    status, out, err = run(capsys, "search", index, "--text", "car", *options)
    assert status == 0, err
    rows = json.loads(out)["objects"]
    model, _ = opened(world)
    wanted = text_directions(model, ("car",), partner)[0].numpy()
    direct = FleetIndex.open(str(index)).nearest(wanted, "head", 3)
    assert [(r["frame"], r["object"]) for r in rows] == [(r["frame"], r["object"]) for r in direct]
    assert rows[0]["similarity"] == pytest.approx(direct[0]["similarity"], abs=1e-5)


def test_a_probe_gives_every_object_its_class(world, tmp_path, capsys):
    output = tmp_path / "index"
    status, _, err = run(
        capsys,
        "index",
        world / "probe-backbone",
        world / "posts",
        "--output",
        output,
        "--sensor",
        "pandar64",
        "--device",
        "cpu",
    )
    assert status == 0, err
    table = FleetIndex.open(str(output))
    assert table.about.head_channels == 0
    names = {row["label"] for row in table.nearest(np.ones(8), "vector", 100)}
    assert names <= set(table.about.class_names)
    name = sorted(names)[0]
    status, out, err = run(capsys, "search", output, "--label", name, "--json", "--count", 5)
    assert status == 0, err
    rows = json.loads(out)["objects"]
    sure = [row["confidence"] for row in rows]
    assert rows
    assert {row["label"] for row in rows} == {name}
    assert sure == sorted(sure, reverse=True)
    status, out, _ = run(capsys, "search", output, "--label", name)
    assert status == 0
    assert "look        lidistill view " in out
    status, _, err = run(capsys, "search", output, "--label", f"{name}x")
    assert (status, f"did you mean {name!r}?" in err) == (2, True)
    rest = ("index", world / "probe-backbone", world / "posts", "--output", output)
    status, _, err = run(
        capsys, *rest, "--sensor", "pandar64", "--device", "cpu", "--objects", "class"
    )
    assert (status, "was made with objects 'density'" in err) == (2, True)
    objects = ("--objects", "class", "--sensor", "pandar64", "--device", "cpu", "--json")
    status, out, err = run(capsys, *rest[:-1], tmp_path / "things", *objects)
    assert status == 0, err
    assert json.loads(out)["frames"] == 4
    status, _, err = run(capsys, "search", output, "--image", world / "none.jpg")
    assert (status, "teacher's space, which this index lacks" in err) == (2, True)
    status, out, _ = run(capsys, "select", output, "--count", 2, "--strategy", "uncertain")
    assert status == 0
    assert len(set(out.split())) == 2


def test_a_column_of_a_data_set_is_refused(world, tmp_path, capsys):
    command = ("index", world / "pretrain", world / "posts", "--output", tmp_path / "index")
    status, _, err = run(capsys, *command, "--sensor", "pandar64", "--intensity", "none")
    assert (status, "this is a data set" in err) == (2, True)


@pytest.mark.parametrize("strategy", ["coverage", "typical", "even", "random"])
def test_frames_are_chosen(index, capsys, strategy):
    options = ("--strategy", strategy, "--json", "--count")
    status, out, err = run(capsys, "select", index, *options, 2)
    assert status == 0, err
    frames = [one["frame"] for one in json.loads(out)["frames"]]
    assert len(set(frames)) == 2
    assert run(capsys, "select", index, *options, 2)[1] == out
    assert len(json.loads(run(capsys, "select", index, *options, 4)[1])["frames"]) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of --point, --image, --label, --text"),
        (("--point", "a:1", "--label", "car"), "found 2"),
        (("--point", "a"), "expected FRAME:INDEX"),
        (("--point", "no/such:1"), "unknown frame"),
        (("--label", "car"), "predicts no classes"),
        (("--text", "a red car"), "--text needs --partner FOLDER"),
        (("--image", "/no/such.jpg"), "--image: '/no/such.jpg' is no file"),
        (("--label", "car", "--count", 0), "--count 0"),
    ],
)
def test_a_question_that_has_no_answer_is_one_line(index, capsys, arguments, words):
    status, out, err = run(capsys, "search", index, *arguments)
    assert status == 2
    assert words in err
    assert err.count("error: ") == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert not out


def test_more_frames_than_there_are_and_no_index_are_one_line(index, tmp_path, capsys):
    status, _, err = run(capsys, "select", index, "--count", 5)
    assert (status, "the index has 4 frames to choose from" in err) == (2, True)
    status, _, err = run(capsys, "select", tmp_path, "--count", 5)
    assert (status, "is no index; make one with" in err) == (2, True)
    status, _, err = run(capsys, "select", index, "--count", 1, "--strategy", "uncertain")
    assert (status, "predicts no classes" in err) == (2, True)


def test_a_run_that_has_learned_on_is_not_compared_with_its_former_objects(
    world, index, tmp_path, capsys
):
    lancedb = require("lancedb", extra="fleet")
    copy = make_index(world, tmp_path / "index")
    about = FleetIndex.open(str(copy)).about.model_copy(update={"weights": "former"})
    table = lancedb.connect(str(copy)).open_table("about")
    table.update(values={"json": about.model_dump_json()})
    status, _, err = run(capsys, "search", copy, "--point", "001/0/pandar64:1", "--device", "cpu")
    assert (status, "has other weights than when the index was made" in err) == (2, True)

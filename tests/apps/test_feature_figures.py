import numpy as np
import pytest
from fakes.pandaset import Drive, write_drive
from fakes.scan import scan_frame
from fakes.teachers import write_vit
from PIL import Image

from lidistill.apps.feature_figures import write_feature_figures
from lidistill.apps.frame_features import FeatureReader, FrameFeatures, example_point, nearest_point
from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.distill.recipe import PretrainRecipe, TargetConfig
from lidistill.distill.run import build_run
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import CheckpointError, FileFormatError, UnknownNameError
from lidistill.labels import load_label_map
from lidistill.loading.config import DataConfig
from lidistill.samples.distillation import SamplingConfig
from lidistill.teachers import ChannelGroup, VitTeacherConfig
from lidistill.training.checkpoint import save_checkpoint
from lidistill.training.config import TrainConfig

CHANNELS = 32
GROUPS = {UNNAMED_TEACHER: (ChannelGroup(num_channels=CHANNELS),)}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portrait")
    points = np.random.default_rng(0).uniform([-20, -20, -2], [20, 20, 2], (800, 3))
    drive = Drive(frames=(0, 1, 2, 3), points=points, device=np.zeros(800, dtype=int))
    write_drive(folder / "set", "001", drive)
    return _recipe(folder)


def _set(folder, **changed):
    cameras = ("front_camera", "back_camera")
    return PandaSetConfig(root=folder / "set", split="all", cameras=cameras, **changed)


def _recipe(folder):
    fields = {
        "kind": "pretrain",
        "name": "tiny",
        "output": folder / "run",
        "device": "cpu",
        "data": DataConfig(
            sets=(_set(folder),),
            sampling=SamplingConfig(image_size_hw=(28, 56)),
        ),
        "backbone": WaffleIronConfig(
            width=8, depth=3, grid=GridConfig(planes=((16, 16), (16, 4), (16, 4)))
        ),
        "teacher": VitTeacherConfig(model=str(write_vit(folder / "vit", hidden_size=CHANNELS))),
        "target": TargetConfig(center_batches=2),
        "train": TrainConfig(steps=2),
    }
    return PretrainRecipe(**fields)


@pytest.fixture(scope="module")
def checkpoint(recipe):
    distiller = build_distiller(recipe, GROUPS)
    distiller.center.mean.fill_(0.25)
    return save_checkpoint(
        recipe.output / "checkpoints",
        step=2,
        weights=distiller.state_dict(),
        training={},
        recipe=recipe.model_dump(mode="json"),
        meta={},
    )


def _pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def _features(**changed):
    """Points on a line in front of a camera, and a car of nine points beside it."""
    points = np.array([[x, 0.0, 0.0] for x in range(1, 31)], dtype=np.float32)
    corners = [[12 + dx, 2 + dy, 0] for dx in (-0.5, 0, 0.5) for dy in (-0.5, 0, 0.5)]
    points = np.concatenate([points, np.array(corners, dtype=np.float32)])
    labels = np.array([0] * 30 + [9] * 9)
    rng = np.random.default_rng(0)
    fields = {
        "frame_id": "a/0",
        "teacher_label": "teacher",
        "points": points,
        "intensity": np.ones(len(points), dtype=np.float32),
        "labels": labels,
        "student": rng.normal(size=(len(points), 4)).astype(np.float32),
        "backbone": rng.normal(size=(len(points), 5)).astype(np.float32),
        "teacher": rng.normal(size=(len(points), 4)).astype(np.float32),
        "seen": np.ones(len(points), dtype=bool),
    }
    return FrameFeatures(**(fields | changed))


def test_a_run_is_drawn_on_images_from_above_and_as_correlation(recipe, checkpoint, tmp_path):
    files = write_feature_figures(build_run(recipe), checkpoint, tmp_path)
    assert sorted(file.name for file in files) == sorted(
        f"001-{frame:02d}-pandar64-{kind}.png"
        for frame in (0, 2)
        for kind in ("front", "cameras", "above", "correlation", "correlation-cameras")
    )
    for file in files:
        pixels = _pixels(file)
        assert 1600 <= pixels.shape[1] <= 2200
        colorful = np.ptp(pixels.astype(int), axis=2) > 40
        assert colorful.sum() > 500


def test_the_same_checkpoint_gives_the_same_figures(recipe, checkpoint, tmp_path):
    names = ("001/01/pandar64",)
    first = write_feature_figures(build_run(recipe), checkpoint, tmp_path / "a", frames=names)
    second = write_feature_figures(build_run(recipe), checkpoint, tmp_path / "b", frames=names)
    assert len(first) == 5
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def test_another_point_gives_other_correlation_maps_only(recipe, checkpoint, tmp_path):
    names = ("001/01/pandar64",)
    first, second = (
        {
            file.name: file.read_bytes()
            for file in write_feature_figures(
                build_run(recipe), checkpoint, tmp_path / str(x), frames=names, point=(x, 3.0, 0.0)
            )
        }
        for x in (10.0, -10.0)
    )
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {
        f"001-01-pandar64-{kind}.png" for kind in ("correlation", "correlation-cameras")
    }


def test_frames_without_labels_show_their_intensity(recipe, checkpoint, tmp_path):
    names = ("001/01/pandar64",)
    sets = (_set(recipe.output.parent, labels="none"),)
    data = recipe.data.model_copy(update={"sets": sets})
    bare = recipe.model_copy(update={"data": data})
    (labelled,) = (
        f
        for f in write_feature_figures(build_run(recipe), checkpoint, tmp_path / "a", frames=names)
        if "above" in f.name
    )
    (unlabelled,) = (
        f
        for f in write_feature_figures(build_run(bare), checkpoint, tmp_path / "b", frames=names)
        if "above" in f.name
    )
    first, second = _pixels(labelled), _pixels(unlabelled)
    assert second.shape[1] < first.shape[1]
    above = slice(0, first.shape[0] // 2)
    np.testing.assert_array_equal(first[above, : second.shape[1]], second[above])
    assert (first[:, : second.shape[1]] != second).any()


def test_a_frame_that_is_not_there_is_named_with_the_nearest_one(recipe, checkpoint, tmp_path):
    with pytest.raises(UnknownNameError, match=r"001/09/pandar64.*did you mean"):
        write_feature_figures(build_run(recipe), checkpoint, tmp_path, frames=("001/09/pandar64",))


def test_a_checkpoint_of_another_width_is_refused(recipe, checkpoint, tmp_path):
    wider = recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"width": 16})})
    with pytest.raises(CheckpointError, match="another architecture"):
        write_feature_figures(build_run(wider), checkpoint, tmp_path)


def test_what_is_drawn_are_centred_teacher_features_where_a_camera_sees(recipe, checkpoint):
    frame = recipe.data.build()[0]
    drawn = FeatureReader(build_run(recipe), checkpoint)(frame)
    assert 0 < drawn.seen.sum() < len(drawn.points)
    assert (drawn.teacher[~drawn.seen] == 0).all()
    assert drawn.student.shape == drawn.teacher.shape == (len(drawn.points), CHANNELS)
    assert drawn.views[0].name == "front_camera"

    uncentred = recipe.model_copy(update={"target": TargetConfig(center_batches=0)})
    distiller = build_distiller(uncentred, GROUPS)
    folder = recipe.output.parent / "raw" / "checkpoints"
    save_checkpoint(folder, step=1, weights=distiller.state_dict(), training={}, recipe={}, meta={})
    raw = FeatureReader(build_run(uncentred), folder)(frame)
    difference = raw.teacher[raw.seen] - drawn.teacher[drawn.seen]
    np.testing.assert_allclose(difference, 0.25, atol=1e-5)


def test_a_frame_whose_images_show_no_point_is_an_error(recipe, checkpoint, tmp_path):
    frame = scan_frame(tmp_path, views=())
    with pytest.raises(FileFormatError, match="no image shows any of its points"):
        FeatureReader(build_run(recipe), checkpoint)(frame)


def test_the_example_lies_inside_the_car(tmp_path):
    frame = _features(views=scan_frame(tmp_path).views[:1])
    car = load_label_map("pandaset").class_names.index("car")
    assert car == 9
    np.testing.assert_allclose(frame.points[example_point(frame, car)], [12, 2, 0])


@pytest.mark.parametrize("changed", [{"labels": None}, {"labels": np.zeros(39, dtype=int)}])
def test_without_a_car_the_example_lies_ahead(tmp_path, changed):
    frame = _features(views=scan_frame(tmp_path).views[:1], **changed)
    np.testing.assert_allclose(frame.points[example_point(frame, 9)], [12, 0, 0])
    np.testing.assert_allclose(frame.points[example_point(frame, None)], [12, 0, 0])


def test_a_chosen_position_takes_its_nearest_point(tmp_path):
    frame = _features(views=scan_frame(tmp_path).views[:1])
    assert nearest_point(frame, (7.2, 0.1, 0.0)) == 6


def test_the_first_camera_looks_up_from_above(tmp_path):
    front, left, _ = scan_frame(tmp_path).views
    np.testing.assert_allclose(
        _features(views=(front,)).facing_up(), _features(views=(front,)).points
    )
    turned = _features(views=(left,)).facing_up()
    np.testing.assert_allclose(turned[11], [0, -12, 0], atol=1e-6)


def test_the_cosine_counts_seen_points_only(tmp_path):
    frame = _features(views=scan_frame(tmp_path).views[:1], seen=np.arange(39) < 5)
    expected = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(frame.student[:5], frame.teacher[:5], strict=True)
    ]
    assert frame.cosine_to_teacher() == pytest.approx(np.mean(expected), abs=1e-5)

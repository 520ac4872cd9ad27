"""Which object a point is of, as each data set says it."""

import numpy as np
import pytest
from fakes.nuscenes import FakeNuScenes, token
from fakes.pandaset import Cuboid, Drive, write_cuboids, write_drive
from fakes.semantic_kitti import write_sequence

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.pandaset.cuboids import boxed_classes
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.labels import IGNORE, load_label_map

CAR, PERSON, ROAD, SIGN, BIRD = 13, 30, 7, 36, 32  # raw ids of PandaSet


def test_semantic_kitti_has_the_whole_label(tmp_path):
    ids = np.arange(50) << 16 | np.where(np.arange(50) < 25, 252, 60)
    write_sequence(tmp_path, 8, 1, labels=ids)
    frame = SemanticKittiConfig(root=tmp_path, split="val", instances=True).build()[0]
    assert frame.segments.dtype == np.uint32
    assert frame.segments.tolist() == ids.tolist()
    assert set(frame.labels) == {0, 8}  # car and road


@pytest.fixture
def nuscenes(tmp_path):
    fake = FakeNuScenes(tmp_path)
    fake.add_scene("scene-0061", 1)
    fake.write_tables()
    return fake


def read_nuscenes(fake, **options):
    return NuScenesConfig(
        root=fake.root, version="v1.0-mini", split="all", instances=True, **options
    ).build()


def test_nuscenes_has_the_whole_panoptic_label(nuscenes):
    labels = np.where(np.arange(50) < 30, 17_002, 24_000)
    labels[0] = 0
    nuscenes.write_panoptic(token("scene-0061", 0, "LIDAR_TOP"), labels)
    frame = read_nuscenes(nuscenes)[0]
    assert frame.segments.tolist() == labels.tolist()
    names = load_label_map("nuscenes").class_names
    assert frame.labels[0] == IGNORE
    assert {names[i] for i in frame.labels[1:]} == {"car", "driveable_surface"}


def test_the_official_scripts_count_segments_of_so_many_points():
    assert NuScenesConfig.MIN_SEGMENT_POINTS == 15
    assert SemanticKittiConfig.MIN_SEGMENT_POINTS == 50


def test_nuscenes_without_panoptic_labels_says_so(nuscenes):
    with pytest.raises(DatasetNotFoundError, match="lack a label file"):
        read_nuscenes(nuscenes, labels="required")


@pytest.mark.parametrize("damage", ["short", "name", "type", "cut", "class"])
def test_damaged_panoptic_labels_are_one_line(nuscenes, damage):
    labels = np.full(50, 17_001)
    if damage == "class":
        labels[3] = 60_000
    path = nuscenes.write_panoptic(token("scene-0061", 0, "LIDAR_TOP"), labels)
    if damage == "short":
        np.savez_compressed(path, data=np.zeros(49, np.uint16))
    elif damage == "name":
        np.savez_compressed(path, labels=np.zeros(50, np.uint16))
    elif damage == "type":
        np.savez_compressed(path, data=np.zeros(50, np.float32))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FileFormatError, match="_panoptic") as error:
        read_nuscenes(nuscenes)[0]
    assert "\n" not in str(error.value)


POINTS = np.array(
    [
        [10.0, 0.0, 1.0],  # in the first car
        [10.0, 2.3, 1.0],  # on its skin, 5 cm outside
        [10.0, 5.0, 1.0],  # a car's, but in no box
        [20.0, 0.0, 1.0],  # in the turned car
        [21.5, 0.0, 1.0],  # in the turned car only because it is turned
        [10.0, 0.0, 1.2],  # a person in the car's box
        [10.0, 0.0, -1.0],  # road
        [30.0, 0.0, 2.0],  # a sign
        [40.0, 0.0, 1.0],  # a car in a box of the other lidar
    ]
)
CLASSES = np.array([CAR, CAR, CAR, CAR, CAR, PERSON, ROAD, SIGN, CAR])
BOXES = [
    Cuboid(label="Car", center=(10, 0, 1), size=(2, 4.5, 2)),
    Cuboid(label="Car", center=(20, 0, 1), size=(2, 4.5, 2), yaw=np.pi / 2),
    Cuboid(label="Pedestrian", center=(50, 0, 1), size=(1, 1, 2)),
    Cuboid(label="Car", center=(40, 0, 1), size=(2, 4.5, 2), sensor=1),
    Cuboid(label="Animals - Bird", center=(10, 0, 1), size=(9, 9, 9)),
]


def pandaset(root, boxes=BOXES):
    drive = Drive(
        frames=(0,), points=POINTS, classes=CLASSES, device=np.zeros(len(POINTS), int), cameras={}
    )
    folder = write_drive(root, "001", drive)
    if boxes is not None:
        write_cuboids(folder, 0, boxes)
    return PandaSetConfig(root=root, split="all", instances=True).build()


def test_pandaset_points_are_of_the_box_they_lie_in(tmp_path):
    dataset = pandaset(tmp_path)
    frame = dataset[0]
    assert frame.segments.tolist() == [1, 1, 0, 2, 2, 0, 0, 0, 0]
    names = [*dataset.label_map.class_names]
    of = [names[i] if i != IGNORE else "" for i in frame.labels]
    # Cars and people in no box of theirs count nowhere.
    assert of == ["car", "car", "", "car", "car", "", "road", "traffic sign", ""]


def test_pandaset_classes_with_boxes_are_things_that_move():
    table = load_label_map("pandaset")
    names = {table.class_names[i] for i in boxed_classes(table)}
    assert {"car", "pedestrian", "traffic cone", "barrier"} < names
    assert not names & {"road", "traffic sign", "vegetation", "manmade"}


def test_pandaset_without_boxes_says_so(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"annotations/cuboids/00\.pkl\.gz"):
        pandaset(tmp_path, boxes=None)[0]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Cuboid(label="Cart", center=(0, 0, 0), size=(1, 1, 1)), "did you mean 'Car'"),
        (Cuboid(label="Car", center=(np.nan, 0, 0), size=(1, 1, 1)), "not finite"),
        (Cuboid(label=7, center=(0, 0, 0), size=(1, 1, 1)), "unknown class of a box 7"),
    ],
)
def test_damaged_boxes_are_one_line(tmp_path, box, expected):
    with pytest.raises(FileFormatError, match=expected) as error:
        pandaset(tmp_path, boxes=[*BOXES, box])[0]
    assert "\n" not in str(error.value)

"""The classes that data sets share, and frames and predictions brought to them.

Shape letters: N points of a frame, M points of its sample, C classes of a set, D common classes.
"""

import dataclasses
from importlib import resources

import torch
import yaml
from torch import Tensor

from lidistill.datasets import FrameDataset
from lidistill.datasets.dataset_wrapper import DatasetWrapper
from lidistill.errors import unknown_name
from lidistill.labels import IGNORE, LabelMap, shipped_label_maps
from lidistill.records import Frame, Sample
from lidistill.segment.test_time_augmentation import ClassScores


def common_map(label_map: LabelMap) -> LabelMap:
    """From the training ids of a set to the common classes (``segment/common_classes.yaml``).

    Raises:
        UnknownNameError: If the table does not speak of the set, or of one of its classes.
    """
    file = resources.files("lidistill").joinpath("segment", "common_classes.yaml")
    table = yaml.safe_load(file.read_text("utf-8"))
    common = label_map.common
    if not common:
        raise unknown_name("label table", label_map.name, shipped_label_maps())
    classes = tuple(table["classes"])
    ids = {name: i for i, name in enumerate(classes)} | {"ignore": IGNORE}
    for name in label_map.class_names:
        if name not in common:
            raise unknown_name(f"class of {label_map.name}", name, common)
    to_common = {i: ids[common[name]] for i, name in enumerate(label_map.class_names)}
    return LabelMap(
        name="common",
        class_names=classes,
        raw_to_train=to_common | {IGNORE: IGNORE},
        raw_names=dict(enumerate(label_map.class_names)) | {IGNORE: "ignore"},
    )


class InCommonClasses(DatasetWrapper):
    """A data set whose labels are the common classes.

    Args:
        dataset: The data set that reads.
    """

    def __init__(self, dataset: FrameDataset) -> None:
        super().__init__(dataset)
        self._label_map = common_map(dataset.label_map)

    @property
    def label_map(self) -> LabelMap:
        """The common classes."""
        return self._label_map

    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``."""
        frame = self._dataset[index]
        if frame.labels is None:
            return frame
        labels = self.label_map.apply(frame.labels, source=frame.frame_id)
        return dataclasses.replace(frame, labels=labels)


def in_common_classes(class_scores: ClassScores, label_map: LabelMap) -> ClassScores:
    """Scores of the common classes: of the likeliest class that each is made of.

    Their sum would favour common classes with many parts: where a network is unsure, each part
    brings its share. So the prediction is that common class which the likeliest class is part of;
    classes without a common one are left out.

    Args:
        class_scores: Probabilities of a set's own classes.
        label_map: The set's own classes.
    """
    to_common = common_map(label_map)
    common = torch.tensor([to_common.raw_to_train[i] for i in range(label_map.num_classes)])
    has_common = common != IGNORE

    def scores(frame: Frame, sample: Sample) -> tuple[Tensor, Tensor]:
        scores_MC, valid = class_scores(frame, sample)
        best_MD = scores_MC.new_zeros(len(scores_MC), to_common.num_classes)
        index = common[has_common].expand(len(scores_MC), -1)
        return best_MD.scatter_reduce(1, index, scores_MC[:, has_common], "amax"), valid

    return scores

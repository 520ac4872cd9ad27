import pytest
import torch
from fakes.runs import pretrain_values, write_world

from lidistill.apps.estimate import backward, estimate, made_up, predict_student
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import WeightsNotFoundError
from lidistill.recipes import apply_overrides
from lidistill.teachers import ChannelGroup


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimate")
    write_world(folder)
    return pretrain_values(folder)


def recipe(values, *overrides):
    return apply_overrides(values, overrides, source="tiny")


def test_what_a_deep_network_keeps_is_what_the_shallow_ones_predict(values):
    deep = recipe(values, "backbone.depth=12", "backbone.width=16")
    cpu, groups = torch.device("cpu"), {UNNAMED_TEACHER: (ChannelGroup(num_channels=12),)}
    predicted = predict_student(deep, groups, cpu).saved
    student = build_distiller(deep, groups).train()
    item = made_up(deep.backbone.inputs(), 400, {UNNAMED_TEACHER: 12}, cpu)
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in student.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        backward(student, item, deep, cpu)
    measured = sum(size for pointer, size in kept.items() if pointer not in own)
    assert predicted == pytest.approx(measured, rel=0.05)


def test_an_estimate_counts_what_is_on_disk_and_shares_it_among_processes(values):
    alone = estimate(recipe(values))
    assert alone.steps_per_epoch == 2  # four frames, two a step
    student = build_distiller(
        recipe(values), {UNNAMED_TEACHER: recipe(values).teacher.build().groups}
    )
    assert alone.parameters == sum(p.numel() for p in student.parameters())
    assert alone.model_bytes == 16 * alone.parameters
    assert alone.working_bytes == 2 * 4 * 32 * 32 * 8  # scans, bytes, cells, channels
    network = recipe(values).teacher.build().network  # a ViT, which names its blocks twice
    assert alone.teacher_bytes == sum(4 * p.numel() for p in network.parameters())
    assert alone.epoch_seconds == pytest.approx(2 * alone.step_seconds)
    shared = estimate(recipe(values), ranks=2, frames=100)
    assert shared.steps_per_epoch == 50
    assert shared.activation_bytes == pytest.approx(alone.activation_bytes / 2, rel=0.05)
    split = estimate(recipe(values, "train.sharding=full"), ranks=2, frames=100)
    assert split.model_bytes == alone.model_bytes // 2


def test_a_published_teacher_is_planned_for_without_its_weights(values):
    teacher = "teacher={kind: vit, model: facebook/dinov2-base, download: false, layers: [-2, -1]}"
    planned = estimate(recipe(values, teacher), frames=10)
    assert planned.teacher_bytes == 4 * 86_580_480
    student = build_distiller(
        recipe(values), {UNNAMED_TEACHER: (ChannelGroup(num_channels=768),) * 2}
    )
    assert planned.parameters == sum(p.numel() for p in student.parameters())
    with pytest.raises(WeightsNotFoundError):
        estimate(recipe(values, teacher.replace("dinov2-base", "dinov2-unknown")), frames=10)

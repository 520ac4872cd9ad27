import pytest
import torch

from backbones.minkunet.test_published import slidr
from lidistill.apps.import_checkpoint import import_checkpoint
from lidistill.errors import CheckpointError
from lidistill.recipes import apply_overrides
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.fitting import backbone_weights, part_of


def write(path, state):
    torch.save(state, path)
    return path


def test_a_distilled_minkunet_of_slidr_becomes_a_run(tmp_path):
    state = slidr(18)
    file = write(tmp_path / "minkunet_slidr_1gpu.pt", {"model_points": state})
    result = import_checkpoint(file, tmp_path / "run")
    assert (result.kind, result.width, result.depth) == ("minkunet", 12, 16)
    assert (result.recipe, result.head) == ("pretrain/minkunet34", "linear 64")
    checkpoint = load_checkpoint(tmp_path / "run")
    recipe = apply_overrides(checkpoint.recipe, (), source="imported")
    assert (recipe.backbone.intensity_gain, recipe.head.kind) == (22.04632, "linear")
    recipe.backbone.build().load_state_dict(backbone_weights(checkpoint))
    assert torch.equal(part_of(checkpoint, "head")["linear.weight"], state["final.kernel"].t())


def test_a_fine_tuned_one_carries_the_names_of_its_classes(tmp_path):
    file = write(tmp_path / "model.pt", {"model_points": slidr(outputs=16)})
    with pytest.raises(CheckpointError, match=r"give --recipe, .*finetune/minkunet34/nuscenes"):
        import_checkpoint(file, tmp_path / "run")
    import_checkpoint(file, tmp_path / "run", recipe="finetune/minkunet34/nuscenes")
    assert load_checkpoint(tmp_path / "run").meta["label_names"][0] == "barrier"


def test_the_output_of_points_without_a_class_is_left_out(tmp_path, caplog):
    """SLidR fine-tunes with ``ignore_index: 0``, an output that its evaluation never predicts."""
    state = slidr(outputs=17)
    file = write(tmp_path / "model.pt", {"model_points": state})
    import_checkpoint(file, tmp_path / "run", recipe="finetune/minkunet34/nuscenes")
    assert "the first of 17 outputs is left out" in caplog.text
    weight = part_of(load_checkpoint(tmp_path / "run"), "head")["linear.weight"]
    assert torch.equal(weight.flatten(1), state["final.kernel"].t()[1:])
    file = write(tmp_path / "other.pt", {"model_points": slidr(outputs=18)})
    with pytest.raises(CheckpointError, match=r"'linear 18', but .*pretrain/minkunet34"):
        import_checkpoint(file, tmp_path / "other", recipe="finetune/minkunet34/nuscenes")


def test_weights_without_classes_are_led_to_a_distillation(tmp_path):
    bare = {name: tensor for name, tensor in slidr().items() if not name.startswith("final")}
    for number, state in enumerate((bare, slidr(outputs=768))):
        file = write(tmp_path / f"{number}.pt", {"model_points": state})
        with pytest.raises(CheckpointError, match=r"give --recipe, .*pretrain/minkunet34\.$"):
            import_checkpoint(file, tmp_path / str(number))
        import_checkpoint(file, tmp_path / str(number), recipe="pretrain/minkunet34")


@pytest.mark.parametrize(
    ("changed", "recipe", "reason"),
    [
        (
            {"block2.0.conv1.kernel": torch.zeros(27, 5, 8)},
            None,
            r"kernel is \(27, 5, 8\), expect",
        ),
        ({"conv0p1s1.kernel": torch.zeros(27, 3, 4)}, None, r"\(27, 3, 4\).*input channels wants"),
        ({"bn3.bn.bias": None}, None, "bias is missing .*is the file complete"),
        (
            {},
            "pretrain/scalr",
            "weights of a minkunet, and recipe pretrain/scalr trains .*minkunet34/nuscenes",
        ),
        ({"bn0.bn.bias": torch.full((4,), torch.nan)}, None, "stem.norm.bias is not finite"),
        ({"final.kernel": torch.zeros(5, 64)}, None, "head over 5 channels on a network of 12"),
    ],
)
def test_files_that_do_not_fit_are_one_clear_line(tmp_path, changed, recipe, reason):
    state = {name: value for name, value in (slidr() | changed).items() if value is not None}
    file = write(tmp_path / "model.pt", {"model_points": state})
    with pytest.raises(CheckpointError, match=reason):
        import_checkpoint(file, tmp_path / "run", recipe=recipe)
    assert not (tmp_path / "run").exists()

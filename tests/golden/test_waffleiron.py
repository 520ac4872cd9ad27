import pytest
import torch
from golden_cases import golden_files
from golden_networks import (
    ROUNDING,
    Case,
    build_net,
    channels_first,
    gradient_tolerance,
    official_gradients,
    official_tensors,
    padded_batch,
    read_case,
    relative,
)
from torch import Tensor, nn

from lidistill.backbones import WaffleIron
from lidistill.distill.losses import cosine_distillation

STORED = golden_files("waffleiron/*.safetensors")


def has_trajectory(param) -> bool:
    (file,) = param.values
    return not file.is_file() or "traj.loss" in read_case(file).tensors


def target_pairs(case: Case) -> tuple[Tensor, Tensor]:
    maps = case.tensors["train.image_features"]
    columns = case.tensors["in.feat"].shape[2]
    points, targets = [], []
    for scan, teacher in enumerate(maps):
        point = case.tensors[f"train.pairing_points.{scan}"].long()
        row, column = case.tensors[f"train.pairing_images.{scan}"].long()[:, 1:].unbind(1)
        points.append(point + scan * columns)
        targets.append(teacher[:, row, column].t())
    return torch.cat(points), torch.cat(targets)


def training_loss(net: nn.ModuleDict, case: Case) -> Tensor:
    points, targets = target_pairs(case)
    features = net["backbone"](padded_batch(case))
    return cosine_distillation(net["head"](features)[points], targets)


def check_buffers(net: nn.ModuleDict, case: Case, *, steps: int) -> None:
    # Where a trajectory was run, it went on in the buffers that were stored: their count says so.
    prefix = "train.buffer_after."
    counter = "embed.norm.num_batches_tracked"
    before = int(case.tensors.get(f"sd.{counter}", torch.tensor(7)))
    if before + steps != int(case.tensors[prefix + counter]):
        return
    after = official_tensors(net)
    # The optimiser turns the rounding noise in the gradient of embed.conv2.0.bias into full steps;
    # they move this mean, and nothing else: the BatchNorm after it takes them out again.
    arbitrary = {prefix + "embed.conv2.2.running_mean"} if steps > 1 else set()
    for key, expected in case.tensors.items():
        if key.startswith(prefix) and key not in arbitrary:
            assert relative(after[key.removeprefix(prefix)], expected) < 1e-4, key


@pytest.mark.parametrize("file", STORED)
def test_evaluation_outputs_equal_the_reference(file):
    case = read_case(file)
    net = build_net(case).eval()
    backbone: WaffleIron = net["backbone"]
    seen = {}
    backbone.embed.register_forward_hook(lambda _m, _a, out: seen.update({"eval.embed": out}))
    first = backbone.layers[0]
    first.register_forward_hook(lambda _m, _a, out: seen.update({"eval.after_channel_mix_0": out}))
    first.spatial.register_forward_hook(
        lambda _m, a, out: seen.update({"eval.after_spatial_mix_0": a[0] + out})
    )
    with torch.no_grad():
        tokens = backbone(padded_batch(case))
        out = channels_first(net["head"](tokens), case)
    seen = {name: channels_first(x, case) for name, x in seen.items()}
    seen["eval.out"] = out
    if "eval.sel_points" in case.tensors:
        chosen = case.tensors["eval.sel_points"].long()
        seen["eval.out_sel"] = seen["eval.out64_sel"] = out[:, :, chosen]
        # Stored point by point, (S, B, C), whatever its shape says.
        chosen_tokens = channels_first(tokens, case)[:, :, chosen].permute(2, 0, 1)
        seen["eval.tokens_sel"] = chosen_tokens.reshape(case.tensors["eval.tokens_sel"].shape)
    compared = [name for name in seen if name in case.tensors]
    assert compared
    for name in compared:
        assert relative(seen[name], case.tensors[name]) < 1e-5, name
    if "eval.channel_mean_f64" in case.tensors:
        for scan, length in enumerate(case.facts["lengths"]):
            valid = out[scan, :, :length].double()
            assert relative(valid.mean(1), case.tensors["eval.channel_mean_f64"][scan]) < 1e-5
            assert relative(valid.std(1), case.tensors["eval.channel_std_f64"][scan]) < 1e-5


@pytest.mark.parametrize("file", STORED)
def test_one_training_step_equals_the_reference(file, monkeypatch):
    case = read_case(file)
    net = build_net(case).train()
    if "train.drop_path_masks" in case.tensors:
        kept = case.tensors["train.drop_path_masks"]
        monkeypatch.setattr(net["backbone"], "draw_kept", lambda *_: kept)
    loss = training_loss(net, case)
    loss.backward()
    assert loss.item() == pytest.approx(float(case.tensors["train.loss"]), rel=1e-6)
    norms = case.facts["grad_norm_per_param"]
    grads = official_gradients(net)
    assert set(grads) == set(norms)
    for name, norm in norms.items():
        if norm < ROUNDING:
            assert grads[name].norm() < ROUNDING, name
            continue
        tolerance = gradient_tolerance(name, case.config["depth"])
        assert float(grads[name].norm()) == pytest.approx(norm, rel=tolerance), name
        stored = case.tensors.get(f"train.grad.{name}")
        if stored is not None:
            assert relative(grads[name], stored) < tolerance, name
    check_buffers(net, case, steps=1)


@pytest.mark.parametrize("file", [param for param in STORED if has_trajectory(param)])
def test_eight_optimiser_steps_equal_the_reference(file):
    case = read_case(file)
    net = build_net(case).train()
    optimizer = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.999), weight_decay=0.03)
    losses = []
    for rate in case.tensors["traj.lr"].tolist():
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = training_loss(net, case)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().double())
    assert relative(torch.stack(losses), case.tensors["traj.loss"]) < 1e-4
    after = official_tensors(net)
    after["classif_bias"] = after.get("classif.2.bias", after.get("classif.bias"))
    for key, expected in case.tensors.items():
        if key.startswith("traj.final."):
            assert relative(after[key.removeprefix("traj.final.")], expected) < 1e-3, key
    check_buffers(net, case, steps=len(losses))

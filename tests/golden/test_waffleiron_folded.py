import pytest
import torch
from golden_cases import golden_files
from golden_networks import build_net, channels_first, padded_batch, read_case, relative


@pytest.mark.parametrize("file", golden_files("waffleiron/*.safetensors"))
def test_folded_networks_give_the_outputs_of_the_reference(file):
    case = read_case(file)
    net = build_net(case).eval()
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        with torch.no_grad():
            folded = net["backbone"].for_inference(dtype)
            out = channels_first(net["head"](folded(padded_batch(case))), case)
        stored = {"eval.out": out}
        if "eval.sel_points" in case.tensors:
            chosen = out[:, :, case.tensors["eval.sel_points"].long()]
            stored |= {"eval.out_sel": chosen, "eval.out64_sel": chosen}
        compared = [name for name in stored if name in case.tensors]
        assert compared
        for name in compared:
            assert relative(stored[name], case.tensors[name]) < tolerance, (name, dtype)

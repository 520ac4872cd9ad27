import pytest
import torch
from golden_cases import golden_files, read_tensors

from lidistill.backbones.litept.orders import ORDERS, codes, sorted_by
from lidistill.backbones.litept.rotary import rotate, rotation

DEPTHS = (2, 3, 5, 8, 9, 11, 16)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("file", golden_files("ptv3/codes.safetensors"))
def test_codes_and_orders_equal_the_reference(file, depth):
    stored, _ = read_tensors(file)
    cells, scan = (stored[f"d{depth}.{name}"].long() for name in ("grid_coord", "batch"))
    for order, found in zip(ORDERS, sorted_by(cells, scan, depth), strict=True):
        assert torch.equal(codes(cells, scan, depth, order), stored[f"d{depth}.{order}"]), order
        assert torch.equal(found, stored[f"d{depth}.{order}.order"].long()), order


@pytest.mark.parametrize("case", ["d18", "d12_base10"])
@pytest.mark.parametrize("file", golden_files("litept/pointrope.safetensors"))
def test_turned_rows_equal_the_reference(file, case):
    stored, _ = read_tensors(file)
    tokens, cells = stored[f"{case}.tokens"][0], stored[f"{case}.positions"][0]
    turn = rotation(cells, tokens.shape[-1], 10.0 if case.endswith("base10") else 100.0)
    found = rotate(tokens.transpose(0, 1), turn).transpose(0, 1)
    assert (found - stored[f"{case}.out"][0]).abs().max() < 1e-4

"""See ``test_layer_kernels`` for where these run."""

import pytest
import torch
from fakes.kernels import DEVICE, pytestmark  # noqa: F401

from lidistill.backbones.waffleiron.gpu.proof import EDGES, LAYER, trusted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", [EDGES, LAYER], ids=lambda family: family.name)
def test_the_kernels_prove_themselves(family, dtype, caplog):
    assert trusted(family, torch.device(DEVICE), dtype), caplog.text

from types import SimpleNamespace

import pytest
import torch

from lidistill.segment.encoders import Encoded
from lidistill.segment.feature_bank import _encode


@pytest.mark.parametrize(("largest", "dtype"), [(6e4, torch.float16), (7e4, torch.float32)])
def test_features_too_large_for_16_bits_stay_in_32(largest, dtype):
    features = torch.tensor([[1.0, largest], [2.0, 3.0], [4.0, 5.0]])
    valid = torch.tensor([True, True, False])
    sample = SimpleNamespace(labels=torch.tensor([0, 255, 1]))
    found = _encode(
        lambda *_: Encoded(features=features, valid=valid), SimpleNamespace(frame_id="a"), sample
    )
    assert (found.features.dtype, found.labels.tolist()) == (dtype, [0])
    assert torch.allclose(found.features.float(), features[:1], rtol=1e-3)

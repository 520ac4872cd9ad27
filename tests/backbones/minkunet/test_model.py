from dataclasses import replace

import numpy as np
import pytest
import torch

from lidistill.backbones import MinkUNetConfig
from lidistill.records import Batch

SMALL = {"depth": 14, "width": 4, "channels": ("z", "intensity")}


def batch_of(config, num_points=200):
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (num_points, 3)).astype(np.float32)
    features = rng.normal(size=(num_points, 2)).astype(np.float32)
    return Batch(
        offsets=torch.tensor([0, num_points]),
        features=torch.from_numpy(features),
        inputs=config.inputs().prepare(points, features),
    )


def test_intensity_is_turned_into_the_units_that_the_weights_want():
    plain, scaled = (MinkUNetConfig(**SMALL, **more) for more in ({}, {"intensity_gain": 22.0}))
    scaled = scaled.model_copy(update={"intensity_shift": 18.5})
    networks = [config.build().eval() for config in (plain, scaled)]
    networks[1].load_state_dict(networks[0].state_dict())
    batch = batch_of(plain)
    raw = batch.features.clone()
    raw[:, 1] = raw[:, 1] * 22 + 18.5
    expected = networks[0](replace(batch, features=raw))
    torch.testing.assert_close(networks[1](batch), expected)
    assert not torch.allclose(networks[0](batch), expected)


def test_points_of_one_cell_share_the_features_of_the_first():
    config = MinkUNetConfig(**SMALL, coordinates="cartesian", cell_size=1.0)
    batch = batch_of(config)
    out = config.build().eval()(batch)
    cell, first = batch.inputs.cell, batch.inputs.first
    assert len(first) < len(cell)
    assert torch.equal(out, out[first][cell])


def test_a_batch_of_another_network_is_refused():
    batch = replace(batch_of(MinkUNetConfig(**SMALL)), inputs=range(200))
    with pytest.raises(TypeError, match="holds range, this network needs MinkInputs"):
        MinkUNetConfig(**SMALL).build()(batch)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"channels": ("z", "z")}, "name each once"),
        ({"width": 512}, "expected at most 2,147,483,648"),
        ({"fov_min": (200.0, 0.0, 0.0)}, "must lie below high"),
        ({"depth": 50}, "14, 18 or 34"),
        (
            {"stages": (1, 2, 3)},
            "stages\n.*found a tuple of 3, expected A or C, or eight whole numbers",
        ),
        ({"stages": [1, 2, 4, 8, 4, 4, 3, 0]}, "eight whole numbers from 1 to 64"),
        ({"kernel_size": 4}, "3 or 5"),
        ({"fov_max": (1e30, 1.0, 1.0)}, r"1e\+31 x 365|a field of view of .* cells, too many"),
        (
            {
                "fov_min": (-1e5,) * 3,
                "fov_max": (1e5,) * 3,
                "cell_size": 1e-3,
                "coordinates": "cartesian",
            },
            r"a field of view of 2e\+08 x 2e\+08 x 2e\+08 cells",
        ),
    ],
)
def test_keys_that_make_no_network_are_refused(changed, reason):
    with pytest.raises(ValueError, match=reason):
        MinkUNetConfig(**({"depth": 34} | changed))

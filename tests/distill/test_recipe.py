import pytest
from fakes.runs import pretrain_values

from lidistill.errors import ConfigError
from lidistill.recipes import apply_overrides


def test_a_distillation_has_no_rates_by_layer(tmp_path):
    with pytest.raises(ConfigError, match=r"a distillation has one rate for all: set optimizer"):
        apply_overrides(pretrain_values(tmp_path), ("optimizer.layer_decay=0.9",), source="tiny")

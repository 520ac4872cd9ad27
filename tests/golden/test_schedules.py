import json

import pytest
from golden_cases import golden_files

from lidistill.training.schedules import warmup_cosine, warmup_reciprocal_sqrt_cooldown


@pytest.mark.parametrize("file", golden_files("schedule/schedule_*.json"))
def test_factors_equal_the_authors(file):
    cases = json.loads(file.read_text())
    for name, case in cases.items():
        given, total = case["params"], case["params"]["max_it"]
        for step, expected in zip(case["it"], case["factor"], strict=True):
            if name.startswith("WarmupCosine"):
                factor = warmup_cosine(
                    step,
                    warmup_steps=given["warmup_end"],
                    total_steps=total,
                    min_factor=given["fmin"],
                )
            else:
                factor = warmup_reciprocal_sqrt_cooldown(
                    step,
                    warmup_steps=given.get("warmup_end", total // 10),
                    cooldown_start=given.get("cooldown_start", total - 2 * (total // 10)),
                    total_steps=total,
                    timescale=given.get("timescale", total // 100),
                )
            assert factor == pytest.approx(expected, rel=1e-12, abs=1e-15), (name, step)

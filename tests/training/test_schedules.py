import itertools
import logging

import pytest

from lidistill.errors import ConfigError
from lidistill.training.schedules import CosineSchedule, ReciprocalSqrtSchedule

EPOCH = 6887  # steps of the papers' mixture


def length(total_steps, steps_per_epoch=EPOCH, lr=2e-3):
    return {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch, "lr": lr}


def rates(schedule, run):
    return [schedule.factor(step, **run) for step in range(run["total_steps"])]


def advised(text, kind):
    """The schedule with what an error or a warning advises."""
    words = [word.rstrip(".,;") for word in text.split() if word.startswith("schedule.")]
    return kind(**{k.removeprefix("schedule."): v for k, v in (w.split("=") for w in words)})


def test_the_papers_cosine_starts_at_zero_peaks_after_warmup_and_ends_at_its_minimum():
    schedule, run = CosineSchedule(warmup_steps=3500, min_lr=1e-5), length(25 * EPOCH)
    assert schedule.factor(0, **run) == 0
    assert schedule.factor(3500, **run) == 1
    assert schedule.factor(25 * EPOCH, **run) == pytest.approx(1e-5 / 2e-3)


def test_warmup_can_be_given_in_epochs():
    run = length(1000, 50, lr=1e-3)
    assert CosineSchedule(warmup_epochs=2).factor(50, **run) == pytest.approx(0.5)


def test_of_two_lengths_of_a_warmup_the_steps_count_and_that_is_said(caplog):
    schedule, run = CosineSchedule(warmup_steps=3, warmup_epochs=2), {"total_steps": 100}
    schedule.check(**run, steps_per_epoch=3, lr=1.0)
    assert "warmup_epochs=2 has no say" in caplog.text
    assert schedule.warmup(**run, steps_per_epoch=3) == 3


def test_a_warmup_share_counts_instead_of_the_recipes_own_length():
    schedule = CosineSchedule(warmup_steps=3500, warmup_epochs=2, warmup_share=0.02)
    for total in (75, 4000, 172_175):
        run = length(total, 3)
        peak = round(0.02 * total)
        assert schedule.factor(peak, **run) == 1
        assert schedule.factor(peak - 1, **run) == (peak - 1) / peak
    none = CosineSchedule(warmup_steps=3500, warmup_share=0)
    assert none.factor(0, **length(75)) == 1


def test_the_scalr_plus_schedule_cools_down_to_zero_at_the_last_step():
    schedule, run = ReciprocalSqrtSchedule(), length(65 * EPOCH)
    assert schedule.factor(EPOCH, **run) == 1
    assert schedule.factor(65 * EPOCH - 1, **run) == 0
    after_warmup = schedule.factor(2 * EPOCH, **run)
    assert after_warmup == pytest.approx((1 + EPOCH / round(0.45 * EPOCH)) ** -0.5, rel=1e-3)


@pytest.mark.parametrize("total", [4000, EPOCH, round(1.5 * EPOCH), 2 * EPOCH, 3 * EPOCH])
def test_a_run_without_room_for_warmup_and_cooldown_is_refused_with_what_to_set(total):
    run = length(total)
    with pytest.raises(ConfigError, match=rf"{total} steps .*6887 steps and .*13774") as error:
        ReciprocalSqrtSchedule().check(**run)
    shorter = advised(str(error.value), ReciprocalSqrtSchedule)
    shorter.check(**run)
    factors = rates(shorter, run)
    assert max(factors) == 1
    assert factors[-1] == 0
    falls = [before - after for before, after in itertools.pairwise(factors)]
    assert max(falls) < 0.02  # the rate jumps nowhere


def test_a_run_that_is_short_for_its_cooldown_is_warned_of(caplog):
    run = length(4 * EPOCH)
    ReciprocalSqrtSchedule().check(**run)
    factors = rates(ReciprocalSqrtSchedule(), run)
    jump = 1 - factors[2 * EPOCH + 1] / factors[2 * EPOCH]
    assert jump == pytest.approx(0.23, abs=0.005)
    assert "falls by 23 % in one step" in caplog.text
    assert f"at step {2 * EPOCH} of {4 * EPOCH}" in caplog.text
    shorter = advised(caplog.text, ReciprocalSqrtSchedule)
    caplog.clear()
    shorter.check(**run)
    ReciprocalSqrtSchedule().check(**length(65 * EPOCH))
    assert not caplog.text


def test_a_run_that_never_leaves_its_warmup_is_warned_of_with_the_numbers(caplog):
    schedule, run = CosineSchedule(warmup_steps=3500), length(75, 3)
    schedule.check(**run)
    assert "75 of this run's 75 steps (3 an epoch)" in caplog.text
    highest = f"{2e-3 * max(rates(schedule, run)):.2g}"
    assert highest == "4.2e-05"
    assert f"comes to {highest} of optimizer.lr=0.002" in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    better = schedule.model_copy(update=dict(advised(caplog.text, CosineSchedule)))
    caplog.clear()
    better.check(**run)
    assert not caplog.text
    assert max(rates(better, run)) == 1


@pytest.mark.parametrize("total", [7000, 25 * EPOCH])
def test_a_warmup_of_at_most_half_a_run_is_nothing_to_speak_of(total, caplog):
    CosineSchedule(warmup_steps=3500).check(**length(total))
    assert not caplog.text


def test_a_least_rate_above_the_peak_is_refused():
    with pytest.raises(ConfigError, match=r"min_lr=1e-05 lies above optimizer.lr=1e-06"):
        CosineSchedule().check(**length(1000, lr=1e-6))

import pytest

from lidistill.engine.schedules import CosineSchedule, ReciprocalSqrtSchedule


def test_the_papers_cosine_starts_at_zero_peaks_after_warmup_and_ends_at_its_minimum():
    schedule = CosineSchedule(warmup_steps=3500, min_lr=1e-5)
    run = {"total_steps": 172_175, "steps_per_epoch": 6887, "lr": 2e-3}
    assert schedule.factor(0, **run) == 0
    assert schedule.factor(3500, **run) == 1
    assert schedule.factor(172_175, **run) == pytest.approx(1e-5 / 2e-3)


def test_warmup_can_be_given_in_epochs():
    run = {"total_steps": 1000, "steps_per_epoch": 50, "lr": 1e-3}
    assert CosineSchedule(warmup_epochs=2).factor(50, **run) == pytest.approx(0.5)


def test_the_scalr_plus_schedule_cools_down_to_zero_at_the_last_step():
    schedule = ReciprocalSqrtSchedule()
    run = {"total_steps": 65 * 6887, "steps_per_epoch": 6887, "lr": 2e-3}
    assert schedule.factor(6887, **run) == 1
    assert schedule.factor(65 * 6887 - 1, **run) == 0
    after_warmup = schedule.factor(2 * 6887, **run)
    assert after_warmup == pytest.approx((1 + 6887 / round(0.45 * 6887)) ** -0.5, rel=1e-3)

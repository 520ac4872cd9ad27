"""Recordings in, recordings out: what `features` and `predict` do with a bag."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lidistill.apps.recordings import (
    Recorded,
    RecordingPlan,
    Work,
    process_recording,
    report_json,
)
from lidistill.cli.output import OUT, print_json
from lidistill.errors import ConfigError, FileFormatError
from lidistill.streams.sources import is_recording
from lidistill.training.progress import ProgressBar


def only_recording(scans: Sequence[Path]) -> Path | None:
    """The recording that is given in place of scan files; None where those are.

    Raises:
        ConfigError: If there is more beside it.
    """
    recordings = [path for path in scans if is_recording(path)]
    if recordings and len(scans) > 1:
        msg = f"{len(scans)} inputs with the recording {recordings[0]}; call once for each."
        raise ConfigError(msg)
    return recordings[0] if recordings else None


def run_recording(plan: RecordingPlan, work: Work, *, as_json: bool) -> None:
    """Write the recording and say what became of it.

    The network computes an invented scan before: what compiles at first use shall not cost a live
    source its first scans.

    Raises:
        FileFormatError: After that, where a scan could not be used.
    """
    work.model.warm_up()
    with ProgressBar("scans", total=None) as bar, _ended_in_order(wanted=plan.drops):
        recorded = process_recording(plan, work, on_scan=bar.advance)
    if as_json:
        print_json(report_json(recorded, plan.output))
    else:
        _print(recorded, plan)
    pace = recorded.pace
    if pace.num_failed:
        msg = (
            f"{pace.num_failed} of {pace.num_received} scans could not be used, first: "
            f"{pace.first_failure}"
        )
        raise FileFormatError(msg)


@contextmanager
def _ended_in_order(*, wanted: bool) -> Iterator[None]:
    """SIGTERM, with which a robot's services are ended, works like Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt) if wanted else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _print(recorded: Recorded, plan: RecordingPlan) -> None:
    pace = recorded.pace
    p50, p99, largest = (1000 * value for value in pace.latency)
    rate = pace.num_done / max(pace.seconds, 1e-9)
    OUT.print(
        f"{pace.num_received} scans in, {pace.num_done} out, {pace.num_dropped} dropped, "
        f"{pace.num_failed} not usable; {recorded.num_points:,} points"
    )
    if pace.num_done:
        OUT.print(
            f"latency     median {p50:.0f} ms, 99 % within {p99:.0f} ms, largest {largest:.0f} ms; "
            f"{rate:.1f} scans/s"
        )
    for note in recorded.notes:
        OUT.print(f"note        {note}")
    OUT.print(f"topic       {recorded.topic}")
    OUT.print(f"output      {plan.output}")

"""What is said at the end of a command about the scans that it was given."""

from collections.abc import Sequence
from pathlib import Path

from lidistill.apps.feature_files import Failed, Written, as_record
from lidistill.cli.output import OUT, print_json
from lidistill.errors import FileFormatError


def report(
    results: Sequence[Written | Failed],
    output: Path,
    what: str,
    about: dict[str, object],
    *,
    as_json: bool,
) -> None:
    """Say what was written, and end with an error where a scan could not be used."""
    written = [one for one in results if isinstance(one, Written)]
    failed = [one for one in results if isinstance(one, Failed)]
    if as_json:
        files, reasons = [as_record(one) for one in written], [as_record(one) for one in failed]
        print_json({"output": str(output)} | about | {"scans": files, "failed": reasons})
    elif written or not failed:
        points = sum(one.num_points for one in written)
        without = sum(one.num_without for one in written)
        OUT.print(f"{len(written)} scans, {points:,} points, {what}")
        if without:
            lost = sum(one.num_missing for one in written)
            OUT.print(
                f"without     {without:,} points, outside the field of view, or without return "
                f"({lost:,}: at (0, 0, 0) or not finite)"
            )
        OUT.print(f"output      {output}")
    if failed:
        msg = failed[0].reason
        if len(results) > 1:
            msg = f"{len(failed)} of {len(results)} scans could not be used, first: {msg}"
        raise FileFormatError(msg)

"""The command line: parse, call, print; nothing is computed here.

A command is imported when it is called, and imports what it works with when it runs: the networks'
libraries take seconds to load, and whoever asks for help, or has mistyped, need not wait for them.
"""

import atexit
import gc
import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any

from lidistill import __version__
from lidistill.cli.streams import complain, guarded_output, reader_is_gone
from lidistill.cli.terminal import use_plain_streams
from lidistill.distributed.launcher import launched_rank
from lidistill.distributed.lost_processes import process_losses
from lidistill.distributed.parent_process import end_with_launcher
from lidistill.errors import LidistillError, unknown_name
from lidistill.supported import check_system


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Where a command is, and what the overview says about it."""

    module: str
    """Below ``lidistill.cli``; the function has the last word of the command's name."""
    summary: str
    goes_on: bool = False
    """Whether the same command, called again, goes on from what an interrupted one has finished."""


COMMANDS = {
    "demo": Command(
        module="demo",
        summary="from simulated drives to scores and figures, in minutes",
        goes_on=True,
    ),
    "data check": Command(module="data", summary="what a data set holds, lacks, and what is wrong"),
    "data stats": Command(module="data", summary="intensity statistics of a lidar of your own"),
    "data unpack": Command(module="data", summary="ROS bags and mcap to a folder of recordings"),
    "recipes": Command(module="recipes", summary="list the shipped runs, or print one"),
    "teachers": Command(module="teachers", summary="list the image networks to learn from"),
    "pretrain": Command(module="pretrain", summary="distil images into lidar", goes_on=True),
    "probe": Command(module="labels", summary="linear probe: how good are features?", goes_on=True),
    "finetune": Command(module="labels", summary="learn from few labels, or all", goes_on=True),
    "evaluate": Command(module="labels", summary="score a finished run again"),
    "features": Command(module="features", summary="features of your own scans"),
    "predict": Command(module="features", summary="classes of your own scans"),
    "view": Command(module="view", summary="look at scans and features in a browser"),
    "discover": Command(module="discover", summary="objects of your own scans, without labels"),
    "index": Command(
        module="fleet_index",
        summary="a table of all objects of many drives, to search",
        goes_on=True,
    ),
    "search": Command(module="fleet", summary="the objects of all drives that are most alike"),
    "select": Command(module="fleet", summary="which frames to label next"),
    "compare": Command(
        module="downstream", summary="all baselines on one budget, in one table", goes_on=True
    ),
    "study": Command(
        module="study", summary="student, teacher, data: which makes it better?", goes_on=True
    ),
    "gap": Command(module="downstream", summary="every run on every other's sensor"),
    "corrupt": Command(
        module="corrupt", summary="corrupted copies of a data set, in its layout", goes_on=True
    ),
    "robustness": Command(
        module="robustness", summary="fog, snow, lost beams …: what they cost", goes_on=True
    ),
    "import-checkpoint": Command(
        module="downstream", summary="convert the authors' published weights"
    ),
    "submission": Command(module="downstream", summary="files for a benchmark's server, checked"),
    "export": Command(module="deploy", summary="a run's network as a folder that loads anywhere"),
    "push": Command(module="deploy", summary="upload such a folder to a hub"),
    "estimate": Command(module="estimate", summary="memory and time before you start"),
    "simulate": Command(
        module="simulate", summary="labelled drives in real data sets' formats", goes_on=True
    ),
}
"""Every command by its name."""

_ABOUT = "Strong lidar features without labels, distilled from vision foundation models."


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``lidistill`` command."""
    with guarded_output():
        _main(list(sys.argv[1:] if argv is None else argv))


def _main(arguments: list[str]) -> None:
    """Run a command; whatever it ends with becomes one line and an exit status."""
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    name = ""
    use_plain_streams()
    try:
        if arguments == ["--version"]:
            sys.stdout.write(f"lidistill {__version__}\n")
            return
        name, rest = _split(arguments)
        if name in COMMANDS:
            _run(name, rest)
            return
        sys.stdout.write(_overview(name))
        sys.exit(0 if rest else 2)
    except LidistillError as error:
        if debug:
            raise
        complain(str(error))
        sys.exit(error.exit_status)
    except OSError as error:
        if debug or (isinstance(error, BrokenPipeError) and reader_is_gone()):
            raise
        complain(_explain(error))
        sys.exit(2)
    except UnicodeEncodeError as error:
        if debug:
            raise
        complain(
            f"the file system's encoding here ({error.encoding}) cannot write the name "
            f"{error.object[:200]!r}; set LC_ALL=C.UTF-8 or PYTHONUTF8=1."
        )
        sys.exit(2)
    except KeyboardInterrupt:
        goes_on = name in COMMANDS and COMMANDS[name].goes_on
        hint = "; the same command goes on from what is finished" if goes_on else ""
        sys.stderr.write(f"interrupted{hint}.\n")
        sys.exit(130)


def _explain(error: OSError) -> str:
    """What the system could not do, without its numbers."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename} is a file where a folder is wanted; choose another path."
    if isinstance(error, IsADirectoryError):
        return f"{error.filename} is a folder where a file is wanted; choose another path."
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return f"{what}; check the path, its permissions and the free space."


def _split(arguments: list[str]) -> tuple[str, list[str]]:
    """The command's name and its arguments; a group of commands or "" where help is wanted.

    Raises:
        UnknownNameError: If there is no such command.
    """
    if arguments[:1] in (["-h"], ["--help"]):  # before a command, it is about that command
        arguments = [*arguments[1:], arguments[0]]
    words = [a for a in arguments if a not in {"-h", "--help"}]
    for length in (2, 1):
        name = " ".join(arguments[:length])
        if name in COMMANDS:
            return name, arguments[length:]
    group = words[0] if words else ""
    known = [name for name in COMMANDS if name.startswith(f"{group} ")]
    if words and not (known and len(words) == 1):
        raise unknown_name("command", " ".join(words[: 2 if known else 1]), known or COMMANDS)
    return group, arguments[len(words) :]


def _overview(group: str) -> str:
    """What ``--help`` says about all commands, or those of a group."""
    shown = {n: c for n, c in COMMANDS.items() if not group or n.startswith(f"{group} ")}
    width = max(len(name) for name in shown)
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in shown.items()]
    return "\n".join(
        [
            f"usage: lidistill {group or 'COMMAND'} ...",
            "",
            _ABOUT,
            "",
            *lines,
            "",
            "lidistill COMMAND --help explains a command, lidistill --version prints the version.",
            "Every command takes --json (one JSON object on standard output), and --debug, which",
            "shows the traceback of an error.",
            "",
        ]
    )


def _run(name: str, arguments: list[str]) -> None:
    """Import a command and call it with its arguments."""
    check_system()
    atexit.register(gc.freeze)  # else Python's end looks at all of PyTorch once more, for seconds
    end_with_launcher()  # before the imports, which take seconds
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    bind = importlib.import_module("lidistill.cli.arguments").bind
    output = importlib.import_module("lidistill.cli.output")
    module = importlib.import_module(f"lidistill.cli.{COMMANDS[name].module}")
    output.start_logging(quiet=launched_rank() > 0)  # the first process speaks for all
    function: Any = getattr(module, name.rsplit(maxsplit=1)[-1].replace("-", "_"))
    call = bind(function, f"lidistill {name}", arguments)  # --help ends here
    with process_losses():
        call()
        if distributed := sys.modules.get("lidistill.distributed.processes"):
            distributed.leave_group()

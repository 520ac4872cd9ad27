"""The command line in this process."""

from lidistill.cli import main


def run(capsys, *arguments):
    """Exit status, what was printed, and the error line."""
    try:
        main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err

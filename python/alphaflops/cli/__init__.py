"""The command line: `alphaflops COMMAND`.

Results go to stdout, progress and errors to stderr. Exit status: 0; 1 for a check that did not
hold; 2 for bad input; 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import sys

import typer

from alphaflops.cli import adapting, benching, measuring, pricing
from alphaflops.cli.options import Interrupted
from alphaflops.errors import Error

app = typer.Typer(
    name="alphaflops",
    help="What a neural network costs on a device, before it runs there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
pricing.register(app)
measuring.register(app)
adapting.register(app)
benching.register(app)


def main() -> None:
    """Run the command line; every known fault is one line on stderr."""
    try:
        app()
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe left early, as `head` does; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)

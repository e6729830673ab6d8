"""Options and output that several commands share."""

from __future__ import annotations

import enum
import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, Protocol

import typer
from rich.console import Console, RenderableType

from alphaflops.errors import ModelError, OverflowError, ShapeError, TableError
from alphaflops.files import write_text

if TYPE_CHECKING:
    from alphaflops.profiles import Profile

P = ParamSpec("P")

NETWORK = (
    "An .onnx file, package.module:function, a saved graph (.json), or a zoo name such as resnet50."
)
Model = Annotated[str, typer.Argument(help=NETWORK)]
Device = Annotated[
    str,
    typer.Option("--device", "-d", help="A shipped profile's name, or a profile file."),
]


def in_range(option: typer.CallbackParam, value: int | None) -> int | None:
    """Refuse what 64 bits do not hold.

    Raises
    ------
    OverflowError
        Naming the option.
    """
    if value is not None and not -(2**63) <= value < 2**63:
        raise OverflowError(f"--{option.name} {value}: it must be less than 2^63")
    return value


def share(option: typer.CallbackParam, value: float) -> float:
    """Refuse percent where a share is asked for; the default may be infinite.

    Raises
    ------
    ShapeError
        Naming the option and, of what may be meant as percent, the share.
    """
    if 0 <= value < 1 or value == option.default:
        return value
    meant = value if 1 <= value < 100 else 20.0  # noqa: PLR2004
    raise ShapeError(
        f"--{option.name} {value:g}: it is a share, from 0 to below 1; {meant / 100:g} is "
        f"{meant:g} %"
    )


Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", "-b", callback=in_range, help="Images a call; the model's own where left out."
    ),
]
DType = Annotated[
    str | None,
    typer.Option("--dtype", help="fp32, tf32, fp16, bf16 or int8; the model's own where left out."),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", help="NAME=1x3x224x224: the shape of an .onnx file's input; repeatable."
    ),
]
Causal = Annotated[
    bool,
    typer.Option("--causal", help="Leave out the scores that causal attention masks."),
]
Cold = Annotated[
    bool,
    typer.Option("--cold", help="Weights come from memory, as if others ran in between."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to this file instead of stdout."),
]
Budget = Annotated[
    float,
    typer.Option("--budget", help="Seconds to spend on measuring."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object and nothing else."),
]


class Format(str, enum.Enum):
    """How a report is written."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    html = "html"


class Mode(str, enum.Enum):
    """Which operators share a launch."""

    fused = "fused"
    fused_relu = "fused_relu"
    eager = "eager"


class Interrupted(Exception):  # noqa: N818
    """Ctrl-C, with what to say about it."""


def interruptible(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command say how to go on after Ctrl-C; typer by itself would only exit."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(str(interrupt) or "interrupted") from None

    return run


def shapes_of(pairs: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Parse NAME=1x3x224x224, the last "=" being the one between.

    Raises
    ------
    ModelError
        Naming the pair.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for pair in pairs or ():
        name, _, sizes = pair.rpartition("=")
        if not name or not re.fullmatch(r"\d{1,18}(x\d{1,18})*", sizes):
            raise ModelError(
                f"--input {pair!r} is not NAME=SIZES; write for example image=1x3x224x224"
            )
        if name in shapes:
            raise ModelError(f"--input: {name} stands twice; keep one")
        shapes[name] = tuple(int(size) for size in sizes.split("x"))
    return shapes


def facts_of(text: str) -> dict[str, float]:
    """Parse name=number pairs, separated by commas.

    Raises
    ------
    TableError
        Naming the pair.
    """
    facts: dict[str, float] = {}
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (name.isidentifier() and equals and 0 < number < math.inf):
            raise TableError(
                f"--device-facts: {pair.strip()!r} is not NAME=NUMBER with a positive number; "
                "write for example sms=40,clock_ghz=1.59,bandwidth_gbs=320"
            )
        if name in facts:
            raise TableError(f"--device-facts: {name} stands twice; keep one")
        facts[name] = number
    return facts


def progress_console() -> Console:
    """Everything that is not the result goes to stderr."""
    return Console(stderr=True)


def emit(text: str, output: Path | None) -> None:
    """Write a result to a file, or to stdout."""
    if output is not None:
        write_text(output, text)
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


class Fitted(Protocol):
    """What `fit` and `adapt` return."""

    @property
    def profile(self) -> Profile:
        """What is saved."""

    def to_json(self) -> dict[str, Any]:
        """Return what is printed as JSON."""


def emit_fitted(result: Fitted, output: Path | None, *, as_json: bool) -> None:
    """Save the profile where asked to, and print the rest."""
    if output is not None:
        result.profile.save(output)
    if as_json:
        document = result.to_json()
        document["profile"] = None if output is None else str(output)
        emit(json.dumps(document, indent=2, allow_nan=False), None)
        return
    emit(str(result), None)
    if output is not None:
        progress_console().print(f"wrote {output}")


_FILE_WIDTH = 160  # characters, where there is no terminal to ask


def table_width(output: Path | None) -> int:
    """Return how many characters of a table have room side by side."""
    if output is None and (sys.stdout.isatty() or "COLUMNS" in os.environ):
        return Console().width
    return _FILE_WIDTH


def emit_table(table: RenderableType, output: Path | None) -> None:
    """Write a rich table to stdout, or as plain text to a file."""
    console = Console(width=table_width(output), no_color=True if output else None)
    if output is None:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    write_text(output, capture.get())

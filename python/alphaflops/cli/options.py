"""Options and output that several commands share."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from alphaflops.files import write_text

Model = Annotated[
    str,
    typer.Argument(help="An .onnx file or a zoo name such as resnet50."),
]
Device = Annotated[
    str,
    typer.Option("--device", "-d", help="A shipped profile's name, or a profile file."),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", "-b", help="Images a call; the model's own where left out."),
]
DType = Annotated[
    str | None,
    typer.Option("--dtype", help="fp32, tf32, fp16, bf16 or int8; the model's own where left out."),
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
    eager = "eager"


def progress_console() -> Console:
    """Everything that is not the result goes to stderr."""
    return Console(stderr=True)


def emit(text: str, output: Path | None) -> None:
    """Write a result to a file, or to stdout."""
    if output is not None:
        write_text(output, text)
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def emit_table(table: RenderableType, output: Path | None, **console: Any) -> None:
    """Write a rich table to stdout, or as plain text to a file."""
    if output is None:
        Console(**console).print(table)
        return
    plain = Console(width=160, no_color=True, **console)
    with plain.capture() as capture:
        plain.print(table)
    write_text(output, capture.get())

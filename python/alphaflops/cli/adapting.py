"""Commands that make a profile without timing operators: adapt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alphaflops.cli.options import (
    AsJson,
    Batch,
    Mode,
    Output,
    emit_fitted,
    interruptible,
)
from alphaflops.errors import UnsupportedError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(interruptible(adapt))


def adapt(
    samples: Annotated[
        Path,
        typer.Option(help="Timed networks: CSV with arch (or, without --space, model) and time_s."),
    ],
    space: Annotated[
        str | None,
        typer.Option(
            help="The search space that arch is of: darts, fbnet, nasbench201, ofa, proxyless or "
            "transformer."
        ),
    ] = None,
    time_column: Annotated[str, typer.Option(help="Where the seconds are.")] = "time_s",
    test: Annotated[
        Path | None, typer.Option(help="Other networks of the same columns to test on.")
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(help="A profile to lean on, by name or file; may be given several times."),
    ] = None,
    batch: Batch = None,
    mode: Annotated[Mode, typer.Option(help="Which operators share a launch.")] = Mode.fused,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Make a profile from the times of a few whole networks."""
    from alphaflops.adapting import adapt as run  # noqa: PLC0415
    from alphaflops.adapting.samples import read_samples  # noqa: PLC0415
    from alphaflops.spaces import SPACES  # noqa: PLC0415

    if space is not None and space not in SPACES:
        raise UnsupportedError(f"no search space is called {space!r}; use {', '.join(SPACES)}")
    of = None if space is None else SPACES[space]()
    graphs, time_s = read_samples(samples, of, time_column)
    result = run(
        graphs,
        time_s,
        prior=prior or None,
        test=None if test is None else read_samples(test, of, time_column),
        mode=mode.value,
        batch=batch,
        name=samples.stem if output is None else output.stem,
    )
    emit_fitted(result, output, as_json=as_json)

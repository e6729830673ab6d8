"""Commands that measure and fit: calibrate, measure, fit, validate, demo."""

from __future__ import annotations

import json
import math
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from alphaflops.cli.options import (
    AsJson,
    Batch,
    Budget,
    Output,
    emit,
    emit_fitted,
    emit_table,
    facts_of,
    interruptible,
    progress_console,
    share,
)
from alphaflops.errors import Error, UnsupportedError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (calibrate, measure, fit, validate, demo):
        app.command()(interruptible(command))


Isa = Annotated[
    str | None,
    typer.Option(help="scalar, avx2, avx512 or neon; the best this processor has where left out."),
]
Backend = Annotated[str, typer.Option(help="What is measured: native, torch, or cuda.")]
Layout = Annotated[
    str | None, typer.Option(help="torch: nchw, or channels_last; nchw where left out.")
]
Threads = Annotated[int | None, typer.Option(help="torch: of an operator; 1 where left out.")]
On = Annotated[
    str | None, typer.Option(help="torch: cpu or cuda; cuda where left out and there is a GPU.")
]
CudaGraph = Annotated[
    bool | None,
    typer.Option(
        "--cuda-graph/--no-cuda-graph",
        help="torch on a GPU: calls as CUDA graphs, which leave out launching; no where left out.",
    ),
]
CudnnBenchmark = Annotated[
    bool | None,
    typer.Option(
        "--cudnn-benchmark/--no-cudnn-benchmark",
        help="torch on a GPU: whether cuDNN tries its algorithms; no where left out.",
    ),
]
Energy = Annotated[
    float,
    typer.Option(
        "--energy",
        help="NVIDIA GPUs: seconds more for what rows draw, about three each; 0 for none.",
    ),
]
Path_ = Annotated[
    str | None,
    typer.Option("--path", help="cuda: native or cupy; the first of them that is installed."),
]
Seed = Annotated[int, typer.Option(help="Of the random shapes and their order.")]


def calibrate(
    output: Annotated[Path, typer.Option("--output", "-o", help="The profile to write.")],
    budget: Budget = 60.0,
    backend: Backend = "native",
    isa: Isa = None,
    layout: Layout = None,
    threads: Threads = None,
    on: On = None,
    cuda_graph: CudaGraph = None,
    cudnn_benchmark: CudnnBenchmark = None,
    path: Path_ = None,
    dtype: Annotated[
        str | None, typer.Option(help="fp32, tf32, fp16, bf16 or int8; fp32 where left out.")
    ] = None,
    energy: Energy = 0.0,
    seed: Seed = 0,
    form: Annotated[str | None, typer.Option(help="Fit this form and no other.")] = None,
    training: Annotated[
        bool, typer.Option(help="torch: a profile of steps of training, not of inference.")
    ] = False,
    optimizer: Annotated[
        str, typer.Option(help="With --training: sgd, momentum, adam or adamw.")
    ] = "sgd",
) -> None:
    """Measure this processor or GPU, fit the cost model, write its profile.

    Raw samples are kept in OUTPUT.samples.sqlite. After Ctrl-C the same command resumes.
    """
    from alphaflops.measuring.backends import named  # noqa: PLC0415
    from alphaflops.scenarios.calibrate import calibrate as run  # noqa: PLC0415
    from alphaflops.scenarios.progress import bar, going_on  # noqa: PLC0415

    runs = named(
        backend,
        isa=isa,
        layout=layout,
        threads=threads,
        on=on,
        cuda_graph=cuda_graph,
        cudnn_benchmark=cudnn_benchmark,
        path=path,
    )
    console = progress_console()
    with bar(console, "measuring") as progress:
        result = run(
            name=output.stem,
            output=output,
            budget_s=budget,
            backend=runs,
            dtype=dtype,
            energy_s=energy,
            seed=seed,
            form=form,
            training=training,
            optimizer=optimizer,
            progress=progress,
            on_resume=going_on(console),
            on_standing=progress.stand,
        )
    console.print(str(result), highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {output}")


def measure(
    shapes: Annotated[Path, typer.Argument(help="Operators to time: CSV or Parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the times go.")],
    budget: Budget = 60.0,
    backend: Backend = "native",
    isa: Isa = None,
    layout: Layout = None,
    threads: Threads = None,
    on: On = None,
    cuda_graph: CudaGraph = None,
    cudnn_benchmark: CudnnBenchmark = None,
    path: Path_ = None,
    energy: Energy = 0.0,
    seed: Seed = 0,
) -> None:
    """Time the operators of a table; after Ctrl-C the same command resumes."""
    from alphaflops.measuring.backends import named  # noqa: PLC0415
    from alphaflops.measuring.campaign import measure as run  # noqa: PLC0415
    from alphaflops.measuring.journal import journal_for  # noqa: PLC0415
    from alphaflops.scenarios.progress import bar, going_on  # noqa: PLC0415
    from alphaflops.table import check_table, read_table, write_table  # noqa: PLC0415

    table = check_table(read_table(shapes), need_time=False)
    runs = named(
        backend,
        isa=isa,
        layout=layout,
        threads=threads,
        on=on,
        cuda_graph=cuda_graph,
        cudnn_benchmark=cudnn_benchmark,
        path=path,
    )
    console = progress_console()
    with journal_for(output) as journal:
        with bar(console, "measuring") as progress:
            times = run(
                table,
                backend=runs,
                budget_s=budget,
                journal=journal,
                energy_s=energy,
                seed=seed,
                progress=progress,
                on_resume=going_on(console),
                on_standing=progress.stand,
            )
        write_table(times, output)
    console.print(f"wrote {len(times)} rows to {output}")


def fit(
    times: Annotated[Path, typer.Argument(help="A measurement table: CSV or Parquet.")],
    output: Output = None,
    form: Annotated[str | None, typer.Option(help="Fit this form and no other.")] = None,
    test: Annotated[Path | None, typer.Option(help="A held-out table to test on.")] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Columns, separated by commas, whose groups are left out together."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Column that tells when a row was measured, or row where rows stand in that "
            "order: a drift of the times along it is taken out."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw predictions and what they leave (.png, .svg, .pdf).")
    ] = None,
    device_facts: Annotated[
        str | None,
        typer.Option(
            help="What is known of the device, such as sms=40,clock_ghz=1.59,bandwidth_gbs=320, "
            "or threads=8."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the cost model to a measurement table."""
    from alphaflops.fitting import fit as run  # noqa: PLC0415
    from alphaflops.pictures import require_matplotlib  # noqa: PLC0415
    from alphaflops.table import check_table, read_table  # noqa: PLC0415

    if plot is not None:
        require_matplotlib("a plot of a fit")
    table = check_table(read_table(times, need_time=True))
    held_out = None if test is None else check_table(read_table(test, need_time=True))
    name = output.stem if output is not None else times.stem
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        result = run(
            table,
            form=form,
            groups=groups.split(",") if groups else None,
            order=order,
            name=name,
            device_facts=None if device_facts is None else facts_of(device_facts),
            test=held_out,
        )
    for warning in said:
        progress_console().print(
            f"warning: {warning.message}", highlight=False, markup=False, soft_wrap=True
        )
    if plot is not None:
        result.plot(plot)
    emit_fitted(result, output, as_json=as_json)


def validate(
    device: Annotated[
        str, typer.Option("--device", "-d", help="The profile to hold against this machine.")
    ],
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Zoo names, .onnx files, saved graphs (.json) or package.module:function, whose "
            "module a profile of PyTorch runs itself; by default five."
        ),
    ] = None,
    budget: Budget = 20.0,
    isa: Annotated[
        str | None, typer.Option(help="scalar, avx2, avx512 or neon; the profile's where left out.")
    ] = None,
    batch: Batch = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Of the networks; what the profile is of where left out."),
    ] = None,
    energy: Annotated[
        bool, typer.Option("--energy", help="NVIDIA GPUs: also what each network draws.")
    ] = False,
    as_json: AsJson = False,
    within: Annotated[
        float,
        typer.Option(
            callback=share, help="Exit with 1 where a network errs by more than this share: 0.1."
        ),
    ] = float("inf"),
) -> None:
    """Run whole networks beside their predictions, with what the profile was measured with.

    Networks that cannot run are named below the others, and the exit status is 2.
    """
    from alphaflops import zoo  # noqa: PLC0415
    from alphaflops.frontends import graph_of, load_to_run  # noqa: PLC0415
    from alphaflops.measuring.backends import backend_of  # noqa: PLC0415
    from alphaflops.measuring.validation import validate as run  # noqa: PLC0415
    from alphaflops.profiles import load_profile  # noqa: PLC0415
    from alphaflops.render import caveats, validation_table  # noqa: PLC0415
    from alphaflops.report import estimate  # noqa: PLC0415

    profile = load_profile(device)
    dtype = dtype or profile.data["provenance"].get("dtype")
    names, read, refused = [], [], []
    for name in networks or zoo.REFERENCE:
        try:
            read.append(load_to_run(name, batch, dtype))
            names.append(name)
        except Error as error:
            refused.append(_Refused(name, error))
    kept = dict(enumerate(names))

    def refuse(place: int, error: Error) -> None:
        refused.append(_Refused(kept.pop(place), error))

    if read:
        runs = backend_of(profile, isa=isa)
        rows = run(read, profile, backend=runs, budget_s=budget, energy=energy, on_refused=refuse)
    if not kept:
        raise _none_of(refused)
    reports = [estimate(graph_of(read[place]), profile) for place in kept]
    errors = {name: float(row["error"]) for name, row in zip(kept.values(), rows, strict=True)}
    here, there = str(runs.device()["name"]), profile.data.get("device", {}).get("name")
    if as_json:

        def known(value: float) -> float | None:
            return None if math.isnan(value) else float(value)

        joules = [name for name in rows.dtype.names or () if name.endswith("_j")]
        listed = [
            {
                "name": name,
                "predicted_s": float(row["predicted_s"]),
                "measured_s": float(row["measured_s"]),
                "error": float(row["error"]),
                "unpriced_share": report.unpriced_share,
                "extrapolated_share": report.extrapolated_share,
                **{name: known(row[name]) for name in joules},
            }
            for name, row, report in zip(kept.values(), rows, reports, strict=True)
        ]
        close = sum(abs(error) <= 0.10 for error in errors.values()) / len(errors)  # noqa: PLR2004
        slowdown = ("slowdown", "slowdown_lo", "slowdown_hi")
        whole = {"networks": listed, "within_10pct": close}
        whole |= {name: known(rows[name][0]) for name in slowdown}
        whole |= {"device": here, "profile_device": there}
        whole["refused"] = [{"name": each.name, "reason": each.reason} for each in refused]
        emit(json.dumps(whole, indent=2), None)
    else:
        macs, marks = [report.macs for report in reports], [caveats(each) for each in reports]
        emit_table(validation_table(rows, macs, tuple(kept.values()), marks), None)
        if there not in (None, here):
            emit(f"the profile is of {there}, and this is {here}: errors are between the two", None)
        for each in refused:
            emit(f"not run: {each}", None)
    if refused:
        sys.exit(2)
    beyond = [f"{name} ({error:+.1%})" for name, error in errors.items() if abs(error) > within]
    if beyond:
        progress_console().print(f"not within {within:.1%}: {', '.join(beyond)}")
        sys.exit(1)


class _Refused:
    """A network that was left out: its name on the command line, and why."""

    def __init__(self, name: str, error: Error) -> None:
        self.name, self.error = name, error
        self.reason = " ".join(str(error).split()).removeprefix(f"{name}: ")

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def _none_of(refused: list[_Refused]) -> Error:
    if len(refused) == 1:
        return refused[0].error
    return UnsupportedError(f"none of the networks can be run: {'; '.join(map(str, refused))}")


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the profile of this processor goes.")
    ] = Path("this-cpu.json"),
    budget: Budget = 30.0,
    isa: Isa = None,
    seed: Seed = 0,
) -> None:
    """Calibrate this processor and price five networks, predicted beside measured."""
    from alphaflops.scenarios.demo import demo as run  # noqa: PLC0415

    run(Console(), output=output, budget_s=budget, isa=isa, seed=seed)

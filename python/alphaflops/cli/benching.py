"""Commands of the microbenchmark: probe, bench, bench compare."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from alphaflops.cli.options import (
    AsJson,
    Budget,
    emit,
    emit_table,
    interruptible,
    progress_console,
    share,
)
from alphaflops.errors import UnsupportedError


class _RunByDefault(TyperGroup):
    """`bench TARGET` is `bench run TARGET`."""

    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)  # type: ignore[arg-type]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(interruptible(probe))
    group = typer.Typer(cls=_RunByDefault, help="Time convolutions by themselves, and compare.")
    group.command()(interruptible(run))
    group.command()(compare)
    app.add_typer(group, name="bench")


Isa = Annotated[
    str | None,
    typer.Option(help="scalar, avx2, avx512 or neon; the best this processor has where left out."),
]
Threads = Annotated[int, typer.Option(help="Threads together, each on its own processor.")]
ALGORITHM_HELP = """direct, gemm, depthwise, grouped, winograd2, winograd4, or auto: all that do a
shape are timed once, the fastest is benched and shown. Winograd, which rounds differently, may win:
see --no-winograd."""


def probe(
    isa: Isa = None,
    threads: Threads = 1,
    budget: Budget = 2.5,
    backend: Annotated[str, typer.Option(help="native: the processor; cuda: a GPU.")] = "native",
    as_json: AsJson = False,
) -> None:
    """Measure what this machine can do at most: arithmetic, each cache, memory, a call."""
    from alphaflops.measuring.probe import probe_machine  # noqa: PLC0415
    from alphaflops.render_bench import probe_table  # noqa: PLC0415

    if backend not in ("native", "cuda"):
        raise UnsupportedError(f"backend {backend!r} has no probes; use native or cuda")
    if backend == "cuda":
        from alphaflops.measuring.cuda_probe import probe_gpu  # noqa: PLC0415
        from alphaflops.render_gpu import gpu_probe_table  # noqa: PLC0415

        peaks = probe_gpu(duration_s=budget)
        if as_json:
            emit(json.dumps(peaks, indent=2), None)
        else:
            emit_table(gpu_probe_table(peaks), None)
        return
    result = probe_machine(isa, threads, budget)
    if as_json:
        emit(json.dumps(result, indent=2), None)
    else:
        emit_table(probe_table(result), None)


def run(
    target: Annotated[
        str, typer.Argument(help="A table of shapes (.csv), a zoo name or an .onnx file.")
    ] = "resnet18",
    algorithm: Annotated[str, typer.Option(help=ALGORITHM_HELP)] = "auto",
    winograd: Annotated[bool, typer.Option(help="Whether auto may take a Winograd form.")] = True,
    dtype: Annotated[
        str | None, typer.Option(help="fp32, bf16 or int8; that of the shapes where left out.")
    ] = None,
    threads: Annotated[
        str, typer.Option(help="A number, or several (1,2 or 1-4): each shape on each of them.")
    ] = "1",
    layout: Annotated[
        str, typer.Option(help="nhwc; or nchw: reordered to NHWC and back, fp32 only.")
    ] = "nhwc",
    isa: Isa = None,
    budget: Budget = 20.0,
    processes: Annotated[
        int, typer.Option(help="Processes that share the budget, each with other memory.")
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(help="Of inputs and order; random where left out.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print or write a CSV table.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Save the result with all samples (CSV with --csv)."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the roofline (.png, .svg, .pdf).")] = None,
    delay: Annotated[float, typer.Option(hidden=True)] = 0.0,
) -> None:
    """Time convolutions, hot and cold, beside what the machine can do.

    The same as `alphaflops bench TARGET`. With -o, samples are kept in OUTPUT.partial.sqlite while
    it runs: after Ctrl-C the same command resumes. Without, what there is by then is printed.
    """
    from alphaflops.measuring.bench import bench  # noqa: PLC0415
    from alphaflops.measuring.bench_file import to_csv  # noqa: PLC0415
    from alphaflops.measuring.cases import cases_of  # noqa: PLC0415
    from alphaflops.measuring.journal import journal_for  # noqa: PLC0415
    from alphaflops.pictures import require_matplotlib  # noqa: PLC0415
    from alphaflops.render_bench import bench_table  # noqa: PLC0415
    from alphaflops.roofline import draw_roofline  # noqa: PLC0415
    from alphaflops.scenarios.progress import bar, going_on  # noqa: PLC0415

    if plot is not None:
        require_matplotlib("a roofline plot")
    cases = cases_of(target, dtype)
    console = progress_console()

    def show(result: dict[str, Any]) -> None:
        if as_json or as_csv:
            emit(to_csv(result) if as_csv else json.dumps(result, allow_nan=False), None)
        else:
            emit_table(bench_table(result), None)

    cut_short: list[dict[str, Any]] = []
    try:
        with (
            nullcontext() if output is None else journal_for(output, keep=False) as journal,
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always", RuntimeWarning)
            with bar(console, "benching") as progress:
                result = bench(
                    cases,
                    algorithm=algorithm,
                    winograd=winograd,
                    isa=isa,
                    threads=threads,
                    layout=layout,
                    budget_s=budget,
                    processes=processes,
                    seed=seed,
                    delay=delay,
                    journal=journal,
                    partial=cut_short.append,
                    tick=progress,
                    on_resume=going_on(console),
                )
            if output is not None:
                emit(to_csv(result) if as_csv else json.dumps(result, allow_nan=False), output)
    except BaseException:
        if output is None and cut_short:
            show(cut_short[0])
        raise
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    if plot is not None:
        draw_roofline(result, plot)
    if output is not None:
        console.print(f"wrote {output}")
    if as_json or output is None or not as_csv:
        show(result)


def compare(
    a: Annotated[Path, typer.Argument(help="A saved bench: before.")],
    b: Annotated[Path, typer.Argument(help="A saved bench: after.")],
    effect: Annotated[
        float,
        typer.Option(callback=share, help="The smallest change that is called one, as a share."),
    ] = 0.025,
    as_json: AsJson = False,
) -> None:
    """Say of each shape whether it became faster or slower from one bench to another."""
    from alphaflops.measuring.bench_file import load_bench  # noqa: PLC0415
    from alphaflops.measuring.compare import compare_benches  # noqa: PLC0415
    from alphaflops.render_bench import comparison_table  # noqa: PLC0415

    result = compare_benches(load_bench(a), load_bench(b), least_effect=effect)
    if as_json:
        emit(json.dumps(result, indent=2), None)
    else:
        emit_table(comparison_table(result), None)

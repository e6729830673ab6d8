"""The whole loop on this processor, in two minutes: probe, calibrate, predict, measure."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from alphaflops import zoo
from alphaflops.measuring.backends import NativeBackend
from alphaflops.measuring.device import describe_device, probe
from alphaflops.measuring.validation import validate
from alphaflops.profiles import load_profile
from alphaflops.render import validation_table
from alphaflops.report import Report, estimate
from alphaflops.scenarios.calibrate import calibrate
from alphaflops.scenarios.progress import bar, going_on

_REFERENCE = "quadro-t2000"
_VALIDATION_SHARE = 0.25  # of the time for calibrating, on top of it


def demo(
    console: Console,
    *,
    output: Path,
    budget_s: float = 30.0,
    isa: str | None = None,
    seed: int = 0,
) -> None:
    """Print each step as it is done; the profile goes to `output`, raw samples beside it."""
    device = describe_device(isa)
    console.print(f"[bold]1. This processor[/bold]: {device['name']}, {device['isa']}")
    peaks = probe(isa)
    console.print(
        f"   one core: {peaks['peak_flops'] / 1e9:.0f} GFLOP/s fp32, "
        f"{peaks['read_bytes_per_s'] / 1e9:.1f} GB/s from memory, "
        f"clock about {peaks['clock_hz'] / 1e9:.2f} GHz\n"
    )
    console.print(f"[bold]2. Calibrate[/bold]: time operators for {budget_s:.0f} s, then fit α")
    with bar(console, "   measuring") as progress:
        result = calibrate(
            name=output.stem,
            output=output,
            budget_s=budget_s,
            backend=NativeBackend(isa),
            seed=seed,
            progress=progress,
            on_resume=going_on(console),
            on_standing=progress.stand,
        )
    console.print(str(result), highlight=False, markup=False, soft_wrap=True)
    console.print()

    console.print("[bold]3. Five networks, batch 1[/bold]: predicted, then run by the same kernels")
    graphs = [zoo.build(name) for name in zoo.REFERENCE]
    macs = [estimate(graph, result.profile).macs for graph in graphs]
    validation_s = _VALIDATION_SHARE * budget_s
    rows = validate(graphs, result.profile, backend=NativeBackend(isa), budget_s=validation_s)
    console.print(validation_table(rows, macs))
    console.print()

    console.print(f"[bold]4. The same five on {_REFERENCE}[/bold], with the paper's parameters")
    reports = [estimate(graph, load_profile(_REFERENCE)) for graph in graphs]
    console.print(ranking_table(reports))
    console.print(misordered(reports), highlight=False)
    console.print(f"\nThe profile is kept: alphaflops estimate MODEL --device {output}")


def ranking_table(reports: list[Report]) -> Table:
    """Networks from fastest to slowest, with their rank by MACs."""
    by_macs = sorted(reports, key=lambda r: r.macs)
    table = Table(header_style="bold")
    for name in ("rank", "network", "predicted ms", "MMACs", "rank by MACs"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for rank, report in enumerate(sorted(reports, key=lambda r: r.time_s), start=1):
        table.add_row(
            str(rank),
            report.graph.name,
            f"{report.time_s * 1e3:.2f}",
            f"{report.macs / 1e6:,.1f}",
            str(by_macs.index(report) + 1),
        )
    return table


def misordered(reports: list[Report]) -> str:
    """Say which pair's order by MACs is most wrong, or that none is."""
    worst, pair = 1.0, None
    for fewer in reports:
        for more in reports:
            if fewer.macs < more.macs and fewer.time_s > worst * more.time_s:
                worst, pair = fewer.time_s / more.time_s, (fewer, more)
    if pair is None:
        return "MACs order these networks as their times do."
    fewer, more = pair
    return (
        f"MACs get this pair wrong: {fewer.graph.name} has {more.macs / fewer.macs:.2f} times "
        f"fewer MACs than {more.graph.name} and takes {worst:.2f} times as long, "
        "by the operators that this profile prices."
    )

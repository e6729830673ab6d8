"""What it gives a calibration to take the machine's pace out of its readings.

    python benchmarks/pace.py [--backend native] [--budget 30] [--calibrations 3] [--networks 20]

Each calibration's readings are reduced twice, as they are and at one pace, and fitted. Printed are,
for both: how far rows' medians of the earlier half of their readings are from those of the later,
half the width of rows' intervals, the share of unstable rows, held-out errors, and errors of
networks, measured once after the calibration, at its speed (that of the rows at one pace).
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alphaflops import zoo
from alphaflops.fitting import fit
from alphaflops.measuring.backends import named
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.measured import measured_table, shapes_of
from alphaflops.measuring.pace import at_one_pace
from alphaflops.measuring.readings import MIN_SAMPLES, Reading, summarise
from alphaflops.measuring.reuse import with_reuse
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.validation import validate
from alphaflops.report import estimate
from alphaflops.scenarios.calibrate import POINTS

Readings = Sequence[Sequence[Reading]]


def readings_in(journal: Path, rows: int) -> list[list[Reading]]:
    """Read a campaign's samples back."""
    found: list[list[Reading]] = [[] for _ in range(rows)]
    columns = "time_s, iterations, steal_s, switches, ifnull(clock_hz, 0), at, reorder_s"
    with sqlite3.connect(journal) as db:
        for row, *values in db.execute(f"SELECT shape, {columns} FROM samples ORDER BY rowid"):
            found[row].append(Reading(*values))
    return found


def halves_apart(readings: Readings, *, by_mode: bool) -> list[float]:
    """Return |ln| of the ratio of earlier and later halves of rows, where both have enough."""
    apart = []
    for taken in readings:
        half = len(taken) // 2
        if half >= MIN_SAMPLES:
            early, late = (summarise(t, by_mode=by_mode) for t in (taken[:half], taken[half:]))
            apart.append(abs(np.log(early.time_s / late.time_s)))
    return apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="native", choices=("native", "torch"))
    parser.add_argument("--budget", type=float, default=30.0, help="seconds a calibration")
    parser.add_argument("--calibrations", type=int, default=3)
    parser.add_argument("--networks", type=float, default=20.0, help="seconds of networks after it")
    parser.add_argument("--names", nargs="+", default=zoo.REFERENCE, help="of the zoo's networks")
    options = parser.parse_args()
    backend = named(options.backend)
    shapes = sample_shapes(POINTS[backend.mode], mode=backend.mode)
    shapes = shapes_of(with_reuse(shapes) if backend.times_reuse else shapes)
    graphs = [zoo.build(name) for name in options.names]
    device = backend.device()
    print(f"{device['name']}, {device['compiler']}; {len(shapes)} rows, {options.budget:g} s")
    for turn in range(options.calibrations):
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "samples.sqlite"
            measure(shapes, backend=backend, budget_s=options.budget, journal=journal, seed=turn)
            raw = readings_in(journal, len(shapes))
        ways = {"as read": raw, "at one pace": at_one_pace(raw)}
        fits = {}
        for way, readings in ways.items():
            table = measured_table(
                shapes, readings, backend.provenance(), by_mode=backend.by_mode, refused={}
            )
            found = fits[way] = fit(table, name="here", device=device)
            apart = halves_apart(readings, by_mode=backend.by_mode)
            wide = (table["time_hi_s"] - table["time_lo_s"]) / 2 / table["time_s"]
            print(
                f"{turn + 1}, {way}: halves {np.median(apart):.1%} apart in the median, "
                f"{np.quantile(apart, 0.9):.1%} at nine in ten; intervals ±{np.median(wide):.1%}; "
                f"unstable {table['unstable'].mean():.0%}; {found.selected}, held out: MAPE "
                f"{found.errors.mape:.1%}, median {found.errors.mdape:.1%}",
                flush=True,
            )
        profile = fits["at one pace"].profile
        rows = validate(graphs, profile, backend=backend, budget_s=options.networks)
        for way, found in fits.items():
            errors = [
                estimate(graph, found.profile, mode=backend.mode).time_s
                / row["measured_s"]
                * row["slowdown"]
                - 1
                for graph, row in zip(graphs, rows, strict=True)
            ]
            said = ", ".join(
                f"{graph.name} {error:+.1%}" for graph, error in zip(graphs, errors, strict=True)
            )
            print(f"   networks, {way}: {said}; mean {np.mean(np.abs(errors)):.1%}", flush=True)


if __name__ == "__main__":
    main()

"""Print what the forms of the cost model reach on the α-FLOPs authors' own measurements.

    python benchmarks/paper_t2000.py [conv_quadro_t2000.csv] [--profile FILE] [--others]

The data are 721 timings of convolutions and dense layers on a Quadro T2000 (TensorFlow, cuDNN,
fp32): github.com/asperti/alpha_flops_dataset, MIT, as a measurement table with the columns
``experiment`` and ``line`` beside. The file is the argument, or lies in the folder that
ALPHAFLOPS_DATA names, or in ../shared/data beside the checkout.

``--profile`` writes the profile that the package ships: the published parameters, with intervals
and errors from these data.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import alphaflops as af
from alphaflops.fitting.conformal import Interval, covered_out_of_fold, intervals_by_kind
from alphaflops.fitting.folds import fold_ids
from alphaflops.fitting.forms import (
    MOVING,
    PUBLISHED,
    PUBLISHED_SECONDS_PER_MAC,
    WEIGHTED,
    Rows,
    predict_s,
    rows_of,
)
from alphaflops.fitting.metrics import LEVEL, Errors, errors_of, evaluate
from alphaflops.fitting.solve import best_constant
from alphaflops.profiles import Profile
from alphaflops.table import Table, read_table, work_table

FILE = "conv_quadro_t2000.csv"
LINES = ("experiment", "line")


def published_seconds(rows: Rows) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the times that the published parameters give."""
    predicted = np.empty(len(rows))
    for kind in np.unique(rows.kind):
        own = rows.kind == kind
        predicted[own] = predict_s(rows[own], parameters_of(kind))
    return predicted


def parameters_of(kind: str) -> dict[str, float]:
    beta, gamma = PUBLISHED[kind]
    return {"seconds_per_mac": PUBLISHED_SECONDS_PER_MAC, "beta": beta, "gamma": gamma}


def intervals_and_errors(table: Table) -> tuple[dict[str, Interval], dict[str, Errors]]:
    """Return the published parameters' conformal intervals and errors by kind.

    Dense layers stand in the data as 1x1 convolutions of a 1x1 image: the rows of `linear`.
    """
    rows, time_s = rows_of(work_table(table)), table["time_s"]
    lines, _ = fold_ids(table, rows.kind, LINES, 0)
    predicted = published_seconds(rows)
    residuals = np.log(time_s / predicted)
    dense = (table["h_in"] == 1) & (table["w_in"] == 1)
    intervals, errors = {}, {}
    for kind, inside in (
        ("conv_1x1", rows.kind == "conv_1x1"),
        ("conv_spatial", rows.kind == "conv_spatial"),
        ("linear", dense),
    ):
        own = residuals[inside], np.full(inside.sum(), kind)
        intervals[kind] = intervals_by_kind(*own)[kind]
        covered = covered_out_of_fold(*own, lines[inside])
        errors[kind] = errors_of(predicted[inside], time_s[inside], covered)
    intervals["conv_grouped"] = intervals["conv_spatial"].widened()
    return intervals, errors


def shipped_profile(table: Table) -> Profile:
    """Return the profile of the published parameters."""
    intervals, errors = intervals_and_errors(table)
    return Profile.from_dict(
        {
            "format": "alphaflops-profile",
            "version": 1,
            "name": "quadro-t2000",
            "description": "NVIDIA Quadro T2000, TensorFlow and cuDNN, with the published "
            "parameters of α-FLOPs",
            "device": {
                "name": "NVIDIA Quadro T2000",
                "isa": "sm_75",
                "multiprocessors": 16,
                "clock_hz": 1.62e9,
            },
            "provenance": {
                "backend": "tensorflow",
                "created": "2026-11-21",
                "alphaflops_version": af.__version__,
                "source": "parameters: Asperti, Evangelista, Marzolla, LOD 2021, arXiv 2107.11949; "
                "intervals and errors: benchmarks/paper_t2000.py on the authors' measurements "
                "(github.com/asperti/alpha_flops_dataset, MIT)",
                "points": len(table),
                "form": "published",
            },
            "interval_level": LEVEL,
            "models": [
                {
                    "kind": kind,
                    "pass": "forward",
                    "dtype": "fp32",
                    "form": "alpha",
                    "parameters": parameters_of(kind),
                    "interval": {k: round(v, 4) for k, v in intervals[kind]._asdict().items()},
                }
                for kind in WEIGHTED
            ],
            "out_of_scope": list(MOVING),
            "errors": {
                kind: {k: v if v is None else round(v, 4) for k, v in error.to_json().items()}
                for kind, error in errors.items()
            },
            "assumptions": [
                "The paper has convolutions and dense layers only: operators that move data are "
                "not priced.",
                "Grouped convolutions lie outside the paper's data; they take the parameters of "
                "conv_spatial, and an interval twice as wide in the logarithm.",
                "Intervals and errors are over the authors' measurements, on which the parameters "
                "were chosen; their dense layers are the rows of linear.",
                "No floor: layers predicted below about 0.2 ms take longer, up to 400 times for "
                "the smallest 1x1 convolutions measured; hence the upper factor of conv_1x1.",
            ],
        },
        "quadro-t2000",
    )


def unlike(table: Table) -> str:
    """Say which 1x1 convolutions of the same MACs differ most in time."""
    macs, time_s = work_table(table).macs, table["time_s"]
    pairs = []
    for count in np.unique(macs):
        own = np.flatnonzero((macs == count) & (table["k_h"] == 1))
        if len(own) > 1:
            pairs.append((own[time_s[own].argmin()], own[time_s[own].argmax()]))
    fast, slow = max(pairs, key=lambda pair: float(time_s[pair[1]] / time_s[pair[0]]))
    shapes = (
        f"{row['c_in']} > {row['c_out']} channels, {row['h_in']} x {row['w_in']}: "
        f"{row['time_s'] * 1e3:.2f} ms"
        for row in (table[fast], table[slow])
    )
    return f"1x1 convolutions of {macs[fast]:,} MACs: " + "; ".join(shapes)


def find_data(given: str | None) -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALPHAFLOPS_DATA", beside))
    path = Path(given) if given else folder if folder.is_file() else folder / FILE
    if not path.is_file():
        sys.exit(f"{path}: no such file; name {FILE}, or set ALPHAFLOPS_DATA to its folder")
    return path


def row(name: str, e: Errors) -> str:
    shares = (f"{100 * v:8.1f}" for v in (e.mape, e.mdape, e.within_10pct))
    covers = "       -" if np.isnan(e.coverage_90) else f"{100 * e.coverage_90:8.1f}"
    return f"{name:44}{''.join(shares)}{e.spearman:8.3f}{covers}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", help=FILE)
    parser.add_argument("--others", action="store_true", help="also fit the other devices' files")
    parser.add_argument("--profile", help="write the shipped profile here")
    arguments = parser.parse_args()
    path = find_data(arguments.data)
    table = read_table(path, need_time=True)
    if arguments.profile:
        shipped_profile(table).save(arguments.profile)

    rows, time_s = rows_of(work_table(table)), table["time_s"]
    shipped = af.load_profile("quadro-t2000")
    print(f"{len(table)} timings, Quadro T2000, fp32; errors in %\n")
    head = ("MAPE", "median", "in 10 %", "rank", "covers")
    print(f"{'':44}{''.join(f'{h:>8}' for h in head)}")
    constant_s = best_constant(rows, time_s) * rows.macs
    print(row("plain MACs x best constant (log space)", errors_of(constant_s, time_s)))
    print(row("shipped profile: published parameters", evaluate(shipped, table)))
    for groups, called in (
        (LINES, "each line left out"),
        (("experiment",), "experiments left out"),
    ):
        fitted = af.fit(table, groups=groups, name="quadro-t2000 refitted")
        print(f"\n{called}:")
        print(row("plain MACs x constant", fitted.baseline))
        for name, form in fitted.forms.items():
            print(row(f"{name}{' (selected)' * (name == fitted.selected)}", form.cv))

    print(f"\n{unlike(table)}")
    print("\nconformal 90 % factors of the published parameters:")
    for kind, factors in intervals_and_errors(table)[0].items():
        print(f"  {kind:14}{factors.lower_factor:8.4f}{factors.upper_factor:8.4f}")
    print(f"\n{fitted}")
    if arguments.others:
        for name in ("conv_tesla_t4.csv", "conv_gtx_1080ti.csv"):
            print_other(read_table(path.with_name(name), need_time=True), name)


def print_other(table: Table, name: str, training: int = 300) -> None:
    """Print what `training` random rows of another device tell about the rest."""
    order = np.random.default_rng(0).permutation(len(table))
    fitted = af.fit(table[order[:training]], test=table[order[training:]], name=name)
    print(f"\n{name}: {training} rows fitted, {len(table) - training} tested")
    for form, found in fitted.forms.items():
        assert found.test is not None
        print(row(f"{form}{' (selected)' * (form == fitted.selected)}", found.test))


if __name__ == "__main__":
    main()

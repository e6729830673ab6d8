"""What a prediction costs a row, in one thread: the cost model's forms, the kinds of a table.

    python benchmarks/predict.py [--rows 10000] [--rounds 51]

Nanoseconds of processor time a row of `_core.predict` into arrays of an earlier call, its interval,
alpha and totals included; the median of the rounds with [minimum, maximum]. "one kind": 3 x 3
convolutions; "mixed": four kinds in random order. Parameters are made up: what they are does not
change the work. `hybrid` has as many trees as a fit grows on a thousand rows. Every form but the
first two carries a domain that holds most rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.fitting.residual import domain_of, fit_residual
from alphaflops.fitting.tiled import CANDIDATES
from alphaflops.measuring.device import describe_device, pinned
from alphaflops.profiles import Profile

MULTIPLYING = ("conv_1x1", "conv_spatial", "conv_grouped", "linear")
FLOOR = {"floor_s": 2e-5, "sharpness": 2.5}
ALPHA = {"seconds_per_mac": 2e-13, "beta": 0.02, "gamma": 0.9}
BYTES = {"seconds_per_byte_read": 3e-12, "seconds_per_byte_written": 4e-12}
ROOFLINE = ALPHA | FLOOR | BYTES | {
    "half_rows": 3.0, "half_c_out": 4.0, "half_depth": 9.0, "seconds_per_weight_byte": 2e-12
}  # fmt: skip


def tiled(kind: str) -> dict[str, Any]:
    own = {
        "seconds_per_mac": 1e-11, "depth_overhead": 20.0, "start_waves": 0.4, "whole_waves": 0.5,
        "floor_s": 1e-5, "seconds_per_weight_byte": 2e-12, **BYTES,
    }  # fmt: skip
    candidates = [candidate._asdict() | own for candidate in CANDIDATES["gpu"][kind]]
    return {"processors": 40.0, "candidates": candidates}


def table_of(rows: int, kinds: tuple[str, ...], seed: int = 0) -> _core.WorkTable:
    """Return random rows of kinds that multiply."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(kinds, rows)
    dense = kind == "linear"
    grouped = kind == "conv_grouped"
    size = np.where(dense, 1, rng.integers(4, 113, rows))
    kernel = np.where((kind == "conv_spatial") | grouped, 3, 1)
    c_in = 8 * rng.integers(1, 65, rows)
    c_out = np.where(grouped, c_in, 8 * rng.integers(1, 65, rows))
    columns = {
        "batch": rng.choice([1, 2, 4, 8], rows), "c_in": c_in, "c_out": c_out, "h_in": size,
        "w_in": size, "k_h": kernel, "k_w": kernel, "pad_h": kernel // 2, "pad_w": kernel // 2,
        "groups": np.where(grouped, c_in, 1),
    }  # fmt: skip
    ops = np.where(dense, "linear", "conv2d").tolist()
    return _core.work_from_specs(ops, ["fp32"] * rows, columns)


def profile_of(form: str) -> _core.Profile:
    models = []
    for kind in MULTIPLYING:
        if form in ("tiled", "hybrid"):
            cost = {"form": "tiled", "parameters": tiled(kind)}
        elif form == "roofline-alpha":
            cost = {"form": form, "parameters": ROOFLINE}
        else:
            cost = {"form": "alpha", "parameters": ALPHA | (FLOOR if "floor" in form else {})}
        if cost["form"] != "alpha":
            work = table_of(1000, (kind,), seed=1)
            bare = _core.predict(work, core_of([{**head(kind), **cost}])).time_s
            traits = _core.Launches(work).traits(bare)
            # Half an octave more than a thousand rows span, as calibrations are made to.
            domain = domain_of(traits)
            cost["domain"] = {
                "low": [v - 0.5 for v in domain["low"]], "high": [v + 0.5 for v in domain["high"]]
            }  # fmt: skip
            if form == "hybrid":
                noise = np.random.default_rng(2).normal(0, 0.1, len(work))
                cost["residual"] = fit_residual(traits, noise + 0.1 * np.sin(traits[:, 4]), 0)
        models.append({**head(kind), **cost})
    return core_of(models)


def head(kind: str) -> dict[str, str]:
    return {"kind": kind, "pass": "forward", "dtype": "fp32"}


def core_of(models: list[dict[str, Any]]) -> _core.Profile:
    return Profile.from_dict(
        {
            "format": "alphaflops-profile",
            "version": _core.PROFILE_VERSION,
            "name": "benchmark",
            "provenance": {"backend": "none"},
            "models": models,
        }
    ).core


def nanoseconds(work: _core.WorkTable, profile: _core.Profile, rounds: int) -> list[float]:
    samples = []
    out = _core.predict(work, profile)
    for _ in range(rounds):
        start = time.thread_time()
        _core.predict(work, profile, out)
        samples.append((time.thread_time() - start) / len(work) * 1e9)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=51)
    options = parser.parse_args()
    device = describe_device(None)
    print(f"device: {device['name']}, {device['isa']}; ns a row, {options.rows} rows")
    tables = {
        "one kind": table_of(options.rows, ("conv_spatial",)),
        "mixed": table_of(options.rows, MULTIPLYING),
    }
    with pinned():
        for form in ("alpha", "alpha-floor", "roofline-alpha", "tiled", "hybrid"):
            profile = profile_of(form)
            rounds = options.rounds if form != "hybrid" else max(3, options.rounds // 5)
            cells = []
            for name, work in tables.items():
                samples = nanoseconds(work, profile, rounds)
                middle, low, high = statistics.median(samples), min(samples), max(samples)
                cells.append(f"{name} {middle:7.1f} [{low:.1f}, {high:.1f}]")
            print(f"{form:<15} {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()

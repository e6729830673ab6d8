"""Tables for tests: the published measurements where they are, and made-up ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from alphaflops.fitting.forms import predict_s, rows_of
from alphaflops.table import check_table, read_table, work_table


def published(name):
    """Return a table of the data folder, or skip the test."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("ALPHAFLOPS_DATA", beside)) / name
    if not path.is_file():
        pytest.skip(f"{name} is not there; set ALPHAFLOPS_DATA to the folder that has it")
    return read_table(path, need_time=True)


def shapes(n, seed=0, *, kernels=(1, 3, 5), ops=("conv2d",), groups=False):
    """Return n random rows without times."""
    rng = np.random.default_rng(seed)
    columns = ["batch", "c_in", "h_in", "w_in", "c_out", "k_h", "k_w", "pad_h", "pad_w", "groups"]
    table = np.zeros(n, [("op", "U20"), *((c, np.int64) for c in columns)])
    table["op"] = rng.choice(ops, n)
    table["batch"] = rng.choice([1, 2, 4], n)
    table["c_in"] = 8 * rng.integers(1, 64, n)
    table["c_out"] = np.where(table["op"] == "conv2d", 8 * rng.integers(1, 64, n), table["c_in"])
    table["h_in"] = table["w_in"] = np.exp(rng.uniform(0, np.log(150), n)).astype(int)
    table["k_h"] = table["k_w"] = np.where(table["op"] == "conv2d", rng.choice(kernels, n), 1)
    table["pad_h"] = table["pad_w"] = table["k_h"] // 2
    table["groups"] = 1
    if groups:
        table["groups"] = table["c_out"] = table["c_in"]
    return check_table(table, need_time=False)


def timed(table, parameters, *, noise=0.0, seed=0):
    """Return the table with the times that parameters by kind give, times exp(noise z)."""
    rows = rows_of(work_table(table))
    time_s = np.empty(len(table))
    for kind in np.unique(rows.kind):
        own = rows.kind == kind
        time_s[own] = predict_s(rows[own], parameters[kind])
    time_s *= np.exp(noise * np.random.default_rng(seed).normal(size=len(table)))
    return with_column(table, "time_s", time_s)


def with_column(table, name, values):
    """Return the table with a column added or replaced."""
    values = np.asarray(values)
    fields = [(n, table.dtype[n]) for n in table.dtype.names if n != name]
    out = np.empty(len(table), [*fields, (name, values.dtype)])
    for field, _ in fields:
        out[field] = table[field]
    out[name] = values
    return out


ALPHA_FLOOR = {
    "conv_1x1": {
        "seconds_per_mac": 4e-11,
        "beta": 0.02,
        "gamma": 0.9,
        "floor_s": 2e-5,
        "sharpness": 2.5,
    },
    "conv_spatial": {
        "seconds_per_mac": 9e-11,
        "beta": 0.006,
        "gamma": 0.8,
        "floor_s": 4e-5,
        "sharpness": 1.8,
    },
}

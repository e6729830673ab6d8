"""Profiles and rows for tests of the cost model's equations."""

from __future__ import annotations

from alphaflops import _core
from alphaflops.profiles import Profile

MULTIPLYING = ("conv_1x1", "conv_spatial", "conv_grouped", "linear")
CANDIDATE = {
    "algorithm": "implicit_gemm",
    "tile_rows": 16,
    "tile_columns": 32,
    "seconds_per_mac": 1e-9,
    "depth_overhead": 20.0,
    "start_waves": 0.4,
    "whole_waves": 0.25,
    "floor_s": 3e-6,
    "seconds_per_byte_read": 2e-12,
    "seconds_per_byte_written": 5e-12,
    "seconds_per_weight_byte": 7e-12,
}
ROOFLINE = {
    "seconds_per_mac": 2e-12,
    "beta": 0.02,
    "gamma": 0.7,
    "half_rows": 30.0,
    "half_c_out": 4.0,
    "half_depth": 9.0,
    "seconds_per_weight_byte": 7e-11,
    "seconds_per_byte_read": 3e-11,
    "seconds_per_byte_written": 5e-11,
    "floor_s": 2e-6,
    "sharpness": 2.5,
}
MIB = 1 << 20
REUSE = {
    "distance_bytes": [MIB, 4 * MIB, 64 * MIB],
    "share": [0.125, 0.5, 1.0],
    "half_rows": {"conv_1x1": 40.0, "conv_spatial": 20.0, "conv_grouped": 5.0, "linear": 10.0},
}


def document(form, parameters, *, domain=None, residual=None, overhead_s=None):
    """Return a profile's content with one cost for every kind that multiplies."""
    model = {"pass": "forward", "dtype": "fp32", "form": form, "parameters": parameters}
    if domain is not None:
        model["domain"] = domain
    if residual is not None:
        model["residual"] = residual
    data = {
        "format": "alphaflops-profile",
        "version": 1,
        "name": "test",
        "provenance": {"backend": "none"},
        "models": [{"kind": kind, **model} for kind in MULTIPLYING],
    }
    return data if overhead_s is None else {**data, "overhead_s": overhead_s}


def predict(work, form, parameters, **more):
    """Return the core's prediction of a work table."""
    return _core.predict(work, Profile.from_dict(document(form, parameters, **more)).core)


def tiled(*candidates, processors=5.0, **more):
    """Return parameters of the tiled form; each candidate changes CANDIDATE."""
    return {"processors": processors, "candidates": [CANDIDATE | c for c in candidates], **more}


def rows(**columns):
    """Return the work of conv2d rows; a number stands for all of them."""
    n = max((len(v) for v in columns.values() if isinstance(v, list)), default=1)
    lists = {k: v if isinstance(v, list) else [v] * n for k, v in columns.items()}
    return _core.work_from_specs(["conv2d"] * n, ["fp32"] * n, lists)


def layer(**changes):
    """Return the work of a 3 x 3 convolution, 8 channels to 48, two images of 10 x 12."""
    columns = {
        "batch": 2, "c_in": 8, "c_out": 48, "h_in": 10, "w_in": 12,
        "k_h": 3, "k_w": 3, "pad_h": 1, "pad_w": 1,
    }  # fmt: skip
    return rows(**(columns | changes))


def reusing(**changes):
    """Return a profile of kinds with weights, with REUSE changed."""
    return Profile.from_dict(
        document("roofline-alpha", ROOFLINE) | {"weight_reuse": {**REUSE, **changes}}
    )

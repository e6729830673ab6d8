"""Made-up devices that price every operator, and what a graph costs on them beside a code."""

from __future__ import annotations

import math

import numpy as np

import alphaflops as af

MULTIPLYING = ("conv_1x1", "conv_spatial", "conv_grouped", "linear", "matmul", "attention",
               "recurrent")  # fmt: skip
MOVING = ("elementwise", "norm", "pool", "softmax", "copy", "reduce")


def device(name="made up", *, seed=0, dtypes=("fp32",), without=(), **more):
    """Return a profile of all kinds but `without`, whose parameters no two kinds share."""
    rng = np.random.default_rng(seed)
    models = []
    for dtype in dtypes:
        for kind in MULTIPLYING + MOVING:
            parameters = {
                "seconds_per_byte_read": 1e-11 * rng.uniform(1, 3),
                "seconds_per_byte_written": 2e-11 * rng.uniform(1, 3),
                "floor_s": 3e-6 * rng.uniform(1, 3),
                "sharpness": 1.7,
            }
            if kind in MULTIPLYING:
                parameters |= {
                    "seconds_per_mac": 1e-12 * rng.uniform(1, 9), "beta": 0.02, "gamma": 0.7,
                    "half_rows": 8.0, "half_c_out": 3.0, "half_depth": 4.0,
                    "seconds_per_weight_byte": 3e-11,
                }  # fmt: skip
            models.append(
                {
                    "kind": kind, "pass": "forward", "dtype": dtype, "parameters": parameters,
                    "form": "roofline-alpha" if kind in MULTIPLYING else "traffic",
                    "interval": {"lower_factor": rng.uniform(0.7, 0.95),
                                 "upper_factor": rng.uniform(1.1, 1.4)},
                }
            )  # fmt: skip
    document = {
        "format": "alphaflops-profile", "version": 1, "name": name,
        "provenance": {"backend": "made up"}, "interval_level": 0.9, "power_w": 12.5,
        "overhead_s": 7e-5, **more,
    }  # fmt: skip
    return af.Profile.from_dict(
        {**document, "models": [m for m in models if m["kind"] not in without]}
    )


FAST, SLOW = device("fast", seed=1), device("slow", seed=2, overhead_s=1e-3, power_w=3.0)
COUNTS = ("macs", "flops", "params", "bytes_read", "bytes_written", "launches")
SUMS = ("time_s", "time_lo_s", "time_hi_s", "energy_j", "alpha_flops")


def priced(graph, profile, mode="fused"):
    """Return what the graph itself costs, by metric."""
    report = af.estimate(graph, profile, mode=mode)
    low, high = report.time_interval_s or (math.nan, math.nan)
    return {
        "time_s": report.time_s,
        "time_lo_s": low,
        "time_hi_s": high,
        "energy_j": math.nan if report.energy_j is None else report.energy_j,
        "alpha_flops": report.alpha_flops,
        "macs": report.macs,
        "flops": report.flops,
        "params": report.params,
        "bytes_read": report.bytes_read,
        "bytes_written": report.bytes_written,
        "launches": len(report.work),
        "peak_memory_bytes": report.memory.total_bytes,
    }


def unread_bytes(graph):
    """Return bytes of tensors that nothing reads but the last, which count to the end."""
    size = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "tf32": 4}[graph.dtype]
    read = {x for i in range(len(graph)) for x in graph.node_inputs(i)}
    return sum(size * math.prod(graph.shape(i)) for i in range(len(graph) - 1) if i not in read)


def assert_same(space, compiled, codes, *, metrics=SUMS + COUNTS):
    """Hold a compiled space against the graphs of those codes."""
    found = compiled.evaluate(codes, metrics)
    for code, row in zip(codes, found, strict=True):
        graph = space.graph(code, compiled.batch, compiled.dtype)
        for p, profile in enumerate(compiled.profiles):
            want = priced(graph, profile, compiled.mode)
            for metric in metrics:
                got = row[metric] if np.ndim(row[metric]) == 0 else row[metric][p]
                if metric in SUMS:
                    np.testing.assert_allclose(
                        got, want[metric], rtol=1e-12, atol=0, err_msg=f"{metric} {code}"
                    )
                else:
                    assert got == want[metric], (metric, code.tolist(), got, want[metric])

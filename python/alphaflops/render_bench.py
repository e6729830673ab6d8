"""Benches, comparisons and probes as rich tables."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alphaflops.measuring.probe import ACCESSES, LEVELS
from alphaflops.measuring.sampler import CACHES

_STYLES = {"SAME": "", "FASTER": "green", "SLOWER": "red", "UNCLEAR": "yellow"}


def _microseconds(stats: dict[str, Any]) -> str:
    half = max(stats["time_hi_s"] - stats["time_s"], stats["time_s"] - stats["time_lo_s"])
    return f"{stats['time_s'] * 1e6:,.1f} ± {half * 1e6:,.1f}"


def bench_table(document: dict[str, Any]) -> RenderableType:
    """Render a row a shape: time, speed, share of peak and bound, hot and cold."""
    options = document["options"]
    several, reorders = len(options["threads"]) > 1, options["layout"] == "nchw"
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("shape", no_wrap=True)
    if several:
        table.add_column("threads", justify="right")
    table.add_column("algorithm")
    table.add_column("MMACs", justify="right")
    for cache in CACHES:
        table.add_column(f"{cache} µs", justify="right", no_wrap=True)
        if several:
            table.add_column("speed-up", justify="right")
        if reorders:
            table.add_column("reorder µs", justify="right", no_wrap=True)
        table.add_column("GFLOP/s", justify="right")
        table.add_column("of peak", justify="right")
        table.add_column("bound, of it")
    table.add_column("unstable")
    for point in document["points"]:
        cells = []
        for cache in CACHES:
            s = point[cache]
            cells.append(_microseconds(s))
            if several:
                cells.append("" if s["speedup"] is None else f"{s['speedup']:.2f}")
            if reorders:
                cells.append(f"{s['reorder_s'] * 1e6:,.1f} ({s['reorder_s'] / s['time_s']:.0%})")
            cells += [
                f"{s['ops_per_s'] / 1e9:,.1f}",
                f"{s['share_of_peak']:.0%}",
                f"{s['bound']} {s['share_of_bound']:.0%}",
            ]
        unstable = [f"{c}: {' '.join(s)}" for c in CACHES if (s := point[c]["unstable"])]
        label = point["label"] + ("" if point["dtype"] == "fp32" else f" {point['dtype']}")
        head = [label, str(point["threads"])] if several else [label]
        head += [point["algorithm"], f"{point['macs'] / 1e6:,.2f}"]
        table.add_row(*head, *cells, ", ".join(unstable))
    lines = [
        f"{document['device']['name']}, {', '.join(sorted(set(options['isas'].values())))}; "
        + "; ".join(_roof_text(roofs) for roofs in document["roofs"]),
        "time: median ± reach of its 90 % interval; hot: all as the call before left it; "
        "cold: weights, input and output flushed from the caches",
    ]
    if several:
        lines.append(
            f"speed-up: against {options['threads'][0]} thread(s), by the floors (5 % quantiles)"
        )
    if reorders:
        lines.append("NCHW: reorder in, convolve in NHWC, reorder out; reorder is part of the time")
    if document["interrupted"]:
        lines.append("interrupted: what was measured until then")
    if document["left_out"]:
        lines.append(f"left out for lack of time: {', '.join(document['left_out'])}")
    return Group(table, *(Text(line) for line in lines))


def _roof_text(roofs: dict[str, Any]) -> str:
    peaks = ", ".join(f"{d} {v / 1e9:,.0f}" for d, v in roofs["peak_ops_per_s"].items())
    dram = max(roofs["bandwidth_bytes_per_s"]["dram"].values())
    return (
        f"{roofs['threads']} thread(s): peak G operations/s {peaks}, memory {dram / 1e9:.1f} GB/s"
    )


def comparison_table(result: dict[str, Any]) -> RenderableType:
    """Render a row a point: verdict, ratio and its interval."""
    table = Table(header_style="bold")
    for name in ("shape", "cache", "verdict"):
        table.add_column(name, no_wrap=True)
    for name in ("a µs", "b µs", "b / a", "99 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in result["points"]:
        a, b = point["time_s"]
        before, after = point["algorithm"]
        table.add_row(
            point["label"] + (f" ({before}, then {after})" if before != after else ""),
            point["cache"],
            Text(point["verdict"], style=_STYLES[point["verdict"]]),
            f"{a * 1e6:,.1f}",
            f"{b * 1e6:,.1f}",
            f"{point['ratio']:.3f}",
            f"{point['ratio_lo']:.3f} to {point['ratio_hi']:.3f}",
        )
    counts = ", ".join(f"{n} {v}" for v, n in result["counts"].items() if n)
    lines = [
        f"{counts}; common ratio {result['common_ratio']:.3f}, "
        f"control (arithmetic peak) {result['control_ratio']:.3f}",
        "times are floors: the 5 % quantile of the undisturbed samples",
    ]
    for key, name in (("only_a", "first"), ("only_b", "second")):
        if result[key]:
            lines.append(f"only in the {name}: {', '.join(result[key])}")
    return Group(table, *(Text(line) for line in lines))


def probe_table(probe: dict[str, Any]) -> RenderableType:
    """Render the roofs of a machine."""
    device = probe["device"]
    peaks = Table(header_style="bold", title="Arithmetic, G operations/s", title_justify="left")
    isas = list(probe["peak_ops_per_s"]["fp32"])
    for name in ("dtype", *isas):
        peaks.add_column(name, justify="left" if name == "dtype" else "right")
    for dtype, rates in probe["peak_ops_per_s"].items():
        peaks.add_row(dtype, *(f"{rates[i] / 1e9:,.1f}" if i in rates else "-" for i in isas))
    memory = Table(header_style="bold", title="Memory, GB/s", title_justify="left")
    for name in ("level", *ACCESSES):
        memory.add_column(name, justify="left" if name == "level" else "right")
    for level in LEVELS:
        rates = probe["bandwidth_bytes_per_s"][level]
        memory.add_row(level.upper(), *(f"{rates[a] / 1e9:,.1f}" for a in ACCESSES))
    sizes = ", ".join(f"{k.upper()} {device[f'{k}_bytes'] >> 10} KiB" for k in ("l1d", "l2", "l3"))
    lines = [
        f"{device['name']}, {device['logical_cpus']} processors, {sizes}, "
        f"{device['memory_bytes'] / 2**30:.1f} GiB"
        + (f", virtual ({device['hypervisor']})" if device["hypervisor"] else ""),
        f"{probe['threads']} thread(s), clock {probe['clock_hz'] / 1e9:.2f} GHz, "
        f"a call {probe['call_s'] * 1e9:.0f} ns, "
        f"clock step {probe['clock_resolution_s'] * 1e9:.0f} ns, "
        f"reading {probe['clock_cost_s'] * 1e9:.0f} ns, "
        f"stolen while probing {probe['steal_s']:.2f} s",
    ]
    return Group(*(Text(line) for line in lines), peaks, memory)

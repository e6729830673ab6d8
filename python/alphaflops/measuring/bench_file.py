"""What a bench says: its JSON document, the same as CSV, and a saved one read again."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alphaflops import _core
from alphaflops.errors import TableError
from alphaflops.measuring.device import describe_device
from alphaflops.measuring.job import Job
from alphaflops.measuring.ledger import Ledger
from alphaflops.measuring.points import point_stats, readings_of
from alphaflops.measuring.sampler import CACHES

__all__ = ["document_of", "load_bench", "to_csv"]

FORMAT, VERSION = "alphaflops bench", 2
Roofs = dict[str, Any]


def document_of(
    job: Job, ledger: Ledger, roofs: Sequence[Roofs], options: dict[str, Any], *, interrupted: bool
) -> dict[str, Any]:
    """Return what ``--json`` prints; a task without a hot or a cold sample is left out."""
    job = replace(job, algorithms=ledger.algorithms)
    benches = job.benches(job.workbench())
    points: list[dict[str, Any]] = []
    left_out = []
    first: dict[str, Any] | None = None  # the point of this case on the first number of threads
    for i, (case, threads) in enumerate(job.tasks):
        rows = {cache: ledger.rows(i, cache) for cache in CACHES}
        first = None if threads == job.threads[0] else first
        if all(rows.values()):
            own = next(r for r in roofs if r["threads"] == threads)
            points.append(_point(job, i, rows, benches[i], own))
            first = points[-1] if threads == job.threads[0] else first
            _add_speedup(points[-1], first)
        else:
            on = f", {threads} thread(s)" if len(job.threads) > 1 else ""
            left_out.append(f"{case.name} ({case.label}{on})")
    return {
        "format": FORMAT,
        "version": VERSION,
        "at": time.time(),
        "device": describe_device(None),
        "options": options,
        "roofs": list(roofs),
        "controls": {"flops_per_s": ledger.control_flops, "clock_hz": ledger.control_hz},
        "points": points,
        "left_out": left_out,
        "interrupted": interrupted,
    }


def _point(
    job: Job, i: int, rows: dict[str, list[list[Any]]], bench: _core.ConvBench, roofs: Roofs
) -> dict[str, Any]:
    case, threads = job.tasks[i]
    macs, inner = _core.conv_macs(case.shape)
    point: dict[str, Any] = {
        **asdict(case),
        "kind": case.kind,
        "label": case.label,
        "algorithm": job.algorithms[i],
        "isa": job.isas[case.dtype],
        "threads": threads,
        "layout": job.layout,
        "macs": macs,
        "macs_without_padding": inner,
        "compulsory_bytes": bench.compulsory_bytes,
        "memory_bytes": bench.memory_bytes,
        "operations_per_byte": 2 * macs / bench.compulsory_bytes,
    }
    for cache in CACHES:
        stats = point_stats(readings_of(rows[cache]))
        peak = roofs["peak_ops_per_s"][case.dtype]
        rate = 2 * macs / stats["time_s"]
        bound, least_s = _bound(bench.compulsory_bytes, 2 * macs / peak, cache, roofs)
        point[cache] = {
            **stats,
            "ops_per_s": rate,
            "ops_without_padding_per_s": 2 * inner / stats["time_s"],
            "share_of_peak": rate / peak,
            "bound": bound,
            "share_of_bound": least_s / stats["time_s"],
            "samples": rows[cache],
        }
    return point


def _add_speedup(point: dict[str, Any], first: dict[str, Any] | None) -> None:
    """Add how many times as fast as on the first number of threads it is; None without that."""
    for cache in CACHES:
        own = point[cache]
        own["speedup"] = None if first is None else first[cache]["floor_s"] / own["floor_s"]


def _bound(size: int, compute_s: float, cache: str, roofs: Roofs) -> tuple[str, float]:
    """Say what bounds a call from below, and by how many seconds.

    Compulsory traffic goes through the smallest level that holds it; through memory when cold.
    """
    level = "dram"
    if cache == "hot":
        fitting = [name for name, bytes_ in roofs["cache_bytes"].items() if size <= bytes_]
        level = fitting[0] if fitting else level
    move_s = size / max(roofs["bandwidth_bytes_per_s"][level].values())
    if compute_s >= move_s:
        return "compute", compute_s
    return ("memory" if level == "dram" else "cache"), move_s


_CSV_POINT = (
    *("name", "label", "kind", "op", "dtype", "isa", "algorithm", "threads", "count"),
    *("layout", "macs", "macs_without_padding", "compulsory_bytes", "operations_per_byte"),
)
_CSV_STATS = (
    *("time_s", "time_lo_s", "time_hi_s", "mad_s", "min_s", "q3_s", "floor_s", "reorder_s"),
    *("used", "speedup"),
    *("ops_per_s", "ops_without_padding_per_s", "share_of_peak", "bound", "share_of_bound"),
)


def to_csv(document: dict[str, Any]) -> str:
    """Return one line a shape; the columns of hot and cold are prefixed so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shape = list(document["points"][0]["shape"])
    stats = [f"{cache}_{name}" for cache in CACHES for name in (*_CSV_STATS, "unstable")]
    writer.writerow([*_CSV_POINT, *shape, *stats])
    for point in document["points"]:
        cells = [point[name] for name in _CSV_POINT] + [point["shape"][name] for name in shape]
        for cache in CACHES:
            cells += [point[cache][name] for name in _CSV_STATS]
            cells.append(" ".join(point[cache]["unstable"]))
        writer.writerow(cells)
    return text.getvalue()


def load_bench(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a saved bench.

    Raises
    ------
    TableError
        The file cannot be read, or is no bench of this version.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError(f"{path}: cannot read this bench: {error.strerror}") from error
    except ValueError as error:
        raise TableError(f"{path}: not a saved bench: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise TableError(f"{path}: not a saved bench; save one with alphaflops bench ... -o FILE")
    if document.get("version") != VERSION:
        raise TableError(
            f"{path}: a bench of version {document.get('version')}; this release reads {VERSION}"
        )
    return document

"""The microbenchmark: convolutions by themselves, hot and cold, beside what the machine can do.

docs/bench.md says what is measured and why so.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alphaflops import _core
from alphaflops.errors import ShapeError, TableError, UnsupportedError
from alphaflops.measuring.cases import Case
from alphaflops.measuring.device import describe_device, pinned
from alphaflops.measuring.points import point_stats
from alphaflops.measuring.probe import (
    BENCH_DTYPES,
    bandwidths,
    cache_bytes,
    check_threads,
)
from alphaflops.measuring.sampler import CACHES, Job, Samples, Tick, readings_of, take, take_apart

__all__ = ["ALGORITHMS", "bench", "load_bench", "to_csv"]

ALGORITHMS = ("auto", "direct", "gemm", "depthwise", "winograd2", "winograd4")
FORMAT, VERSION = "alphaflops bench", 1
_ROOF_SHARE, _ROOF_MOST_S = 0.15, 1.5
_SAMPLES_SHARE = 0.7  # of the budget, however long the roofs took


def bench(
    cases: Sequence[Case],
    *,
    algorithm: str = "auto",
    isa: str | None = None,
    threads: int = 1,
    budget_s: float = 20.0,
    processes: int = 1,
    seed: int | None = None,
    delay: float = 0.0,
    limit_bytes: int = 0,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Time convolutions by themselves.

    Parameters
    ----------
    cases
        As `cases_of` gives them.
    algorithm
        One of `ALGORITHMS`.
    isa
        scalar, avx2 or avx512; the best of this processor for each dtype by default.
    budget_s
        Seconds that roofs and samples of all processes take together. Points drop out once they
        are settled; those that are not are tried again until time is up.
    processes
        Processes that take turns; each gets other memory, and the budget is split.
    seed
        Of inputs and order; random by default, and recorded.
    delay
        Share by which every timed call is lengthened, to test comparisons.
    limit_bytes
        Memory that a case may need; 0 for three quarters of what is available.

    Returns
    -------
    dict
        What ``--json`` prints: ``device``, ``options``, ``roofs``, ``controls``, ``points`` (each
        with ``hot`` and ``cold``, their raw samples included), ``left_out``. A ``RuntimeWarning``
        names cases that the budget did not reach.

    Raises
    ------
    UnsupportedError
        An algorithm that does not do a shape, a dtype or instruction set that is not here, more
        threads than processors.
    Error
        A case needs more memory than there is; the message says how much.
    TableError
        The budget reached no case.
    """
    _check(
        cases=cases,
        algorithm=algorithm,
        threads=threads,
        budget_s=budget_s,
        processes=processes,
        delay=delay,
    )
    isas = {dtype: _isa_for(dtype, isa) for dtype in sorted({case.dtype for case in cases})}
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "little")
    job = Job(list(cases), algorithm, isas, threads, seed, budget_s, delay, limit_bytes)
    job.benches(_core.ConvWorkbench(threads, 0, limit_bytes))  # raises before time is spent

    start = time.monotonic()
    roofs = _roofs(isas, threads, min(_ROOF_MOST_S, _ROOF_SHARE * budget_s))
    left_s = budget_s - (time.monotonic() - start)
    each_s = max(left_s, _SAMPLES_SHARE * budget_s) / processes
    parts = []
    for process in range(processes):
        part = replace(job, seed=seed + process, budget_s=each_s)
        parts.append(take(part, 0, tick) if processes == 1 else take_apart(part, process))
        if tick is not None and processes > 1:
            tick(process + 1, processes, (process + 1) * each_s, (processes - process - 1) * each_s)
    return _document(job, parts, roofs, processes)


def _check(
    *,
    cases: Sequence[Case],
    algorithm: str,
    threads: int,
    budget_s: float,
    processes: int,
    delay: float,
) -> None:
    if not cases:
        raise TableError("bench: no shape to time; give at least one")
    if algorithm not in ALGORITHMS:
        raise UnsupportedError(f"algorithm {algorithm!r} is none of {', '.join(ALGORITHMS)}")
    check_threads(threads)
    if not (math.isfinite(budget_s) and budget_s > 0):
        raise ShapeError(f"budget_s is {budget_s}; it must be a positive number of seconds")
    if processes < 1:
        raise ShapeError(f"processes is {processes}; it must be 1 or more")
    if not 0 <= delay <= 10:  # noqa: PLR2004
        raise ShapeError(f"delay is {delay}; it must be a share from 0 to 10")


def _isa_for(dtype: str, isa: str | None) -> str:
    if dtype not in BENCH_DTYPES:
        raise UnsupportedError(
            f"dtype {dtype!r} has no native kernels; use {', '.join(BENCH_DTYPES)}"
        )
    here = _core.available_isas_for(dtype)
    if isa is None:
        preferred = os.environ.get("ALPHAFLOPS_ISA")
        return preferred if preferred in here else here[-1]
    if isa not in here:
        raise UnsupportedError(
            f"isa {isa!r} has no kernels for {dtype} on this processor; use {', '.join(here)}"
        )
    return isa


def _roofs(isas: dict[str, str], threads: int, duration_s: float) -> dict[str, Any]:
    with pinned() if threads == 1 else nullcontext():
        peaks = {
            dtype: _core.probe_rate(dtype, isa, threads, duration_s / 2 / len(isas))
            for dtype, isa in isas.items()
        }
        return {
            "peak_ops_per_s": peaks,
            "bandwidth_bytes_per_s": bandwidths(
                _core.available_isas_for("fp32")[-1], threads, duration_s / 2
            ),
            "cache_bytes": dict(zip(("l1", "l2", "l3"), cache_bytes(), strict=True)),
        }


def _document(
    job: Job, parts: Sequence[Samples], roofs: dict[str, Any], processes: int
) -> dict[str, Any]:
    points, left_out = [], []
    for i, case in enumerate(job.cases):
        rows = {cache: [row for part in parts for row in part.rows[i][cache]] for cache in CACHES}
        if all(rows[cache] for cache in CACHES):
            points.append(_point(job, i, rows, parts[0], roofs))
        else:
            left_out.append(f"{case.name} ({case.label})")
    if not points:
        raise TableError(
            f"bench: the budget of {job.budget_s:g} s did not reach any of {len(job.cases)} "
            "shapes; give more time"
        )
    if left_out:
        warnings.warn(
            f"the budget did not reach {len(left_out)} of {len(job.cases)} shapes, which are left "
            f"out: {', '.join(left_out)}; give more time",
            RuntimeWarning,
            stacklevel=3,
        )
    options = {k: v for k, v in asdict(job).items() if k != "cases"}
    return {
        "format": FORMAT,
        "version": VERSION,
        "at": time.time(),
        "device": describe_device(None),
        "options": {**options, "processes": processes},
        "roofs": roofs,
        "controls": {
            "flops_per_s": max(p.control_flops for p in parts),
            "clock_hz": max(p.control_hz for p in parts),
        },
        "points": points,
        "left_out": left_out,
    }


def _point(
    job: Job, i: int, rows: dict[str, list[list[Any]]], part: Samples, roofs: dict[str, Any]
) -> dict[str, Any]:
    case = job.cases[i]
    macs, inner = _core.conv_macs(case.shape)
    point: dict[str, Any] = {
        **asdict(case),
        "kind": case.kind,
        "label": case.label,
        "algorithm": part.algorithms[i],
        "isa": job.isas[case.dtype],
        "threads": job.threads,
        "macs": macs,
        "macs_without_padding": inner,
        "compulsory_bytes": part.compulsory_bytes[i],
        "memory_bytes": part.memory_bytes[i],
        "operations_per_byte": 2 * macs / part.compulsory_bytes[i],
    }
    for cache in CACHES:
        stats = point_stats(readings_of(rows[cache]))
        peak = roofs["peak_ops_per_s"][case.dtype]
        rate = 2 * macs / stats["time_s"]
        bound, least_s = _bound(part.compulsory_bytes[i], 2 * macs / peak, cache, roofs)
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


def _bound(size: int, compute_s: float, cache: str, roofs: dict[str, Any]) -> tuple[str, float]:
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
    *("macs", "macs_without_padding", "compulsory_bytes", "operations_per_byte"),
)
_CSV_STATS = (
    *("time_s", "time_lo_s", "time_hi_s", "mad_s", "min_s", "q3_s", "floor_s", "used"),
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

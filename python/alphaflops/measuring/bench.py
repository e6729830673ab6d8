"""The microbenchmark: convolutions by themselves, hot and cold, beside what the machine can do.

docs/bench.md says what is measured and why so.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from alphaflops import _core
from alphaflops.errors import Error, ShapeError, TableError, UnsupportedError
from alphaflops.measuring.bench_file import document_of
from alphaflops.measuring.cases import Case
from alphaflops.measuring.device import describe_device, pinned
from alphaflops.measuring.job import LAYOUTS, Job, check_algorithms, parse_threads
from alphaflops.measuring.ledger import Ledger
from alphaflops.measuring.probe import BENCH_DTYPES, bandwidths, cache_bytes
from alphaflops.measuring.sampler import Batch, take, take_apart

__all__ = ["Tick", "bench"]

#: ``(settled points, points, seconds so far, seconds left)``
Tick = Callable[[int, int, float, float], None]

_ROOF_SHARE, _ROOF_MOST_S = 0.15, 1.5
_SAMPLES_SHARE = 0.7  # of the budget, however long the roofs took


def bench(
    cases: Sequence[Case],
    *,
    algorithm: str | Sequence[str] = "auto",
    winograd: bool = True,
    isa: str | None = None,
    threads: int | str | Sequence[int] = 1,
    layout: str = "nhwc",
    budget_s: float = 20.0,
    processes: int = 1,
    seed: int | None = None,
    delay: float = 0.0,
    limit_bytes: int = 0,
    journal: str | os.PathLike[str] | None = None,
    partial: Callable[[dict[str, Any]], None] | None = None,
    tick: Tick | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Time convolutions by themselves.

    Parameters
    ----------
    cases
        As `cases_of` gives them.
    algorithm
        One of `job.ALGORITHMS`, or one a case. ``auto`` times all that do a shape, once, on each
        number of threads, and all processes use the fastest; the planner's own choice stays where
        no other is 3 % faster.
    winograd
        Whether ``auto`` may take a Winograd form, which rounds differently.
    isa
        scalar, avx2, avx512 or neon; the best of this processor for each dtype by default.
    threads
        A number or several (also as text: ``1,2`` or ``1-4``): each shape is timed on each.
    layout
        ``nhwc``, or ``nchw``: reorder in, convolve in NHWC, reorder out, fp32 only.
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
    journal
        File for the samples as they are taken. The same call with the same file resumes, with the
        whole budget for what remains.
    partial
        Called with the result so far where Ctrl-C or a fault cuts a bench short that has samples.
    on_resume
        Called at the start where the journal has samples, with how many.

    Returns
    -------
    dict
        What ``--json`` prints: ``device``, ``options``, ``roofs`` (of each number of threads),
        ``controls``, ``points`` (each with ``hot`` and ``cold``, their raw samples included),
        ``left_out``, ``interrupted``. A ``RuntimeWarning`` names cases that the budget did not
        reach.

    Raises
    ------
    UnsupportedError
        An algorithm that does not do a shape, a dtype, layout or instruction set that is not here,
        more threads than processors.
    Error
        A case needs more memory than there is; the message says how much. Or a process failed.
    TableError
        The budget reached no case.
    IoError, JournalError
        The journal cannot be used; the message says why.
    KeyboardInterrupt
        Again, saying what there is.
    """
    _check(cases=cases, budget_s=budget_s, processes=processes, delay=delay, layout=layout)
    counts = parse_threads(threads)
    chosen = check_algorithms(algorithm, cases)
    isas = {dtype: _isa_for(dtype, isa) for dtype in sorted({case.dtype for case in cases})}
    given = {
        "algorithm": algorithm if isinstance(algorithm, str) else chosen,
        "winograd": winograd,
        "isas": isas,
        "threads": counts,
        "layout": layout,
        "delay": delay,
        "limit_bytes": limit_bytes,
        "processes": processes,
    }
    job = Job(
        cases=list(cases),
        algorithms=[each for each in chosen for _ in counts],
        isas=isas,
        threads=counts,
        winograd=winograd,
        layout=layout,
        seed=int.from_bytes(os.urandom(4), "little") if seed is None else seed,
        budget_s=budget_s,
        delay=delay,
        limit_bytes=limit_bytes,
    )
    job.benches(job.workbench())  # raises before time is spent

    about = {**_kernels(), **given, "seed": "random" if seed is None else seed}
    with Ledger(job, processes, about, None if journal is None else Path(journal)) as ledger:
        if on_resume is not None and ledger.samples:
            on_resume(ledger.samples)
        job = replace(job, seed=ledger.seed)
        options = {**given, "seed": job.seed, "budget_s": budget_s}
        start = time.monotonic()
        roofs: list[dict[str, Any]] = []
        try:
            roofs += _roofs(isas, counts, min(_ROOF_MOST_S, _ROOF_SHARE * budget_s))
            left_s = max(budget_s - (time.monotonic() - start), _SAMPLES_SHARE * budget_s)
            _take_all(job, ledger, processes, left_s, tick)
        except (KeyboardInterrupt, Error) as stop:
            if partial is not None and roofs and ledger.samples:
                document = document_of(job, ledger, roofs, options, interrupted=True)
                if document["points"]:
                    partial(document)
            if isinstance(stop, KeyboardInterrupt):
                raise KeyboardInterrupt(f"interrupted; {ledger.kept()}") from None
            if not ledger.samples:
                raise
            raise type(stop)(f"{stop}; {ledger.kept()}") from stop
        document = document_of(job, ledger, roofs, options, interrupted=False)
    _report_left_out(document, job)
    return document


def _check(
    *, cases: Sequence[Case], budget_s: float, processes: int, delay: float, layout: str
) -> None:
    if not cases:
        raise TableError("bench: no shape to time; give at least one")
    if layout not in LAYOUTS:
        raise UnsupportedError(f"layout {layout!r} is neither {' nor '.join(LAYOUTS)}")
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


def _kernels() -> dict[str, str]:
    """Return what samples of one bench must agree in beside its settings."""
    device = describe_device(None)
    return {
        "device": device["name"],
        "kernels": f"alphaflops {device['library']}, {device['compiler']}",
    }


def _roofs(isas: dict[str, str], counts: Sequence[int], duration_s: float) -> list[dict[str, Any]]:
    return [_roofs_on(isas, threads, duration_s / len(counts)) for threads in counts]


def _roofs_on(isas: dict[str, str], threads: int, duration_s: float) -> dict[str, Any]:
    with pinned() if threads == 1 else nullcontext():
        peaks = {
            dtype: _core.probe_rate(dtype, isa, threads, duration_s / 2 / len(isas))
            for dtype, isa in isas.items()
        }
        return {
            "threads": threads,
            "peak_ops_per_s": peaks,
            "bandwidth_bytes_per_s": bandwidths(
                _core.available_isas_for("fp32")[-1], threads, duration_s / 2
            ),
            "cache_bytes": dict(zip(("l1", "l2", "l3"), cache_bytes(), strict=True)),
        }


def _take_all(job: Job, ledger: Ledger, processes: int, left_s: float, tick: Tick | None) -> None:
    """Run the processes that have not come to their end yet, one after the other."""
    waiting = [process for process in range(processes) if process not in ledger.done]
    start = time.monotonic()
    for process in waiting:
        part = replace(
            job,
            algorithms=list(ledger.algorithms),  # what an earlier process chose holds for all
            seed=job.seed + process,
            budget_s=left_s / len(waiting),
        )

        def record(batch: Batch, process: int = process) -> None:
            ledger.record(process, batch)
            if tick is not None:
                taken_s = time.monotonic() - start
                more = process != waiting[-1]  # then all is not done, whatever is settled here
                done = min(batch.settled, batch.points - more)
                tick(done, batch.points, taken_s, max(0.0, left_s - taken_s))

        if processes == 1:
            take(part, record, ledger.readings(process))
        else:
            take_apart(part, process, record, ledger.readings(process))
        ledger.end(process)


def _report_left_out(document: dict[str, Any], job: Job) -> None:
    left_out, tasks = document["left_out"], len(job.tasks)
    if not document["points"]:
        raise TableError(
            f"bench: the budget of {job.budget_s:g} s did not reach any of {tasks} shapes; "
            "give more time"
        )
    if left_out:
        warnings.warn(
            f"the budget did not reach {len(left_out)} of {tasks} shapes, which are left "
            f"out: {', '.join(left_out)}; give more time",
            RuntimeWarning,
            stacklevel=3,
        )

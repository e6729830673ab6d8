"""What a reader of a space's costs has to know, from reports of a few of its networks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from alphaflops.errors import UnsupportedError
from alphaflops.report import Report

if TYPE_CHECKING:
    from alphaflops.profiles import Profile
    from alphaflops.spaces.codes import Codes
    from alphaflops.spaces.compiled import CompiledSpace

__all__ = ["notes_of"]

_DRAWN = 4  # networks at random, beside the fastest and the slowest
_WORTH_SAYING = 0.01  # of a network's time


def notes_of(compiled: CompiledSpace) -> tuple[str, ...]:
    """Return the notes of all profiles; where there are several, each note names its profile."""
    result: list[str] = []
    for number, profile in enumerate(compiled.profiles):
        lead = f"profile '{profile.name}': " if len(compiled.profiles) > 1 else ""
        result += [lead + note for note in _notes(compiled, number, profile)]
    return tuple(result)


def _notes(compiled: CompiledSpace, number: int, profile: Profile) -> list[str]:
    space = compiled.space
    codes = _codes(compiled, number)
    graphs = [space.graph(code, compiled.batch, compiled.dtype) for code in codes]
    reports = [
        Report(graph, profile, compiled.mode, reuse_bytes=compiled.reuse_bytes) for graph in graphs
    ]
    notes = []
    if unpriced := compiled.core.unpriced(number):
        notes.append(f"not priced: {', '.join(unpriced)}")
    shares = [report.extrapolated_share for report in reports]
    if max(shares) > 0:
        ends = dict.fromkeys(f"{share:.0%}" for share in (min(shares), max(shares)))
        notes.append(
            f"extrapolated: {' to '.join(ends)} of the time, in {len(reports)} networks of the "
            "space, is in launches unlike all that was measured"
        )
    off = [
        _time_s(compiled, code, number) / report.time_s - 1
        for code, report in zip(codes, reports, strict=True)
        if "weight_reuse" in profile.data and report.time_s > 0
    ]
    if max(map(abs, off), default=0.0) > _WORTH_SAYING:
        notes.append(
            f"weights in a cache: {min(off):+.1%} to {max(off):+.1%} beside `estimate`, in "
            f"{len(off)} networks of the space, as sums follow what a cache is worth so far; "
            "reuse_bytes=math.inf in both prices weights from memory"
        )
    unknown = {operator for report in reports for operator in report.unknown}
    if unknown:
        notes.append(f"not counted, operator unknown: {', '.join(sorted(unknown))}")
    assumed = [note for report in reports for note in report.assumptions]
    own = [note for note in profile.assumptions if note in assumed]
    return notes + own + _merged(note for note in assumed if note not in own)


def _time_s(compiled: CompiledSpace, code: Codes, number: int) -> float:
    times = np.ravel(compiled.evaluate(code[np.newaxis]))
    return float(times[number])


def _codes(compiled: CompiledSpace, number: int) -> list[Codes]:
    """Return codes of the fastest, the slowest and a few other networks, each once."""
    codes = list(compiled.space.sample(_DRAWN, 0))
    with suppress(UnsupportedError):  # too many positions depend on each other
        codes[:0] = compiled.bounds("time_s", number)[2:]
    return list({code.tobytes(): code for code in codes}.values())


def _merged(notes: Iterable[str]) -> list[str]:
    """Return each note once; those that list different things behind one heading become one."""
    listed: dict[str, dict[str, None]] = {}
    for note in notes:
        heading, colon, items = note.partition(": ")
        listed.setdefault(heading + colon, {}).update(dict.fromkeys(items.split(", ")))
    return [heading + ", ".join(items) for heading, items in listed.items()]

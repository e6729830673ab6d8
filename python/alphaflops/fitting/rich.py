"""The forms beyond the paper's, kind by kind: roofline-alpha, tiled, and hybrid.

hybrid is the better of the other two, as rows held out tell, with trees on what it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from alphaflops._core import Launches
from alphaflops.errors import TableError
from alphaflops.fitting.evidence import Cache
from alphaflops.fitting.forms import Rows
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.residual import domain_of, fit_residual
from alphaflops.fitting.roofline import RooflineFit, fit_roofline
from alphaflops.fitting.tiled import CANDIDATES, TiledFit, candidates_of, fit_tiled
from alphaflops.table import Table

CORES = ("roofline-alpha", "tiled")
#: Rows of a kind below which a simpler form stands in.
LEAST_ROWS = {"roofline-alpha": 16, "tiled": 30}

_MOST_ROWS = 1000  # that a search looks at; the trees see all
_FEW_ROWS = 300  # that tell what kind of processor it is
_GUESSES = (("gpu", 16.0), ("gpu", 40.0), ("gpu", 80.0), ("cpu", 1.0))

ByKind = Mapping[str, tuple[Rows, Floats]]


class Facts(NamedTuple):
    """What the tiled form takes as known: cpu or gpu, and its multiprocessors or threads."""

    processor: str
    processors: float


def known_facts(table: Table, known: Mapping[str, float] | None = None) -> Facts | None:
    """Return what the tiled form needs to know; None where it has to be guessed."""
    for name, value in (known or {}).items():
        _require_positive(value, f"device fact {name}")
    facts = known if known and known.keys() & {"sms", "threads"} else _of_provenance(table)
    if "sms" in facts:
        return Facts("gpu", float(facts["sms"]))
    if "threads" in facts:
        return Facts("cpu", float(facts["threads"]))
    return None


def _of_provenance(table: Table) -> Mapping[str, float]:
    """Return multiprocessors or threads, where what measured the table says so."""
    names = table.dtype.names or ()
    if str(table["backend"][0]) == "native":
        return {"threads": 1}
    name = "threads" if "on" in names and str(table["on"][0]) == "cpu" else "sms"
    value = _number(table[name][0]) if name in names else None
    if value is None:
        return {}
    _require_positive(value, f"table: column '{name}'")
    return {name: value}


def _number(cell: object) -> float | None:
    """Return a cell that may be text, as all of a column are where one was blank."""
    try:
        value = float(str(cell))
    except ValueError:
        return None
    return None if np.isnan(value) else value


def _require_positive(value: float, what: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise TableError(f"{what} is {value:g}; it must be a positive number")


@dataclass(frozen=True)
class RichFit:
    """What the fit of one set of rows found, and what a fit of most of them may begin from."""

    forms: dict[str, dict[str, KindFit]]
    facts: Facts | None = None
    roofline: dict[str, RooflineFit] = field(default_factory=dict)
    tiled: dict[str, TiledFit] = field(default_factory=dict)
    cache_bytes: float | None = None


def fit_rich(
    by_kind: ByKind,
    facts: Facts | None,
    start: RichFit | None,
    seed: int,
    *,
    cache_bytes: float | None = None,
) -> RichFit:
    """Fit every rich form to the kinds that have the rows for it.

    Parameters
    ----------
    by_kind
        Rows and ln seconds of kinds that multiply.
    facts
        Of the device; guessed where not known.
    start
        The fit of a table that these rows are most of: facts and starts are taken from it.
    cache_bytes
        Of the device's cache, where what moves data has told it.
    """
    with threadpool_limits(1):  # small matrices: more threads only get in each other's way
        return _fit_rich(by_kind, facts, start, seed, cache_bytes)


def _fit_rich(
    by_kind: ByKind,
    facts: Facts | None,
    start: RichFit | None,
    seed: int,
    cache_bytes: float | None,
) -> RichFit:
    rng = np.random.default_rng(seed)
    order = sorted(by_kind, key=lambda kind: -len(by_kind[kind][0]))
    order = [kind for kind in order if len(by_kind[kind][0]) >= LEAST_ROWS["roofline-alpha"]]
    if not order:
        return RichFit({form: {} for form in CORES}, cache_bytes=cache_bytes)
    if start is not None:
        facts = start.facts
    if facts is None:
        facts = _guess(order[0], *by_kind[order[0]], rng)
    forms: dict[str, dict[str, KindFit]] = {form: {} for form in CORES}
    rooflines: dict[str, RooflineFit] = {}
    tiled: dict[str, TiledFit] = {}
    for kind in order:
        rows, log_time = by_kind[kind]
        few, few_log_time = _some(rows, log_time, _MOST_ROWS, rng)
        launches = Launches(few.work)
        cache = None if cache_bytes is None else Cache(cache_bytes, few.bytes_beyond(cache_bytes))
        roofline = fit_roofline(
            launches, few_log_time, few.macs, few.bytes_read + few.bytes_written,
            padded=_is_padded(few), cache=cache,
            start=None if start is None else start.roofline.get(kind),
        )  # fmt: skip
        rooflines[kind] = roofline
        n = len(rows)
        domain = domain_of(Launches(rows.work).traits(np.exp(log_time)))
        forms["roofline-alpha"][kind] = KindFit(
            "roofline-alpha", roofline.parameters, roofline.standard_errors, n, domain=domain
        )
        if n >= LEAST_ROWS["tiled"]:
            near = next(iter(tiled.values()), None)
            before = None if start is None else start.tiled.get(kind)
            candidates = candidates_of(facts.processor, kind, rows.work)
            found = fit_tiled(
                launches, few_log_time, few.bytes_read + few.bytes_written,
                candidates if before is None else before.candidates, facts.processors,
                cache=cache, near=near, start=before,
            )  # fmt: skip
            tiled[kind] = found
            parameters = found.parameters(
                biased=bool(rows.work.biased.any()), padded=_is_padded(rows)
            )
            forms["tiled"][kind] = KindFit("tiled", parameters, {}, n, domain=domain)
    return RichFit(forms, facts, rooflines, tiled, cache_bytes)


def _is_padded(rows: Rows) -> bool:
    return bool(rows.work.padded_elements.any())


def with_residual(core: KindFit, rows: Rows, log_time: Floats, seed: int) -> KindFit:
    """Return a fit with trees on what it leaves of its rows, or as it is where they are too few."""
    predicted_s = core.predict(rows)
    traits = Launches(rows.work).traits(predicted_s)
    residual = fit_residual(traits, log_time - np.log(predicted_s), seed)
    return core.with_residual(domain_of(traits), residual)


def _guess(kind: str, rows: Rows, log_time: Floats, rng: np.random.Generator) -> Facts:
    few, few_log_time = _some(rows, log_time, _FEW_ROWS, rng)
    moved = few.bytes_read + few.bytes_written
    launches = Launches(few.work)
    costs = {
        guess: fit_tiled(launches, few_log_time, moved, CANDIDATES[guess[0]][kind], guess[1]).cost
        for guess in _GUESSES
    }
    return Facts(*min(costs, key=lambda guess: costs[guess]))


def _some(rows: Rows, log_time: Floats, most: int, rng: np.random.Generator) -> tuple[Rows, Floats]:
    if len(rows) <= most:
        return rows, log_time
    index = np.sort(rng.choice(len(rows), most, replace=False))
    return rows[index], log_time[index]

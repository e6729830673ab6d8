"""The forms beyond the paper's, kind by kind: roofline-alpha, tiled, and hybrid.

hybrid is the better of the other two with trees on what it leaves. Which of the two is better is
best told by rows held out. Where there are none, it is judged on the rows that are fitted, with a
penalty of two for each parameter (Akaike's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from alphaflops._core import Launches
from alphaflops.fitting.forms import Rows
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.metrics import Floats
from alphaflops.fitting.residual import domain_of, fit_residual
from alphaflops.fitting.roofline import NAMES, RooflineFit, fit_roofline
from alphaflops.fitting.tiled import CANDIDATES, TiledFit, fit_tiled

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


@dataclass(frozen=True)
class RichFit:
    """What the fit of one set of rows found, and what a fit of most of them may begin from."""

    forms: dict[str, dict[str, KindFit]]
    cores: dict[str, str] = field(default_factory=dict)  # form by kind, for trees to stand on
    facts: Facts | None = None
    roofline: dict[str, RooflineFit] = field(default_factory=dict)
    tiled: dict[str, TiledFit] = field(default_factory=dict)


def fit_rich(by_kind: ByKind, facts: Facts | None, start: RichFit | None, seed: int) -> RichFit:
    """Fit every rich form to the kinds that have the rows for it.

    Parameters
    ----------
    by_kind
        Rows and ln seconds of kinds that multiply.
    facts
        Of the device; guessed where not known.
    start
        The fit of a table that these rows are most of: facts and starts are taken from it.
    """
    with threadpool_limits(1):  # small matrices: more threads only get in each other's way
        return _fit_rich(by_kind, facts, start, seed)


def _fit_rich(by_kind: ByKind, facts: Facts | None, start: RichFit | None, seed: int) -> RichFit:
    rng = np.random.default_rng(seed)
    order = sorted(by_kind, key=lambda kind: -len(by_kind[kind][0]))
    order = [kind for kind in order if len(by_kind[kind][0]) >= LEAST_ROWS["roofline-alpha"]]
    if not order:
        return RichFit({form: {} for form in CORES})
    if start is not None:
        facts = start.facts
    if facts is None:
        facts = _guess(order[0], *by_kind[order[0]], rng)
    forms: dict[str, dict[str, KindFit]] = {form: {} for form in CORES}
    cores: dict[str, str] = {}
    rooflines: dict[str, RooflineFit] = {}
    tiled: dict[str, TiledFit] = {}
    for kind in order:
        rows, log_time = by_kind[kind]
        few, few_log_time = _some(rows, log_time, _MOST_ROWS, rng)
        launches = Launches(few.work)
        roofline = fit_roofline(
            launches, few_log_time, few.macs, few.bytes_read + few.bytes_written,
            padded=_is_padded(few),
            start=None if start is None else start.roofline.get(kind),
        )  # fmt: skip
        rooflines[kind] = roofline
        n = len(rows)
        domain = domain_of(Launches(rows.work).traits(np.exp(log_time)))
        fit = KindFit(
            "roofline-alpha", roofline.parameters, roofline.standard_errors, n, domain=domain
        )
        forms["roofline-alpha"][kind], cores[kind] = fit, "roofline-alpha"
        if n >= LEAST_ROWS["tiled"]:
            near = next(iter(tiled.values()), None)
            found = fit_tiled(
                launches, few_log_time, few.bytes_read + few.bytes_written,
                CANDIDATES[facts.processor][kind], facts.processors,
                near=near, start=None if start is None else start.tiled.get(kind),
            )  # fmt: skip
            tiled[kind] = found
            fit = KindFit(
                "tiled",
                found.parameters(biased=_is_biased(rows), padded=_is_padded(rows)),
                {},
                n,
                domain=domain,
            )
            forms["tiled"][kind] = fit
            better = _penalised(found.cost, len(found.theta), len(few))
            if better < _penalised(roofline.cost, len(NAMES), len(few)):
                cores[kind] = "tiled"
    return RichFit(forms, cores, facts, rooflines, tiled)


def _is_padded(rows: Rows) -> bool:
    return bool(rows.work.padded_elements.any())


def _is_biased(rows: Rows) -> bool:
    w = rows.work
    return bool((w.weights_read > w.c_out * (w.c_in // w.groups) * w.kernel_volume).any())


def _penalised(cost: float, parameters: int, n: int) -> float:
    return n * float(np.log(cost / n)) + 2 * parameters


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

"""Which shapes to measure next, given what the ones at hand tell, and what each would cost.

A model is fitted to the rows at hand. A candidate is doubtful as far as it is from all of them, and
as far as the model errs on its kind: the standard deviation of a process with the residuals of that
kind, which the nearest row tells about within an octave. Candidates are taken one by one, the most
doubtful for the square root of its seconds first; each settles its neighbours' doubt, so that a
batch does not crowd around one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.errors import ShapeError
from alphaflops.fitting.forms import Rows, rows_of
from alphaflops.fitting.fresh import may_be_fresh
from alphaflops.fitting.kinds import predict_rows
from alphaflops.fitting.reuse import from_memory
from alphaflops.fitting.rich import known_facts
from alphaflops.fitting.solve import fit_forms
from alphaflops.fitting.steps import launches_steps, step_work
from alphaflops.measuring.measured import shapes_of
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.table import Table, TableLike, check_table

if TYPE_CHECKING:
    from alphaflops._core import Graph

__all__ = ["next_shapes"]

_CANDIDATES = 1500
_REACH = 1.0  # octaves
_CALLS, _LEAST_S = 20.0, 0.01  # calls that settle a shape, and the least that it takes
_LEAST_SPREAD = 0.05  # of residuals in the logarithm, however well a few rows are fitted

Floats = NDArray[np.float64]


def next_shapes(
    table: TableLike,
    budget_s: float,
    *,
    like: Graph | Sequence[Graph] | None = None,
    seed: int = 0,
) -> Table:
    """Choose the shapes whose times the rows at hand leave most in doubt.

    Parameters
    ----------
    table
        Measurement table with ``time_s``, of one device; candidates are of its ``mode``.
    budget_s
        Seconds that measuring them may take, about.
    like
        A network or several to draw candidates from, as for ``sample_shapes``.
    seed
        Of the candidates.

    Returns
    -------
    Table
        Shapes without times, one at least: what ``measure`` takes.

    Raises
    ------
    ShapeError
        A budget that is not positive.
    TableError
        The table is malformed.
    """
    if not budget_s > 0:
        raise ShapeError(f"budget_s is {budget_s}; it must be a positive number of seconds")
    table = check_table(table)
    names = table.dtype.names or ()
    mode = str(table["mode"][0]) if "mode" in names and len(table) else "fused"
    sequences = "attention" in set(table["op"].tolist())
    pool = sample_shapes(_CANDIDATES, seed=seed, like=like, mode=mode, sequences=sequences)
    return shapes_of(pool)[choose(table, pool, budget_s)]


def choose(table: Table, pool: Table, budget_s: float) -> NDArray[np.int64]:
    """Return the numbers of the rows of `pool` to measure next."""
    table = check_table(table)
    table = table[from_memory(table)]
    per_step = launches_steps(table)
    (work, steps), (new, new_steps) = (step_work(t, per_step=per_step) for t in (table, pool))
    known, candidates = rows_of(work), rows_of(new)
    forms, _ = fit_forms(
        known, table["time_s"] / steps, facts=known_facts(table), fresh=may_be_fresh(table)
    )
    fits = forms["tiled"]
    known_s, candidate_s = (
        steps * predict_rows(known, fits),
        new_steps * predict_rows(candidates, fits),
    )
    candidate_s = np.where(np.isnan(candidate_s), np.median(table["time_s"]), candidate_s)
    spread = _spread(known, np.log(table["time_s"] / known_s), candidates)
    per_cost = spread / np.sqrt(seconds_to_measure(candidate_s))
    at_known, at_candidates = _places(known), _places(candidates)
    nearest = np.array([((place - at_known) ** 2).sum(axis=1).min() for place in at_candidates])
    left_s = budget_s
    chosen: list[int] = []
    while len(chosen) < len(pool):
        best = int(np.argmax(per_cost * np.sqrt(1 - np.exp(-nearest / _REACH**2))))
        left_s -= float(seconds_to_measure(candidate_s[best : best + 1])[0])
        if chosen and left_s < 0:
            break
        chosen.append(best)
        per_cost[best] = -1.0
        nearest = np.minimum(nearest, ((at_candidates - at_candidates[best]) ** 2).sum(axis=1))
    return np.array(chosen, np.int64)


def seconds_to_measure(time_s: Floats) -> Floats:
    """Return about how long it takes until shapes with calls of that length are settled."""
    return _LEAST_S + _CALLS * time_s


def _spread(known: Rows, residual: Floats, candidates: Rows) -> Floats:
    """Return for each candidate the spread of its kind's residuals; of all, for an unknown kind."""
    overall = float(np.sqrt(np.nanmean(np.square(residual))))
    spread = np.full(len(candidates), 2 * overall)
    for kind in np.unique(known.kind):
        own = residual[known.kind == kind]
        # Four more rows of the overall spread keep a few lucky ones from settling a kind.
        mean = (np.nansum(own**2) + 4 * overall**2) / (np.isfinite(own).sum() + 4)
        spread[candidates.kind == kind] = np.sqrt(mean)
    result: Floats = np.maximum(spread, _LEAST_SPREAD)
    return result


def _places(rows: Rows) -> Floats:
    """Return where rows lie, in octaves; kinds lie far apart."""
    core_s = np.ones(len(rows))
    traits = _core.Launches(rows.work).traits(core_s)[:, : _core.BOUNDED_TRAITS].astype(float)
    kind = 4.0 * (rows.kind[:, None] == np.array(_core.KINDS)[None])
    return np.hstack([traits, kind])

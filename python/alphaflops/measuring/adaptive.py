"""Which shapes to measure next, given what the ones at hand tell.

A model is fitted to the rows at hand, and trees to what it leaves. Where trees that saw other
samples of the rows disagree, another row would tell most. Shapes are taken one by one, the most
doubtful first; each makes its neighbours less so, that a batch does not crowd around one doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.errors import ShapeError
from alphaflops.fitting.forms import Rows, rows_of
from alphaflops.fitting.kinds import predict_rows
from alphaflops.fitting.solve import fit_forms
from alphaflops.measuring.measured import shapes_of
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.table import Table, check_table, work_table

if TYPE_CHECKING:
    from alphaflops._core import Graph

__all__ = ["next_shapes"]

_CANDIDATES = 12  # for each shape that is wanted
_TREES = 100
_REACH = 1.0  # octaves within which a measurement settles its neighbours' doubt

Floats = NDArray[np.float64]


def next_shapes(
    table: Table, n: int, *, like: Sequence[Graph] | None = None, seed: int = 0
) -> Table:
    """Choose the shapes whose times the rows at hand leave most in doubt.

    Parameters
    ----------
    table
        Measurement table with ``time_s``, of one device.
    n
        How many.
    like
        Networks to draw candidates from, as for ``sample_shapes``.
    seed
        Of the candidates and the trees.

    Returns
    -------
    Table
        Shapes without times: what ``measure`` takes.

    Raises
    ------
    ShapeError
        Fewer than one shape.
    TableError
        The table is malformed.
    """
    if n < 1:
        raise ShapeError(f"n is {n}; choose at least one shape")
    pool = sample_shapes(_CANDIDATES * n, seed=seed, like=like)
    return shapes_of(pool)[choose(table, pool, n, seed=seed)]


def choose(table: Table, pool: Table, n: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the numbers of the `n` rows of `pool` to measure next."""
    table = check_table(table)
    known, candidates = rows_of(work_table(table)), rows_of(work_table(pool))
    doubt, where, measured = _doubt(known, np.log(table["time_s"]), candidates, seed)
    chosen: list[int] = []
    nearest = np.full(len(where), np.inf)
    if len(measured):
        for start in range(0, len(where), 256):
            part = where[start : start + 256]
            squared = ((part[:, None] - measured[None]) ** 2).sum(axis=2)
            nearest[start : start + 256] = squared.min(axis=1)
    for _ in range(min(n, len(where))):
        score = doubt * (1 - np.exp(-nearest / _REACH**2))
        score[chosen] = -1.0
        best = int(np.argmax(score))
        chosen.append(best)
        nearest = np.minimum(nearest, ((where - where[best]) ** 2).sum(axis=1))
    return np.array(chosen, np.int64)


def _doubt(
    known: Rows, log_time: Floats, candidates: Rows, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Return the doubt of candidates, and where they and the known rows lie, in octaves."""
    from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415

    fits, _ = fit_forms(known, np.exp(log_time), seed=seed)
    kinds = fits["roofline-alpha"]
    places = []
    for rows in (known, candidates):
        predicted_s = predict_rows(rows, kinds)
        predicted_s = np.where(np.isnan(predicted_s), np.exp(np.median(log_time)), predicted_s)
        traits = _core.Launches(rows.work).traits(predicted_s).astype(float)
        kind = 4.0 * (rows.kind[:, None] == np.array(_core.KINDS)[None])  # kinds lie far apart
        places.append((np.log(predicted_s), np.hstack([traits, kind])))
    (log_known, at_known), (_, at_candidates) = places
    trees = ExtraTreesRegressor(
        _TREES, min_samples_leaf=2, bootstrap=True, max_features=0.5, random_state=seed
    )
    trees.fit(at_known, log_time - log_known)
    votes = np.stack([tree.predict(at_candidates) for tree in trees.estimators_])
    bounded = [*range(_core.BOUNDED_TRAITS - 1), *range(len(_core.TRAITS), at_known.shape[1])]
    return votes.std(axis=0), at_candidates[:, bounded], at_known[:, bounded]

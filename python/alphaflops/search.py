"""What a search does with costs: keep those within limits, and those that nothing beats.

>>> costs = compiled.evaluate(codes, ("time_s", "params"))
>>> fast = codes[within(costs, time_s=0.01, params=5e6)]
>>> front = codes[pareto({"time_s": costs["time_s"], "accuracy": guess}, maximise="accuracy")]
"""

from __future__ import annotations

import bisect
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops.errors import ModelError, UnsupportedError

__all__ = ["pareto", "within"]

#: [n] of a structured array, or [n] by name; `pareto` also takes [n, objectives].
Costs: TypeAlias = NDArray[Any] | Mapping[str, ArrayLike]
#: The most, or a pair of the least and the most; None where that end is open.
Limit: TypeAlias = float | Sequence[float | None] | None

_FEWEST, _MOST = 2, 4  # objectives
_EXACT = 2**53  # beyond, floats do not hold every integer
_SAMPLE = 1024  # rows of whose front
_PART = 4096  # rows that stay in cache
_SIEVE = 16  # at most so many are a first sieve


def pareto(costs: Costs, maximise: str | int | Sequence[str | int] = ()) -> NDArray[np.intp]:
    """Return which rows no other row beats; exact.

    A row beats another where it is as good in every objective and better in one. Rows that are
    equal do not beat each other: all stay.

    Parameters
    ----------
    costs
        Two to four objectives: [n, objectives], a structured array [n], or arrays [n] by name.
    maximise
        Objectives, by name or number, of which more is better; of all others less is.

    Returns
    -------
    array
        Row numbers in ascending order.

    Raises
    ------
    ModelError
        One objective or more than four, NaN (row and objective named), arrays of unequal lengths,
        an objective to maximise twice.
    UnsupportedError
        An objective to maximise that is not there.
    """
    named = _columns(costs)
    if not _FEWEST <= len(named) <= _MOST:
        raise ModelError(
            f"costs have {len(named)} objectives ({', '.join(named)}); give {_FEWEST} to {_MOST}"
        )
    columns = _stacked(named)
    given = (maximise,) if isinstance(maximise, (str, int, np.integer)) else maximise
    wanted = [_number(each, list(named)) for each in given]
    for number in wanted:
        if wanted.count(number) > 1:
            raise ModelError(f"maximise has {list(named)[number]} more than once; give it once")
        columns[number] *= -1.0
    rows = np.arange(columns.shape[1])
    if len(rows) > 4 * _SAMPLE:
        sample = columns[:, :: len(rows) // _SAMPLE]
        front = sample[:, _front(sample)]
        for best in front[:, :: -(-front.shape[1] // _SIEVE)].T:
            keep = ~_beaten(columns, best)
            rows, columns = rows[keep], columns[:, keep]
    kept: NDArray[np.intp] = np.sort(rows[_front(columns)])
    return kept


def within(costs: Costs, **limits: Limit) -> NDArray[np.bool_]:
    """Return which rows keep within limits.

    Parameters
    ----------
    costs
        A structured array [n], or arrays [n] by name.
    **limits
        By the name of a cost: the most that is allowed, or a pair of the least and the most, where
        None leaves an end open.

    Returns
    -------
    array [n] of bool

    Raises
    ------
    ModelError
        NaN in a cost that has a limit; what is no limit, or a least above its most; arrays of
        unequal lengths.
    UnsupportedError
        A limit to what is not among the costs.
    """
    named = _columns(costs)
    mask = np.ones(len(next(iter(named.values()))), np.bool_)
    for name, limit in limits.items():
        column = _checked(name, named[_name(name, list(named))])
        least, most = _ends(name, limit)
        if column.dtype.kind == "f":
            column = column.astype(np.float64)
        mask &= (column >= least) & (column <= most)
    return mask


def _ends(name: str, limit: Limit) -> tuple[float, float]:
    """Return the least and the most that a limit allows; integers stay as they are, exact."""
    given: Any = limit.tolist() if isinstance(limit, np.ndarray) else limit
    pair = given if isinstance(given, (tuple, list)) else (None, given)
    if len(pair) != 2:  # noqa: PLR2004
        raise ModelError(
            f"the limit of {name} has {len(pair)} values; give the most, or a pair (least, most)"
        )
    ends: list[float] = []
    for end, where_open in zip(pair, (-np.inf, np.inf), strict=True):
        if end is not None and not isinstance(end, numbers.Real):
            raise ModelError(f"the limit of {name} is {end!r:.60}; give a number, or None for none")
        number = where_open if end is None else end
        exact = int(number) if isinstance(number, numbers.Integral) else float(number)
        if exact != exact:  # noqa: PLR0124
            raise ModelError(f"the limit of {name} is NaN; give a number, or None for none")
        ends.append(exact)
    least, most = ends
    if least > most:
        raise ModelError(f"the limit of {name} is from {least} to {most}; give (least, most)")
    return least, most


def _columns(costs: Costs) -> dict[str, NDArray[Any]]:
    """Return arrays [n] by name; a number where they have none."""
    if isinstance(costs, Mapping):
        named = {name: np.asarray(column) for name, column in costs.items()}
    else:
        array = np.asarray(costs)
        if array.dtype.names is not None:
            named = {name: array[name] for name in array.dtype.names}
        elif array.ndim == 2:  # noqa: PLR2004
            named = {str(i): column for i, column in enumerate(array.T)}
        else:
            raise ModelError(
                f"costs have shape {list(array.shape)}; give [n, objectives], a structured array, "
                "or arrays by name"
            )
    if not named:
        raise ModelError("costs are empty; give at least one array")
    lengths = {name: column.shape for name, column in named.items()}
    for name, shape in lengths.items():
        if len(shape) == 2:  # noqa: PLR2004
            raise ModelError(
                f"{name} is of {shape[1]} profiles; give one of them, such as "
                f'{{"{name}": costs["{name}"][:, 0], ...}}'
            )
        if len(shape) != 1:
            raise ModelError(f"{name} has shape {list(shape)}; it must be [n]")
    if len(set(lengths.values())) > 1:
        raise ModelError(
            "costs are of different lengths: "
            + ", ".join(f"{name} of {shape[0]}" for name, shape in lengths.items())
        )
    return named


def _checked(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of which every row is a number."""
    if column.dtype.kind not in "iufb":
        raise ModelError(f"{name} is of {column.dtype}; costs must be numbers")
    if column.dtype.kind == "f" and np.isnan(column).any():
        raise ModelError(
            f"{name} is NaN in row {np.isnan(column).argmax()}; leave such rows out (energy_j is "
            "NaN where a profile has no power, alpha_flops where its form has no alpha)"
        )
    return column


def _stacked(named: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return a copy in which each objective has its order, as floats [objectives, n]."""
    columns = []
    for name, column in named.items():
        ordered = _checked(name, column).astype(np.float64)
        if column.dtype.kind in "iu" and not (np.abs(ordered) < _EXACT).all():
            _, ranks = np.unique(column, return_inverse=True)
            ordered = ranks.astype(np.float64)
        columns.append(ordered)
    return np.array(columns)


def _number(objective: Any, names: list[str]) -> int:
    if isinstance(objective, (int, np.integer)) and not isinstance(objective, bool):
        if not -len(names) <= objective < len(names):
            raise UnsupportedError(f"objective {objective} is not there; there are {len(names)}")
        return int(objective) % len(names)
    return names.index(_name(objective, names))


def _name(name: str, names: list[str]) -> str:
    if name not in names:
        raise UnsupportedError(f"{name!r} is not among the costs; there are {', '.join(names)}")
    return name


def _beaten(columns: NDArray[Any], by: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which columns [objectives, n] one [objectives] beats."""
    no_better = np.ones(columns.shape[1], np.bool_)
    worse = np.zeros(columns.shape[1], np.bool_)
    for column, value in zip(columns, by, strict=True):
        no_better &= column >= value
        worse |= column > value
    beaten: NDArray[np.bool_] = no_better & worse
    return beaten


def _front(columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which of [objectives, n] nothing beats, in any order."""
    return {2: _sweep, 3: _staircase, 4: _eliminate}[len(columns)](columns)


def _sweep(columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """Two objectives: in order of the first, each that is the best so far in the second."""
    order = np.lexsort((columns[1], columns[0]))
    first, second = columns[0][order], columns[1][order]
    best = np.minimum.accumulate(second)
    new = np.ones(len(order), np.bool_)
    new[1:] = best[1:] < best[:-1]
    # Those equal to the last new one stay with it.
    leader = np.flatnonzero(new)[np.cumsum(new) - 1]
    kept: NDArray[np.intp] = order[(second == best) & (first == first[leader])]
    return kept


def _staircase(columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """Three: in order of the first, what is under the stairs of the others' best so far."""
    order = np.lexsort(columns[::-1])
    keep = np.zeros(len(order), np.bool_)
    seconds: list[float] = []  # ascending
    thirds: list[float] = []  # descending: the least of those up to here
    before: tuple[float, ...] = ()
    for i, row in enumerate(zip(*columns[:, order].tolist(), strict=True)):
        _, second, third = row
        if row == before:
            keep[i] = keep[i - 1]
            continue
        before = row
        behind = bisect.bisect_right(seconds, second)
        if behind and thirds[behind - 1] <= third:
            continue
        keep[i] = True
        first = end = bisect.bisect_left(seconds, second)
        while end < len(thirds) and thirds[end] >= third:
            end += 1
        seconds[first:end], thirds[first:end] = [second], [third]
    kept: NDArray[np.intp] = order[keep]
    return kept


def _eliminate(columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """Four: the smallest sum of ranks is beaten by nothing; drop what it beats; again.

    Takes as many passes as there are different rows on the front, so first of parts that stay in
    cache, then of what is left of all.
    """
    n = columns.shape[1]
    if n > 2 * _PART:
        parts = np.array_split(np.arange(n), n // _PART)
        left_over = np.concatenate([part[_passes(columns[:, part])] for part in parts])
        if len(left_over) < n / 2:
            found: NDArray[np.intp] = left_over[_eliminate(columns[:, left_over])]
            return found
    return _passes(columns)


def _passes(columns: NDArray[np.float64]) -> NDArray[np.intp]:
    n = columns.shape[1]
    left = np.empty((len(columns), n), np.int32)
    for rank, column in zip(left, columns, strict=True):
        rank[:] = np.unique(column, return_inverse=True)[1]
    total = left.sum(axis=0, dtype=np.int64)
    rows = np.argsort(total, kind="stable")
    left, total = left[:, rows], total[rows]
    kept = []
    while len(rows):
        best = left[:, :1]
        beats_or_equals = (left >= best).all(axis=0)
        kept.append(rows[beats_or_equals & (total == total[0])])  # the same sum: equal
        stay = ~beats_or_equals
        rows, left, total = rows[stay], left[:, stay], total[stay]
    return np.concatenate(kept) if kept else rows

"""Which rows of a measurement table are held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alphaflops.errors import TableError
from alphaflops.table import Table
from alphaflops.table.columns import INTEGERS

FOLDS = 5
MOST_GROUPS = 64  # left out one by one; more are dealt into DEALT_FOLDS folds
DEALT_FOLDS = 20

Ids = NDArray[np.int64]


def fold_ids(
    table: Table, kinds: NDArray[np.str_], groups: Sequence[str] | None, seed: int
) -> tuple[Ids, str]:
    """Return the fold of every row and a description.

    Parameters
    ----------
    table
        Checked measurement table [n].
    kinds
        Operator kind of every row; each kind is spread over the folds.
    groups
        Columns; rows that agree in all of them are one group and never apart. Without, rows of one
        shape are.
    seed
        Of the dealing.

    Raises
    ------
    TableError
        A column is absent, or every row is in one group.
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        ids = _deal(numbered(table, ["op", *INTEGERS]), kinds, FOLDS, rng)
        return ids, f"{ids.max() + 1}-fold over shapes"
    missing = [name for name in groups if name not in (table.dtype.names or ())]
    if missing or not groups:
        raise TableError(
            f"table: group column{'s' * (len(missing) != 1)} "
            f"{', '.join(map(repr, missing)) or '(none named)'} not found; the table has "
            f"{', '.join(table.dtype.names or ())}"
        )
    group = numbered(table, groups)
    count = int(group.max()) + 1
    named = ", ".join(groups)
    if count == 1:
        raise TableError(f"table: one group only in {named}; leaving it out leaves no rows to fit")
    if count <= MOST_GROUPS:
        return group, f"leaving out each of {count} groups by {named}"
    ids = rng.permutation(count)[group] % DEALT_FOLDS
    return ids, f"leaving out {DEALT_FOLDS} folds of {count} groups by {named}"


def numbered(table: Table, names: Sequence[str]) -> Ids:
    """Return one number for each distinct combination of the columns' values."""
    number = np.zeros(len(table), np.int64)
    for name in names:
        _, inner = np.unique(table[name], return_inverse=True)
        _, number = np.unique(number * (inner.max() + 1) + inner, return_inverse=True)
    return number


def _deal(group: Ids, kinds: NDArray[np.str_], folds: int, rng: np.random.Generator) -> Ids:
    """Deal whole groups to folds, kind by kind."""
    ids = np.empty(len(group), np.int64)
    dealt = 0
    for kind in np.unique(kinds):
        of_kind = kinds == kind
        for member in rng.permutation(np.unique(group[of_kind])):
            ids[of_kind & (group == member)] = dealt % folds
            dealt += 1
    return ids

"""Fit a table, whose rows may be of several passes: each is fitted by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.errors import TableError, UnsupportedError
from alphaflops.fitting.checks import check_times
from alphaflops.fitting.forms import rows_of
from alphaflops.fitting.one_pass import fit_pass
from alphaflops.fitting.result import Fit
from alphaflops.fitting.reuse import fit_reuse, from_memory
from alphaflops.fitting.solve import FORMS
from alphaflops.table import PROVENANCE, Table, TableLike, check_table, work_table


def fit(
    table: TableLike,
    *,
    form: str | None = None,
    groups: str | Sequence[str] | None = None,
    name: str = "fitted",
    device: str | Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    device_facts: Mapping[str, float] | None = None,
    order: str | None = None,
    test: TableLike | None = None,
    seed: int = 0,
) -> Fit:
    """Fit every form to measured times and cross-validate it.

    Parameters
    ----------
    table
        Measurement table with ``time_s``; of one dtype, device and backend. Passes are fitted one
        by one. Rows with ``reuse_bytes`` tell what caches give, and nothing else; with `order`,
        nothing.
    form
        Keep this form, one of ``FORMS``, whatever the errors.
    groups
        Column, or columns, whose groups are left out together. Without, 5 folds over shapes.
    name, device, provenance
        Go into the profile.
    device_facts
        What is known of the device: ``sms`` (multiprocessors of a GPU) or ``threads`` (of a
        processor), in place of what the table says, spare the tiled form a guess; ``clock_ghz``,
        ``bandwidth_gbs`` and others are recorded in the profile.
    order
        Column that tells when a row was measured, or ``"row"`` where rows stand in that order. A
        drift along it is fitted and taken out: the profile is of the first position, and so are
        the times that errors are of. A test table with that column is corrected alike.
    test
        A table that takes no part in the fit, on which every form is tested.
    seed
        Of the dealing of rows to folds, of the rows that a search looks at where there are
        thousands, and of the trees of ``hybrid``.

    Raises
    ------
    TableError
        The table is malformed, mixes dtypes, devices or backends, or its times are in
        another unit than seconds.
    UnsupportedError
        No such form.

    Warns
    -----
    UserWarning
        Times of one shape contradict each other, or all are slower than any device. The profile's
        assumptions say so too, and which sizes are the same in every row.

    Notes
    -----
    The fit makes errors small in the logarithm, so a prediction is nearer a median than a mean:
    where times scatter widely, the sum over many layers comes out a little low. No factor corrects
    this.

    Source: Asperti, Evangelista, Marzolla, LOD 2021 (arXiv 2107.11949), for alpha.
    """
    if form is not None and form not in FORMS:
        raise UnsupportedError(f"form {form!r} is not known; use one of {', '.join(FORMS)}")
    table = check_table(table)
    held_out = None if test is None else check_table(test)
    _require_one_of_each(table)
    # A drift is taken out of the others' times only.
    reuse = None if order is not None else fit_reuse(table)
    table = _timed_from_memory(table)
    said = check_times(table, rows_of(work_table(table)))
    fits: dict[str, Fit] = {}
    for each in _core.PASSES:
        own = table[table["pass"] == each]
        if len(own) == 0:
            continue
        tested = None if held_out is None else held_out[held_out["pass"] == each]
        fits[each] = fit_pass(
            own,
            () if fits else said,
            form=form,
            groups=groups,
            name=name,
            device=device,
            provenance=provenance,
            device_facts=device_facts,
            order=order,
            test=None if tested is None or len(tested) == 0 else tested,
            seed=seed,
            weight_reuse=reuse if each == "forward" else None,
        )
    first, *others = fits
    return replace(fits[first], passes={each: fits[each] for each in others})


def _timed_from_memory(table: Table) -> Table:
    memory = from_memory(table)
    if not memory.any():
        raise TableError(
            "table: column 'reuse_bytes' is filled in every row; equations are fitted to rows "
            "whose weights come from memory: measure the same shapes with empty cells too"
        )
    return table[memory]


def _require_one_of_each(table: Table) -> None:
    here = [column for column in PROVENANCE if column in (table.dtype.names or ())]
    for column in ("dtype", "device", "backend", *here):
        values = np.unique(table[column]).tolist()
        if len(values) > 1:
            shown = ", ".join(repr(v) for v in values)
            raise TableError(
                f"table: column '{column}' mixes {shown}; a profile is of one {column}: fit each "
                "by itself"
            )

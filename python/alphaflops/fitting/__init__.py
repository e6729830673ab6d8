"""Fit the cost model to a measurement table, and say how good it is on rows it did not see.

Every form of ``solve.FORMS`` is fitted and cross-validated. The one kept has the least
cross-validated MAPE, or is simpler and no worse by more than one standard error of the difference.
docs/model.md has the equations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.errors import TableError, UnsupportedError
from alphaflops.fitting.checks import check_times
from alphaflops.fitting.conformal import Interval, covered_out_of_fold, intervals_by_kind
from alphaflops.fitting.drift import find_drift, suspicion
from alphaflops.fitting.folds import Ids, fold_ids
from alphaflops.fitting.forms import MULTIPLYING, Rows, rows_of
from alphaflops.fitting.kinds import KindFit, Parameters, predict_rows
from alphaflops.fitting.metrics import Errors, Floats, errors_of, evaluate, relative_errors
from alphaflops.fitting.profile import head_of, joined, profile_of
from alphaflops.fitting.rich import CORES, Facts, RichFit, known_facts
from alphaflops.fitting.solve import FORMS, best_constant, fit_forms, with_trees
from alphaflops.profiles import Profile
from alphaflops.table import PROVENANCE, Table, check_table, work_table

__all__ = ["FORMS", "Errors", "Fit", "FormFit", "HeldOut", "evaluate", "fit"]


@dataclass(frozen=True)
class FormFit:
    """One form, fitted to all rows.

    Attributes
    ----------
    parameters, standard_errors : dict of dict
        By kind, then by name as in the profile; SI units.
    cv : Errors
        On held-out rows.
    cv_by_kind : dict of Errors
        The same, kind by kind.
    profile : Profile
        With this form.
    test : Errors or None
        On the table given as `test`.
    """

    parameters: dict[str, Parameters]
    standard_errors: dict[str, Parameters]
    cv: Errors
    cv_by_kind: dict[str, Errors]
    profile: Profile
    test: Errors | None = None


@dataclass(frozen=True)
class HeldOut:
    """Rows beside their held-out predictions.

    Attributes
    ----------
    rows : Rows
        What the equations read of the table, one element a row.
    time_s : array [n]
        Seconds measured; where a drift was taken out, without it.
    predicted_s : dict of array [n]
        Seconds by form; NaN where a row could not be held out.
    """

    rows: Rows
    time_s: Floats
    predicted_s: dict[str, Floats]


@dataclass(frozen=True)
class Fit:
    """What ``fit`` returns.

    Attributes
    ----------
    selected : str
        The form kept.
    forms : dict of FormFit
        Every form, from the simplest to the richest.
    baseline : Errors
        Plain MACs times the one best constant, on the same held-out rows. Rows that do not multiply
        are not counted.
    validation : str
        What was held out.
    held_out : HeldOut
        Every row with its measured time and what each form predicted without having seen it.
    passes : dict of Fit
        By name, the fits of the table's other passes; all else here is of the first, forward
        where the table has it.
    """

    selected: str
    forms: dict[str, FormFit]
    baseline: Errors
    validation: str
    _rows: dict[str, int] = field(repr=False)
    held_out: HeldOut = field(repr=False)
    passes: dict[str, Fit] = field(default_factory=dict, repr=False)

    @property
    def profile(self) -> Profile:
        """The device profile, with the selected form; of every pass that was fitted."""
        others = {name: fit.forms[fit.selected] for name, fit in self.passes.items()}
        own = self.forms[self.selected].profile
        return joined(own, {name: form.profile for name, form in others.items()})

    @property
    def errors(self) -> Errors:
        """The selected form's cross-validated errors."""
        return self.forms[self.selected].cv

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The selected form's parameters, by kind."""
        return self.forms[self.selected].parameters

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; `profile` is the profile's content."""
        return {
            "selected": self.selected,
            "forms": {
                name: {
                    "parameters": form.parameters,
                    "cv": form.cv.to_json(),
                    "test": None if form.test is None else form.test.to_json(),
                }
                for name, form in self.forms.items()
            },
            "profile": self.profile.data,
        }

    def plot(self, path: str | os.PathLike[str] | None = None, *, form: str | None = None) -> Any:
        """Draw the selected form, or `form`: predicted against measured, residuals, alpha.

        Every point is a held-out prediction.

        Parameters
        ----------
        path
            Where the picture goes; its ending names the format. Without, none is written.
        form
            One of ``FORMS``.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            Without matplotlib.
        UnsupportedError
            No such form.
        IoError
            The picture cannot be written, or its ending names no format.
        """
        from alphaflops.fitting.plot import draw_fit  # noqa: PLC0415

        return draw_fit(self, path, form or self.selected)

    def __str__(self) -> str:
        from alphaflops.fitting.text import describe  # noqa: PLC0415

        return describe(self, self._rows)


def fit(
    table: Table,
    *,
    form: str | None = None,
    groups: str | Sequence[str] | None = None,
    name: str = "fitted",
    device: str | Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    device_facts: Mapping[str, float] | None = None,
    order: str | None = None,
    test: Table | None = None,
    seed: int = 0,
) -> Fit:
    """Fit every form to measured times and cross-validate it.

    Parameters
    ----------
    table
        Measurement table with ``time_s``; of one dtype, device and backend. Passes are fitted one
        by one.
    form
        Keep this form, one of ``FORMS``, whatever the errors.
    groups
        Column, or columns, whose groups are left out together. Without, 5 folds over shapes.
    name, device, provenance
        Go into the profile.
    device_facts
        What is known of the device: ``sms`` (multiprocessors of a GPU) or ``threads`` (of a
        processor) spare the tiled form a guess; ``clock_ghz``, ``bandwidth_gbs`` and others are
        recorded in the profile.
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
    _require_one_of_each(table)
    said = check_times(table, rows_of(work_table(table)))
    fits: dict[str, Fit] = {}
    for each in _core.PASSES:
        own = table[table["pass"] == each]
        if len(own) == 0:
            continue
        tested = None if test is None else test[check_table(test)["pass"] == each]
        fits[each] = _fit_pass(
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
        )
    first, *others = fits
    return replace(fits[first], passes={each: fits[each] for each in others})


def _fit_pass(
    table: Table,
    said: Sequence[str],
    *,
    form: str | None,
    groups: str | Sequence[str] | None,
    name: str,
    device: str | Mapping[str, Any] | None,
    provenance: Mapping[str, Any] | None,
    device_facts: Mapping[str, float] | None,
    order: str | None,
    test: Table | None,
    seed: int,
) -> Fit:
    rows, time_s = rows_of(work_table(table)), table["time_s"].copy()
    columns = (groups,) if isinstance(groups, str) else groups
    folds, validation = fold_ids(table, rows.kind, columns, seed)
    facts = known_facts(table, device_facts)
    note = ""
    if order is not None:
        drift = find_drift(table, order, lambda corrected: _best_s(rows, corrected, facts, seed))
        time_s, note = drift.corrected(time_s, drift.position(table)), str(drift)
        test = None if test is None else drift.taken_out_of(check_table(test))
    fits, start = fit_forms(rows, time_s, facts=facts, seed=seed)
    predicted, constant_s, cores = _cross_predict(rows, time_s, folds, start, seed)
    fits["hybrid"] = with_trees(fits, rows, time_s, cores, seed)
    selected = form or _select(predicted, time_s)
    note = note or suspicion(time_s, predicted[selected])
    notes = [*said, note] if note else [*said]
    head = head_of(table, name, device, provenance, validation) | {"said": notes}
    if device_facts:
        head["device"] = {**head["device"], **device_facts}
    forms = {}
    for key in FORMS:
        scored = _Scored(rows, time_s, predicted[key], folds)
        forms[key] = _form_fit(fits[key], scored, {**head, "form": key}, test)
    counts = {k: f.rows for k, f in fits[selected].items()}
    baseline, held_out = errors_of(constant_s, time_s), HeldOut(rows, time_s, predicted)
    return Fit(selected, forms, baseline, validation, counts, held_out)


def _best_s(rows: Rows, time_s: Floats, facts: Facts | None, seed: int) -> Floats:
    """Return what the richest form without trees predicts of the rows that it is fitted to."""
    fits, _ = fit_forms(rows, time_s, facts=facts, seed=seed)
    return predict_rows(rows, fits["tiled"])


class _Scored(NamedTuple):
    """Rows with their measured and held-out predicted seconds (NaN: none), and their folds."""

    rows: Rows
    time_s: Floats
    predicted_s: Floats
    folds: Ids


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


def _cross_predict(
    rows: Rows, time_s: Floats, folds: Ids, start: RichFit | None, seed: int
) -> tuple[dict[str, Floats], Floats, dict[str, str]]:
    """Return held-out seconds of every form, and of MACs times a constant; NaN where none.

    And by kind the form whose held-out predictions were better, which hybrid's trees stand on.
    """
    predicted = {form: np.full(len(rows), np.nan) for form in FORMS}
    constant_s = np.full(len(rows), np.nan)
    fits_without = []
    for fold in np.unique(folds):
        inside = folds == fold
        if inside.all():
            break
        fits, _ = fit_forms(rows[~inside], time_s[~inside], start=start, seed=seed)
        fits_without.append((inside, fits))
        for form, kinds in fits.items():
            predicted[form][inside] = predict_rows(rows[inside], kinds)
        multiplies = np.isin(rows.kind, MULTIPLYING)
        if (multiplies & ~inside).any():
            index = np.flatnonzero(inside & multiplies)
            constant_s[index] = best_constant(rows[~inside], time_s[~inside]) * rows.macs[index]
    cores = _better(predicted, rows, time_s)
    for inside, fits in fits_without:
        hybrid = with_trees(fits, rows[~inside], time_s[~inside], cores, seed)
        predicted["hybrid"][inside] = predict_rows(rows[inside], hybrid)
    return predicted, constant_s, cores


def _better(predicted: dict[str, Floats], rows: Rows, time_s: Floats) -> dict[str, str]:
    """Return by kind the form of ``CORES`` that errs less on held-out rows, where there are any."""
    found = {}
    for kind in np.unique(rows.kind):
        errors = {c: relative_errors(predicted[c], time_s)[rows.kind == kind] for c in CORES}
        known = ~np.isnan(errors["tiled"])
        if known.any():
            found[str(kind)] = min(CORES, key=lambda c: float(errors[c][known].mean()))
    return found


def _select(held_out: dict[str, Floats], time_s: Floats) -> str:
    errors = {form: relative_errors(predicted, time_s) for form, predicted in held_out.items()}
    scored = ~np.isnan(np.stack(list(errors.values()))).any(axis=0)
    if not scored.any():
        return FORMS[0]
    best = min(FORMS, key=lambda form: errors[form][scored].mean())
    for form in FORMS:
        worse = (errors[form] - errors[best])[scored]
        if worse.mean() <= worse.std() / np.sqrt(len(worse)):
            return form
    return best


def _form_fit(
    fits: dict[str, KindFit], held_out: _Scored, head: dict[str, Any], test: Table | None
) -> FormFit:
    time_s, predicted_s, all_kinds = held_out.time_s, held_out.predicted_s, held_out.rows.kind
    scored = ~np.isnan(predicted_s)
    residuals, kinds = np.log(time_s[scored] / predicted_s[scored]), all_kinds[scored]
    covered = np.zeros(len(time_s), bool)
    covered[scored] = covered_out_of_fold(residuals, kinds, held_out.folds[scored])
    cv_by_kind = {}
    for kind in np.unique(all_kinds):
        own = all_kinds == kind
        cv_by_kind[str(kind)] = errors_of(predicted_s[own], time_s[own], covered[own])
    intervals = _intervals(fits, residuals, kinds)
    profile = profile_of(head, fits, intervals, cv_by_kind, not_scored=int((~scored).sum()))
    return FormFit(
        parameters={kind: found.parameters for kind, found in fits.items()},
        standard_errors={kind: found.standard_errors for kind, found in fits.items()},
        cv=errors_of(predicted_s, time_s, covered),
        cv_by_kind=cv_by_kind,
        profile=profile,
        test=None if test is None else evaluate(profile, test),
    )


def _intervals(
    fits: dict[str, KindFit], residuals: Floats, kinds: NDArray[np.str_]
) -> dict[str, Interval]:
    """Return an interval for every fitted kind; none at all where nothing was held out."""
    if len(residuals) == 0:
        return {}
    intervals = intervals_by_kind(residuals, kinds)
    pooled = intervals_by_kind(residuals, np.full(len(residuals), "any"))["any"].widened()
    for kind, found in fits.items():
        if found.borrowed_from:
            intervals[kind] = intervals.get(found.borrowed_from, pooled).widened()
        intervals.setdefault(kind, pooled)
    return intervals

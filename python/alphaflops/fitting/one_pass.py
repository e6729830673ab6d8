"""Fit every form to the rows of one pass, cross-validate it, and keep one.

The one kept has the least cross-validated MAPE, or is simpler and no worse by more than one
standard error of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.fitting.conformal import Interval, covered_out_of_fold, intervals_by_kind
from alphaflops.fitting.drift import find_drift, suspicion
from alphaflops.fitting.folds import Ids, fold_ids
from alphaflops.fitting.forms import MULTIPLYING, Rows, rows_of
from alphaflops.fitting.fresh import may_be_fresh
from alphaflops.fitting.kinds import KindFit, predict_rows
from alphaflops.fitting.metrics import Floats, errors_of, evaluate, relative_errors
from alphaflops.fitting.profile import head_of, profile_of
from alphaflops.fitting.result import Fit, FormFit, HeldOut
from alphaflops.fitting.rich import CORES, Facts, RichFit, known_facts
from alphaflops.fitting.solve import FORMS, best_constant, fit_forms, with_trees
from alphaflops.fitting.steps import launches_steps, step_work
from alphaflops.table import Table, check_table

_OTHERS = ("macs", "published")


def fit_pass(
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
    weight_reuse: Mapping[str, Any] | None = None,
) -> Fit:
    """Return the fit of a table of one pass; `said` goes into its profile's assumptions.

    So does `weight_reuse` into that of each form but those that others published.

    Where steps are launches, one of them is fitted in place of a recurrence, and its share of time.
    """
    work, steps = step_work(table, per_step=launches_steps(table))
    rows, time_s = rows_of(work), table["time_s"] / steps
    columns = (groups,) if isinstance(groups, str) else groups
    folds, validation = fold_ids(table, rows.kind, columns, seed)
    facts = known_facts(table, device_facts)
    note, fresh = "", may_be_fresh(table)
    if order is not None:
        drift = find_drift(
            table,
            order,
            lambda corrected: _best_s(rows, corrected / steps, facts, seed, fresh) * steps,
        )
        time_s = drift.corrected(table["time_s"], drift.position(table)) / steps
        note = str(drift)
        test = None if test is None else drift.taken_out_of(check_table(test))
    fits, start = fit_forms(rows, time_s, facts=facts, seed=seed, fresh=fresh)
    predicted, constant_s, cores = _cross_predict(
        rows, time_s, folds, start, seed=seed, fresh=fresh
    )
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
        own = {**head, "form": key}
        if weight_reuse is not None and key not in _OTHERS:
            own["weight_reuse"] = weight_reuse
        forms[key] = _form_fit(fits[key], scored, own, test)
    counts = {k: f.rows for k, f in fits[selected].items()}
    baseline, held_out = errors_of(constant_s, time_s), HeldOut(rows, time_s, predicted)
    return Fit(selected, forms, baseline, validation, counts, held_out)


def _best_s(rows: Rows, time_s: Floats, facts: Facts | None, seed: int, fresh: bool) -> Floats:
    """Return what the richest form without trees predicts of the rows that it is fitted to."""
    fits, _ = fit_forms(rows, time_s, facts=facts, seed=seed, fresh=fresh)
    return predict_rows(rows, fits["tiled"])


class _Scored(NamedTuple):
    """Rows with their measured and held-out predicted seconds (NaN: none), and their folds."""

    rows: Rows
    time_s: Floats
    predicted_s: Floats
    folds: Ids


def _cross_predict(
    rows: Rows,
    time_s: Floats,
    folds: Ids,
    start: RichFit | None,
    *,
    seed: int,
    fresh: bool,
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
        fits, _ = fit_forms(rows[~inside], time_s[~inside], start=start, seed=seed, fresh=fresh)
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
    profile = profile_of(
        head, fits, intervals, cv_by_kind, operators=_operators(held_out.rows),
        not_scored=int((~scored).sum()),
    )  # fmt: skip
    return FormFit(
        parameters={kind: found.parameters for kind, found in fits.items()},
        standard_errors={kind: found.standard_errors for kind, found in fits.items()},
        cv=errors_of(predicted_s, time_s, covered),
        cv_by_kind=cv_by_kind,
        profile=profile,
        test=None if test is None else evaluate(profile, test),
    )


def _operators(rows: Rows) -> dict[str, list[str]]:
    """Return the operators by kind, but for rows of which it is not known."""
    found: dict[str, list[str]] = {}
    for kind in np.unique(rows.kind):
        names = np.unique(rows.op[rows.kind == kind]).tolist()
        if _core.OPERATORS[0] not in names:
            found[str(kind)] = names
    return found


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

"""A device profile from fitted parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
from scipy.stats import gmean

from alphaflops import _core
from alphaflops.fitting.conformal import Interval
from alphaflops.fitting.control import control_of
from alphaflops.fitting.forms import MOVING, STAND_INS
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.metrics import LEVEL, Errors
from alphaflops.fitting.steps import launches_steps, stepped_kinds
from alphaflops.profiles import Profile
from alphaflops.table import PROVENANCE, Table

#: Operators that do as much an element: where one was timed, the others count as timed.
_ALIKE = (
    {"add", "sub", "mul", "div", "maximum", "minimum"},
    {"relu", "relu6", "leaky_relu", "hardsigmoid", "hardswish", "clip", "abs", "neg"},
    {"conv1d", "conv2d"},
    {"conv_transpose1d", "conv_transpose2d"},
    {"avg_pool", "adaptive_avg_pool"},
    {"max_pool", "adaptive_max_pool"},
    {"mean", "sum"},
    {"concat", "copy", "pad", "roll", "slice", "stack"},  # runs of elements
    {"contiguous", "transpose"},
)


def with_alike(model: dict[str, Any], operators: Iterable[str]) -> dict[str, Any]:
    """Return the entry of a profile's ``models`` with the operators that were timed.

    Those that cost as much count as timed, and have the factor of those that were.
    """
    timed = set(operators)
    alike = [group for group in _ALIKE if timed & group]
    model = {**model, "operators": sorted(timed.union(*alike))}
    factors = model["parameters"].get("op_factors")
    if factors:
        typical = {
            op: gmean([factors[f] for f in group & timed]) for group in alike for op in group
        }
        parameters = {**model["parameters"], "op_factors": {**typical, **factors}}
        model["parameters"] = parameters
    return model


def head_of(
    table: Table,
    name: str,
    device: str | Mapping[str, Any] | None,
    provenance: Mapping[str, Any] | None,
    validation: str,
) -> dict[str, Any]:
    """Return what a profile says of its table, whatever the form."""
    if device is None:
        device = str(table["device"][0])
    described: dict[str, Any] = {"name": device} if isinstance(device, str) else dict(device)
    columns = table.dtype.names or ()
    if "clock_hz" in columns and not np.isnan(table["clock_hz"]).all():
        described.setdefault("clock_hz", float(np.nanmedian(table["clock_hz"])))
    head: dict[str, Any] = {
        "name": name,
        "dtype": str(table["dtype"][0]),
        "pass": str(table["pass"][0]),
        "per_step": launches_steps(table),
        "device": described if described.get("name") != "" else {},
        "provenance": {
            "backend": str(table["backend"][0]) or "unknown",
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "alphaflops_version": _core.__version__,
            "dtype": str(table["dtype"][0]),
            "points": len(table),
            "cross_validation": validation,
            **{
                n: cell for n in PROVENANCE if n in columns and (cell := table[n][0].item()) == cell
            },
            **(provenance or {}),
        },
    }
    if (control := control_of(table)) is not None:
        head["control"] = control
    if "energy_j" in columns and not np.isnan(table["energy_j"]).all():
        known = ~np.isnan(table["energy_j"])
        head["power_w"] = float(table["energy_j"][known].sum() / table["time_s"][known].sum())
    return head


def joined(profile: Profile, others: Mapping[str, Profile]) -> Profile:
    """Return a profile with the models of other passes, by the name of the pass, beside its own."""
    if not others:
        return profile
    data = profile.data
    for pass_, other in others.items():
        more, words = other.data, pass_.replace("_", " ")
        # Where no forward row was timed, a kind is reported as not priced in every pass.
        models = [m for m in more["models"] if m["kind"] not in data["out_of_scope"]]
        data["models"] += models
        for field in ("errors", "standard_errors"):
            data[field] |= {f"{kind}.{pass_}": value for kind, value in more[field].items()}
        data["assumptions"] += [f"{words}: {text}" for text in more["assumptions"]]
        data.setdefault("interval_level", more.get("interval_level"))
        data["provenance"].setdefault("passes", {})[pass_] = {
            name: more["provenance"][name] for name in ("points", "form")
        }
    return Profile.from_dict(data, origin=f"profile '{profile.name}'")


def profile_of(
    head: dict[str, Any],
    fits: dict[str, KindFit],
    intervals: dict[str, Interval],
    errors: dict[str, Errors],
    *,
    operators: Mapping[str, Iterable[str]],
    not_scored: int,
) -> Profile:
    """Make the profile of one form.

    Parameters
    ----------
    head
        As ``head_of`` returns it, with the form's name as ``form`` and what there is to say of its
        table as ``said``.
    fits, intervals, errors
        By kind.
    operators
        Those timed, by kind.
    not_scored
        Rows that could not be cross-validated.
    """
    models = []
    for kind, found in fits.items():
        model = found.model(kind, head["dtype"], head["pass"])
        if kind in stepped_kinds(head["per_step"]):
            model["per_step"] = True
        if kind in intervals:
            model["interval"] = intervals[kind]._asdict()
        if kind in operators:
            model = with_alike(model, operators[kind])
        models.append(model)
    assumptions = head["said"] + [found.note for found in fits.values() if found.note]
    if not_scored:
        assumptions.append(
            f"{not_scored} rows could not be cross-validated: no other row of their kind"
        )
    data = {
        "format": "alphaflops-profile",
        "version": _core.PROFILE_VERSION,
        **{k: v for k, v in head.items() if k not in ("pass", "per_step", "dtype", "form", "said")},
        "provenance": {**head["provenance"], "form": head["form"]},
        "models": models,
        "out_of_scope": [k for k in MOVING if k not in fits and STAND_INS.get(k) not in fits],
        "errors": {kind: error.to_json() for kind, error in errors.items()},
        "standard_errors": {
            kind: found.standard_errors for kind, found in fits.items() if found.standard_errors
        },
        "assumptions": assumptions,
    }
    if intervals:
        data["interval_level"] = LEVEL
    return Profile.from_dict(data, origin=f"profile '{head['name']}'")

"""The fitted cost of one kind of operator, and what it predicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.fitting.forms import Rows
from alphaflops.fitting.metrics import Floats

Parameters = dict[str, Any]


@dataclass(frozen=True)
class KindFit:
    """The fitted cost of one kind; parameters and standard errors are named as in a profile."""

    form: str  # of the equation: alpha, traffic, roofline-alpha or tiled
    parameters: Parameters
    standard_errors: Parameters
    rows: int
    note: str = ""  # why it is not what was asked for
    borrowed_from: str = ""
    domain: dict[str, list[float]] | None = None
    residual: dict[str, Any] | None = None
    fresh_memory: dict[str, Any] | None = None

    def with_residual(
        self, domain: dict[str, list[float]], residual: dict[str, Any] | None
    ) -> KindFit:
        """Return the fit with trees on top, or as it is where there are none."""
        return self if residual is None else replace(self, domain=domain, residual=residual)

    def model(self, kind: str, dtype: str, pass_: str = "forward") -> dict[str, Any]:
        """Return the entry of a profile's ``models``."""
        entry = {
            "kind": kind,
            "pass": pass_,
            "dtype": dtype,
            "form": self.form,
            "parameters": self.parameters,
        }
        if self.domain is not None:
            entry["domain"] = self.domain
        if self.residual is not None:
            entry["residual"] = self.residual
        if self.fresh_memory is not None:
            entry["fresh_memory"] = self.fresh_memory
        return entry

    def predict(self, rows: Rows) -> Floats:
        """Return the seconds of rows [n] of one kind and dtype."""
        return predict_rows(rows, {str(rows.kind[0]): self})


def predict_rows(rows: Rows, fits: Mapping[str, KindFit]) -> Floats:
    """Return what the core predicts of rows [n] of one dtype; NaN where no fit is of their kind."""
    if len(rows) == 0 or not fits:
        return np.full(len(rows), np.nan)
    dtype = _core.DTYPES[int(rows.work.dtype[0])]
    document = {
        "format": "alphaflops-profile",
        "version": _core.PROFILE_VERSION,
        "name": "fit",
        "provenance": {"backend": "none"},
        "models": [fit.model(kind, dtype) for kind, fit in fits.items()],
        "out_of_scope": [kind for kind in _core.KINDS[:-1] if kind not in fits],
    }
    profile = _core.Profile.parse(json.dumps(document))
    return _core.predict(rows.work, profile).time_s

"""What a fit returns: every form, its errors, and what it predicted of rows it did not see."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from alphaflops.fitting.forms import Rows
from alphaflops.fitting.kinds import Parameters
from alphaflops.fitting.metrics import Errors, Floats
from alphaflops.fitting.profile import joined
from alphaflops.profiles import Profile


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
        What the equations read of the table, one element a row; of a recurrence, of one step.
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

"""Fit the cost model to a measurement table, and say how good it is on rows it did not see.

Every form of ``solve.FORMS`` is fitted and cross-validated; one is kept. docs/model.md has the
equations.
"""

from alphaflops.fitting.metrics import Errors, evaluate
from alphaflops.fitting.passes import fit
from alphaflops.fitting.result import Fit, FormFit, HeldOut
from alphaflops.fitting.solve import FORMS

__all__ = ["FORMS", "Errors", "Fit", "FormFit", "HeldOut", "evaluate", "fit"]

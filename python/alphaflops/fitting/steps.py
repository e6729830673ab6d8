"""What is fitted by the step: calls, and recurrences whose steps are launches of their own."""

from __future__ import annotations

import numpy as np

from alphaflops import _core
from alphaflops._core import WorkTable
from alphaflops.fitting.metrics import Floats
from alphaflops.table import Table, work_table

__all__ = ["launches_steps", "step_work", "stepped_kinds"]


def launches_steps(table: Table) -> bool:
    """Tell whether what timed a table launches the steps of a recurrence one by one."""
    return len(table) > 0 and str(table["backend"][0]) == "cuda"


def step_work(table: Table, *, per_step: bool) -> tuple[WorkTable, Floats]:
    """Return what is fitted of each row, and how many times it is in the row."""
    work = work_table(table)
    stepped = np.isin(work.kind, [_core.KINDS.index(kind) for kind in stepped_kinds(per_step)])
    return work.one_step(recurrences=per_step), np.where(stepped, work.steps, 1.0)


def stepped_kinds(per_step: bool) -> tuple[str, ...]:
    """Return the kinds of which one step is fitted; `per_step`: so are recurrences."""
    return ("call", "recurrent", "lstm") if per_step else ("call",)

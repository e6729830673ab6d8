"""Recurrences by the step: what is fitted where each of their steps is a launch of its own."""

from __future__ import annotations

import numpy as np

from alphaflops._core import WorkTable
from alphaflops.fitting.metrics import Floats
from alphaflops.table import Table, work_table

__all__ = ["launches_steps", "step_work"]


def launches_steps(table: Table) -> bool:
    """Tell whether what timed a table launches the steps of a recurrence one by one."""
    return len(table) > 0 and str(table["backend"][0]) == "cuda"


def step_work(table: Table, *, per_step: bool) -> tuple[WorkTable, Floats]:
    """Return what is fitted of each row, and how many times it is in the row."""
    work = work_table(table)
    if not per_step:
        return work, np.ones(len(table))
    return work.one_step(), work.steps.astype(float)

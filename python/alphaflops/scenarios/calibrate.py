"""Calibrate a device: sample shapes, measure them, fit, save the profile."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from alphaflops.fitting import Fit, fit
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.device import describe_device
from alphaflops.measuring.journal import journal_for
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.scenarios.progress import Callback

POINTS = 300


def calibrate(
    *,
    name: str,
    output: Path | None = None,
    budget_s: float = 60.0,
    backend: str = "native",
    isa: str | None = None,
    seed: int = 0,
    form: str | None = None,
    progress: Callback | None = None,
) -> Fit:
    """Measure this device within `budget_s` seconds and fit its profile.

    With `output`, the profile is written there and raw samples beside it; an interrupted
    calibration with the same arguments resumes from them.
    """
    with nullcontext() if output is None else journal_for(output) as journal:
        table = measure(
            sample_shapes(POINTS, seed=seed),
            backend=backend,
            budget_s=budget_s,
            journal=journal,
            isa=isa,
            seed=seed,
            progress=progress,
        )
        device = describe_device(isa)
        how = {"compiler": device["compiler"], "isa": device["isa"], "budget_s": budget_s}
        result = fit(table, form=form, name=name, device=device, provenance=how, seed=seed)
        if output is not None:
            result.profile.save(output)
    return result

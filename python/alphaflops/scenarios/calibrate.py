"""Calibrate a device: sample shapes, measure them, fit, save the profile."""

from __future__ import annotations

from pathlib import Path

from alphaflops.campaign import measure
from alphaflops.device import describe_device
from alphaflops.fitting import Fit, fit
from alphaflops.sampling import sample_shapes
from alphaflops.scenarios.progress import Callback

POINTS = 300


def journal_beside(output: Path) -> Path:
    """Where the raw samples behind `output` are kept."""
    return output.with_name(output.name + ".samples.sqlite")


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
    table = measure(
        sample_shapes(POINTS, seed=seed),
        backend=backend,
        budget_s=budget_s,
        journal=None if output is None else journal_beside(output),
        isa=isa,
        seed=seed,
        progress=progress,
    )
    device = describe_device(isa)
    result = fit(table, form=form, name=name, device=device, seed=seed)
    if output is not None:
        result.profile.save(output)
    return result

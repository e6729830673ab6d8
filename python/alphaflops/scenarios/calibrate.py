"""Calibrate a device: sample shapes, measure them, fit, save the profile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from alphaflops import _core
from alphaflops.errors import UnsupportedError
from alphaflops.fitting import Fit, fit
from alphaflops.measuring.backends import Backend, named
from alphaflops.measuring.batches import in_batches, with_heavy, with_large
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.journal import journal_for
from alphaflops.measuring.reuse import with_reuse
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.standing import OnStanding
from alphaflops.scenarios.progress import Callback

#: Eager networks launch more kinds of operators, each of which needs rows of its own.
POINTS = {"fused": 300, "fused_relu": 300, "eager": 968}
#: More of them where transformers run in fused launches, as the cuda backend's do.
SEQUENCE_POINTS = 150
#: Operators of a step of training, of which each is timed in up to three passes.
TRAINING_POINTS = 400


def calibrate(
    *,
    name: str,
    output: Path | None = None,
    budget_s: float = 60.0,
    backend: str | Backend = "native",
    dtype: str | None = None,
    energy_s: float = 0.0,
    seed: int = 0,
    form: str | None = None,
    training: bool = False,
    optimizer: str = "sgd",
    progress: Callback | None = None,
    on_resume: Callable[[int], None] | None = None,
    on_standing: OnStanding | None = None,
) -> Fit:
    """Measure this device within `budget_s` seconds and fit its profile.

    `backend` is one of ``BACKENDS``, or what ``named`` gives where it has options; `dtype` is that
    of every shape, fp32 where left out. On a GPU shapes have batches. With `energy_s`, so many
    seconds more go to what it draws, as of ``measure``, and the profile has a mean power.

    With `training` it is of steps of training: operators are timed as there, in every pass, and
    `optimizer`, one of sgd, momentum, adam and adamw, beside them. Torch only.

    With `output`, the profile is written there and raw samples beside it; an interrupted
    calibration with the same arguments resumes from them, and `on_resume` is called with how many
    there are. `on_standing` is called as by ``measure``.
    """
    runs = named(backend) if isinstance(backend, str) else backend
    if training and runs.mode != "eager":
        raise UnsupportedError(
            f"the {runs.provenance()['backend']} backend does not train; use the torch backend"
        )
    sequences = runs.is_gpu and runs.mode != "eager"
    shapes = sample_shapes(
        TRAINING_POINTS if training else POINTS[runs.mode] + sequences * SEQUENCE_POINTS,
        seed=seed,
        mode=runs.mode,
        sequences=sequences,
        training=training,
        optimizer=optimizer,
    )
    if dtype is not None:
        if dtype not in _core.DTYPES:
            raise UnsupportedError(f"dtype {dtype!r} is not known; use {', '.join(_core.DTYPES)}")
        shapes["dtype"] = dtype
        if dtype == "int8":  # only what multiplies has kernels in it
            shapes = shapes[np.isin(shapes["op"], ["conv2d", "linear"])]
    if runs.is_gpu:
        shapes = in_batches(shapes, seed=seed)
    elif not training:  # whose rows have batches, share the budget in three passes, and err more
        shapes = with_large(shapes, seed=seed)
        if runs.mode == "eager":
            shapes = with_heavy(shapes, seed=seed)
    if runs.times_reuse and not training:
        shapes = with_reuse(shapes)
    with nullcontext() if output is None else journal_for(output) as journal:
        table = measure(
            shapes,
            backend=runs,
            budget_s=budget_s,
            journal=journal,
            energy_s=energy_s,
            seed=seed,
            progress=progress,
            on_resume=on_resume,
            on_standing=on_standing,
        )
        device = runs.device()
        origin = {"compiler": device["compiler"], "budget_s": budget_s}
        origin |= {"optimizer": optimizer} if training else {}
        result = fit(table, form=form, name=name, device=device, provenance=origin, seed=seed)
        if output is not None:
            result.profile.save(output)
    return result

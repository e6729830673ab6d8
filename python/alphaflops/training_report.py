"""What a report says of a step of training: totals by pass, peak memory, borrowed models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.calls import launches
from alphaflops.profiles import Profile


def passes(
    work: _core.WorkTable,
    bytes_read: NDArray[np.int64],
    bytes_written: NDArray[np.int64],
    time_s: NDArray[np.float64],
) -> dict[str, dict[str, float]]:
    """Sum the rows of every pass that has any; rows without a price add no seconds."""
    totals: dict[str, dict[str, float]] = {}
    for code, name in enumerate(_core.PASSES):
        rows = work.passes == code
        if rows.any():
            totals[name] = {
                "launches": int((rows & launches(work)).sum()),
                "macs": int(work.macs[rows].sum()),
                "flops": int(work.flops[rows].sum()),
                "bytes_read": int(bytes_read[rows].sum()),
                "bytes_written": int(bytes_written[rows].sum()),
                "time_s": float(np.nansum(time_s[rows])),
            }
    return totals


def assumptions(work: _core.WorkTable, profile: Profile, time_s: NDArray[np.float64]) -> list[str]:
    """Say what the profile prices as something else."""
    own = {(m["kind"], m.get("pass", "forward")) for m in profile.data["models"]}
    timed_in_training = bool(profile.data["provenance"].get("training"))
    if timed_in_training and not work.passes.any():
        return ["the profile was timed in training: inference takes a little less"]
    borrowed, some = [], []
    for code, name in enumerate(_core.PASSES[1:], 1):
        rows = (work.passes == code) & ~np.isnan(time_s)
        kinds = {_core.KINDS[kind] for kind in np.unique(work.kind[rows])}
        lacking = sorted(kind for kind in kinds if (kind, name) not in own)
        if lacking and not any(pass_ == name for _, pass_ in own):
            borrowed.append(_words(name))
        elif lacking:
            some.append(f"{_words(name)} rows of {', '.join(lacking)}")
    missing = [f"{' and '.join(borrowed)} rows"] * bool(borrowed) + some
    if not missing:
        return []
    return [
        f"the profile was not timed on {', nor on '.join(missing)}; they are priced as "
        "forward rows of the same kind with their own counts"
    ]


def describe(training: _core.Training) -> dict[str, Any]:
    """Return the options as plain Python values."""
    return {
        "optimizer": training.optimizer,
        "frozen": list(training.frozen),
        "checkpoint": list(training.checkpoint),
        "accumulate": training.accumulate,
        "recompute_attention": training.recompute_attention,
    }


def describe_memory(memory: _core.PeakMemory, graph: _core.Graph) -> dict[str, Any]:
    """Return the parts, in bytes, and where the peak is."""
    return {
        "total_bytes": memory.total_bytes,
        "parameters_bytes": memory.parameters_bytes,
        "constants_bytes": memory.constants_bytes,
        "gradients_bytes": memory.gradients_bytes,
        "optimizer_state_bytes": memory.optimizer_state_bytes,
        "activations_bytes": memory.activations_bytes,
        "layer": _layer(memory, graph),
        "during": memory.during,
    }


def memory_lines(
    memory: _core.PeakMemory, graph: _core.Graph, training: _core.Training | None
) -> list[str]:
    """Peak memory in a line, with its parts in a step of training."""
    line = f"memory {memory.total_bytes / 1e6:,.1f} MB at most"
    if (layer := _layer(memory, graph)) is not None:
        line += f", at {layer}"
    if training is None:
        return [line]
    parts = {
        "parameters": memory.parameters_bytes + memory.constants_bytes,
        "gradients": memory.gradients_bytes,
        "optimizer": memory.optimizer_state_bytes,
        "activations": memory.activations_bytes,
    }
    listed = ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in parts.items())
    return [f"{line} ({_words(memory.during)}): {listed} MB"]


def pass_lines(totals: dict[str, dict[str, float]]) -> list[str]:
    """One line a pass."""
    return [
        f"{_words(name)}: {total['time_s'] * 1e3:,.3f} ms, {total['macs'] / 1e6:,.1f} MMACs, "
        f"{total['flops'] / 1e6:,.1f} MFLOPs, {total['launches']} launches"
        for name, total in totals.items()
    ]


def _layer(memory: _core.PeakMemory, graph: _core.Graph) -> str | None:
    return graph.node_name(memory.node) if memory.node >= 0 else None


def _words(name: str) -> str:
    return name.replace("_", " ")

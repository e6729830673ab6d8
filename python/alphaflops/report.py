"""Price a graph on a device: totals and a row a launch."""

from __future__ import annotations

import json
import os
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core, calls, export, training_report
from alphaflops.errors import ModelError, UnsupportedError
from alphaflops.profiles import Profile, ProfileLike, as_profile
from alphaflops.totals import totals_of

if TYPE_CHECKING:
    import pandas as pd


class Report:
    """What a network costs on a device.

    Attributes
    ----------
    macs, flops, params : int
        Exact totals. `flops` is 2 * macs plus elementwise operations; the paper's "FLOPs" are
        `macs`.
    alpha_flops : float
        Sum of alpha * MACs, in MACs; NaN where a form without an alpha prices some.
    bytes_read, bytes_written : int
        Each tensor counted once a launch.
    time_s : float
        Sum over the priced rows, and what the profile has every network take on top.
    time_interval_s : tuple of float, or None
        At the profile's `interval_level`; None where the profile has no intervals.
    energy_j : float or None
        None where the profile has no power.
    reuse_bytes : float
        What a run touches between two uses of the same weights; inf: they come from memory.
    memory : PeakMemory
        The most bytes in use at once; tensors inside of a launch take none.
    extrapolated_share : float
        Share of `time_s` in launches half an octave or more outside of what was measured.
    layers : structured array
        One row a launch, in order; see `Report.COLUMNS`.
    """

    COLUMNS = (
        "name",
        "operator",
        "kind",
        "pass",
        "shape",
        "macs",
        "flops",
        "params",
        "bytes_read",
        "bytes_written",
        "alpha",
        "alpha_flops",
        "time_s",
        "time_lo_s",
        "time_hi_s",
        "share",
        "extrapolated",
    )

    def __init__(
        self,
        graph: _core.Graph,
        profile: Profile,
        mode: str | None = None,
        training: _core.Training | None = None,
        reuse_bytes: float | None = None,
    ) -> None:
        self.graph = graph
        self.profile = profile
        self.mode = mode or profile.mode
        self.training = training
        self.work = _core.lower(graph, self.mode, training)
        totals = totals_of(self.work, graph.name)
        if training is not None and reuse_bytes is not None:
            raise UnsupportedError("reuse_bytes is of inference; a step of training takes none")
        own = _core.reuse_distance_bytes(self.work)
        self.reuse_bytes = own if reuse_bytes is None else reuse_bytes
        self.prediction = _core.predict(self.work, profile.core, reuse_bytes=self.reuse_bytes)
        self._bytes_read, self._bytes_written = totals.bytes_read, totals.bytes_written
        self.macs, self.flops, self.params = totals.macs, totals.flops, totals.params
        self.bytes_read = int(self._bytes_read.sum())
        self.bytes_written = int(self._bytes_written.sum())
        self.alpha_flops = self.prediction.alpha_flops
        self.time_s = self.prediction.total_time_s

    def __reduce__(self) -> tuple[Any, ...]:
        reuse_bytes = self.reuse_bytes if self.training is None else None
        return Report, (self.graph, self.profile, self.mode, self.training, reuse_bytes)

    def __repr__(self) -> str:
        return export.one_line(self)

    def __str__(self) -> str:
        """Return the slowest layers as a table as wide as the terminal, and the totals."""
        return export.to_text(self)

    @property
    def time_interval_s(self) -> tuple[float, float] | None:
        """The interval of `time_s` at the profile's level; None where it has none."""
        if self.profile.core.interval_level == 0:
            return None
        return (self.prediction.total_time_lo_s, self.prediction.total_time_hi_s)

    @property
    def energy_j(self) -> float | None:
        """Power times time; None where the profile has no power."""
        power_w = self.profile.core.power_w
        return None if power_w is None else power_w * self.time_s

    @property
    def extrapolated_share(self) -> float:
        """Share of `time_s` in launches unlike all that was measured."""
        return self.prediction.extrapolated_time_s / self.time_s if self.time_s > 0 else 0.0

    @cached_property
    def memory(self) -> _core.PeakMemory:
        """The most bytes in use at once."""
        return _core.peak_memory(self.graph, self.mode, self.training)

    @cached_property
    def launches(self) -> dict[str, int]:
        """How many kernels each mode launches: fused as a runtime does, eager as PyTorch does."""
        of_mode = {m: _core.lower(self.graph, m, self.training) for m in ("fused", "eager")}
        return {
            m: int(calls.launches(w).sum()) for m, w in {**of_mode, self.mode: self.work}.items()
        }

    @cached_property
    def passes(self) -> dict[str, dict[str, float]]:
        """Totals of every pass that has rows: launches, macs, flops, bytes, priced seconds."""
        return training_report.passes(
            self.work, self._bytes_read, self._bytes_written, self.prediction.time_s
        )

    @cached_property
    def head(self) -> dict[str, Any]:
        """What the numbers refer to."""
        return {
            "network": self.graph.name,
            "batch": self.graph.batch,
            "dtype": self.graph.dtype,
            "device": self.profile.device_name,
            "profile": self.profile.name,
            "backend": self.profile.core.backend,
            "mode": self.mode,
            "training": None if self.training is None else training_report.describe(self.training),
        }

    @cached_property
    def layers(self) -> NDArray[Any]:
        """One row a launch; NaN times where the profile does not price the row."""
        leads = self.work.node.tolist()
        names = [calls.NAME if lead < 0 else self.graph.node_name(lead) for lead in leads]
        shapes = [
            calls.shape_of(self.work, row) if lead < 0 else _describe(self.graph, lead)
            for row, lead in enumerate(leads)
        ]
        time_s, alpha = self.prediction.time_s, self.prediction.alpha
        columns: dict[str, Any] = {
            "name": np.array(names, dtype=str),
            "operator": np.array([self._operator(row) for row in range(len(names))], dtype=str),
            "kind": np.array(_core.KINDS)[self.work.kind],
            "pass": np.array(_core.PASSES)[self.work.passes],
            "shape": np.array(shapes, dtype=str),
            "macs": self.work.macs,
            "flops": self.work.flops,
            "params": self.work.params,
            "bytes_read": self._bytes_read,
            "bytes_written": self._bytes_written,
            "alpha": alpha,
            "alpha_flops": alpha * self.work.macs,
            "time_s": time_s,
            "time_lo_s": self.prediction.time_lo_s,
            "time_hi_s": self.prediction.time_hi_s,
            "share": time_s / self.time_s if self.time_s > 0 else np.full(len(time_s), np.nan),
            "extrapolated": self.prediction.distance > _core.EXTRAPOLATED_BEYOND,
        }
        table = np.empty(len(names), dtype=[(c, columns[c].dtype) for c in self.COLUMNS])
        for column in self.COLUMNS:
            table[column] = columns[column]
        return table

    def _operator(self, row: int) -> str:
        """Operators of a launch, the optimizer's name where it is one of its steps."""
        if self.training is not None and self._pass(row) == "optimizer":
            return self.training.optimizer
        nodes = (int(self.work.node[row]), *self._folded[row])
        if nodes[0] < 0:
            return calls.OPERATOR
        return "+".join(self.graph.node_op(node) for node in nodes)

    @cached_property
    def _folded(self) -> list[list[int]]:
        return self.work.folded

    def _pass(self, row: int) -> str:
        return _core.PASSES[int(self._passes[row])]

    @cached_property
    def _passes(self) -> NDArray[np.uint8]:
        return self.work.passes

    @cached_property
    def unpriced(self) -> dict[str, int]:
        """Operators without a price, and how many launches of each there are."""
        counts: dict[str, int] = {}
        rows = np.isnan(self.prediction.time_s) & calls.launches(self.work)
        for row in np.flatnonzero(rows).tolist():
            name = self._pass(row)
            operator = self._operator(row).partition("+")[0]
            if name.endswith("gradient"):
                operator += f" {name.replace('_', ' ')}"
            counts[operator] = counts.get(operator, 0) + 1
        return counts

    @property
    def unpriced_share(self) -> float:
        """Share of the bytes moved that launches without a price move."""
        touched = self._bytes_read + self._bytes_written
        return float(touched[np.isnan(self.prediction.time_s)].sum() / max(1, touched.sum()))

    @cached_property
    def unknown(self) -> list[str]:
        """Operators that are not known and not counted, in alphabetical order."""
        rows = np.flatnonzero(self.work.kind == _core.KINDS.index("unknown"))
        return sorted({self.graph.node_op(int(self.work.node[row])) for row in rows})

    @property
    def notes(self) -> list[str]:
        """What a reader of the totals has to know."""
        notes = []
        if self.unpriced:
            listed = ", ".join(f"{count} {name}" for name, count in self.unpriced.items())
            notes.append(f"not priced: {listed} ({self.unpriced_share:.0%} of the bytes moved)")
        outside = self.prediction.distance[calls.launches(self.work)] > _core.EXTRAPOLATED_BEYOND
        if outside.any():
            notes.append(
                f"* extrapolated: {outside.sum()} of {len(outside)} launches, "
                f"{self.extrapolated_share:.0%} of the time, are unlike all that was measured"
            )
        if self.unknown:
            notes.append(f"not counted, operator unknown: {', '.join(self.unknown)}")
        if np.isnan(self.alpha_flops):
            notes.append("no α-FLOPs: the profile's form has no α; fit another with --form alpha")
        return notes + self.assumptions

    @property
    def assumptions(self) -> list[str]:
        """What was taken for granted, in sentences."""
        assumed = training_report.assumptions(self.work, self.profile, self.prediction.time_s)
        assumed += calls.assumptions(self.work, self.prediction.time_s)
        if self._stood_in_for:
            assumed.append(
                "priced as the nearest kind that the profile has: " + ", ".join(self._stood_in_for)
            )
        if self._untimed:
            assumed.append(
                "not timed, priced as a typical operator of the kind: " + ", ".join(self._untimed)
            )
        absent = set(_core.KINDS) - {_core.KINDS[k] for k in np.unique(self.work.kind)}
        own = (t for t in self.profile.assumptions if t.partition(":")[0] not in absent)
        return [*own, *assumed]

    @cached_property
    def _stood_in_for(self) -> list[str]:
        """Kinds of this network that the profile prices without a model of their own."""
        priced = np.unique(self.work.kind[~np.isnan(self.prediction.time_s)])
        return [kind for kind in np.array(_core.KINDS)[priced] if kind not in self.profile.kinds]

    @cached_property
    def _untimed(self) -> list[str]:
        """Operators that were not among those by which the profile knows their kind."""
        timed = self.profile.operators
        kinds = np.array(_core.KINDS)[self.work.kind].tolist()
        ops = np.array(_core.OPERATORS)[self.work.op].tolist()
        pairs = set(zip(kinds, ops, strict=True))
        untimed = {op for kind, op in pairs if op not in timed.get(kind, {op})}
        return sorted(untimed - {_core.OPERATORS[0]})

    def to_dict(self) -> dict[str, Any]:
        """Totals, head and layers as plain Python values; NaN becomes None."""
        return export.to_dict(self)

    def to_json(self) -> str:
        """One JSON object, as `to_dict`."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def to_csv(self) -> str:
        """Write the layers as CSV, a header line first; SI units, empty where there is no value."""
        return export.to_csv(self)

    def to_markdown(self) -> str:
        """Head, totals and layers as a GitHub-flavoured Markdown document."""
        return export.to_markdown(self)

    def to_html(self) -> str:
        """Head, totals and layers as one HTML fragment."""
        return export.to_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the layers as a data frame.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return export.to_pandas(self)

    @property
    def title(self) -> str:
        """Network, batch, dtype, device, profile, backend and mode in one line."""
        head = self.head
        return (
            f"{head['network']} · batch {head['batch']} · {head['dtype']} · on {head['device']} "
            f"(profile {head['profile']}, backend {head['backend']}, {head['mode']})"
            + ("" if self.training is None else f" · training, {self.training.optimizer}")
        )

    @property
    def summary(self) -> list[str]:
        """Totals and notes, a line each."""
        return export.summary(self)


def estimate(
    graph: _core.Graph | str | os.PathLike[str],
    profile: ProfileLike,
    *,
    mode: str | None = None,
    strict: bool = False,
    training: _core.Training | None = None,
    reuse_bytes: float | None = None,
) -> Report:
    """Price a network on a device.

    Parameters
    ----------
    graph : Graph, str or path
        A graph, or what `alphaflops.load` takes (an .onnx file, a zoo name).
    profile : Profile, str or path
        A profile, a shipped profile's name, or a path.
    mode : {"fused", "fused_relu", "eager"}, optional
        Which operators share a launch; the profile's own by default.
    strict : bool
        Raise instead of listing operators that are unknown or not priced.
    training : Training, optional
        Price a step of training instead of a forward pass.
    reuse_bytes : float, optional
        What is touched between two uses of the same weights; by default by the network itself, as
        it runs again and again, alone. inf where others run in between: they come from memory.

    Raises
    ------
    ModelError
        What is no graph; a torch module becomes one by `from_torch`.
    OverflowError
        A total exceeds 2^63 - 1.
    ProfileError
        The profile lacks a kind or dtype that the network needs.
    UnsupportedError
        Under `strict`: an operator has no price. A name in `training` is no layer's.
    """
    if isinstance(graph, (str, os.PathLike)):
        from alphaflops.frontends import load  # noqa: PLC0415

        graph = load(graph)
    if not isinstance(graph, _core.Graph):
        hint = "alphaflops.from_torch(module, args)" if hasattr(graph, "forward") else "a Graph"
        raise ModelError(
            f"a {type(graph).__name__} is no graph; give {hint}, an .onnx file or a name of the zoo"
        )
    if not isinstance(training, (_core.Training, NoneType)):
        raise ModelError(f"training is {training!r:.60}; give Training, such as Training('sgd')")
    profile = as_profile(profile)
    report = Report(graph, profile, mode, training, reuse_bytes)
    if strict and report.unpriced:
        listed = ", ".join(f"{name} ({count})" for name, count in report.unpriced.items())
        raise UnsupportedError(
            f"{graph.name}: profile '{profile.name}' has no price for: {listed}; "
            "calibrate a profile that has, or leave out strict"
        )
    return report


def _describe(graph: _core.Graph, node: int) -> str:
    """Input and output sizes without the batch, as 64x56x56 → 128x28x28."""
    ends = [graph.shape(t) for t in (*graph.node_inputs(node)[:1], node)]
    return " → ".join("x".join(map(str, shape[1:])) for shape in ends)

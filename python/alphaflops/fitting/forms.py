"""The equations of the cost model in NumPy, as functions of what a fit searches over.

They mirror cpp/src/cost.cpp, vectorised over rows, in the logarithm and with derivatives:

    alpha      time = (t0^p + (c alpha(S) macs)^p)^(1/p)
    traffic    time = (t0^p + (f (r bytes_read + w bytes_written + v taps))^p)^(1/p)
                      + b max(0, bytes - cache)

A fit searches over ln c, ln r, ln w, ln v, ln f, ln b, ln t0, logit beta, ln gamma and
logit((p - 1) / 7), which keeps every parameter where it makes sense. Source of alpha: Asperti,
Evangelista, Marzolla, LOD 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from alphaflops import _core
from alphaflops._core import WorkTable
from alphaflops.fitting.metrics import Floats

#: By weights of images and features, and whatever else multiplies.
WEIGHTED = ("conv_1x1", "conv_spatial", "conv_grouped", "linear")
MULTIPLYING = (
    *(*WEIGHTED, "conv_transposed", "conv_3d", "matmul", "attention", "recurrent", "lstm"),
)
MOVING = ("elementwise", "norm", "pool", "softmax", "copy", "reduce", "transcendental")
CALL = "call"  # launches nothing, and has one price

#: Whose price the core takes for a kind that moves data and was not timed (cpp/src/profile.cpp).
STAND_INS = {"reduce": "pool", "transcendental": "elementwise"}

#: beta and gamma of the paper, for kernels of one element and of more.
PUBLISHED = {
    "conv_1x1": (0.02, 0.99),
    "linear": (0.02, 0.99),
    "matmul": (0.02, 0.99),
    "attention": (0.02, 0.99),
    "recurrent": (0.02, 0.99),
    "lstm": (0.02, 0.99),
    "conv_spatial": (0.001, 0.56),
    "conv_grouped": (0.001, 0.56),
    "conv_transposed": (0.001, 0.56),
    "conv_3d": (0.001, 0.56),
}
PUBLISHED_SECONDS_PER_MAC = 0.0375e-3 / 1e6

MOST_SHARPNESS = 8.0
_TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class Rows:
    """What the equations read of a work table, one element a row."""

    kind: NDArray[np.str_]
    op: NDArray[np.str_]
    s: Floats  # batch * h_out * w_out
    s_k: Floats  # ln(kernel volume) + 1, at most s
    macs: Floats
    bytes_read: Floats
    bytes_written: Floats
    weight_bytes: Floats  # of those read
    work: WorkTable

    def __len__(self) -> int:
        return len(self.s)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        numbers = np.arange(len(self))[index]
        columns = {k: column[index] for k, column in self.__dict__.items() if k != "work"}
        return Rows(**columns, work=self.work.take(numbers))

    @property
    def taps(self) -> Floats:
        """What a pool counts as operations: an element of a window each."""
        return self.work.flops.astype(float)

    @property
    def bytes_moved(self) -> Floats:
        """Bytes read and written, weights included."""
        return self.bytes_read + self.bytes_written

    def bytes_beyond(self, cache_bytes: float) -> Floats:
        """Return what of them a cache does not hold."""
        beyond: Floats = np.maximum(self.bytes_moved - cache_bytes, 0.0)
        return beyond


def rows_of(work: WorkTable) -> Rows:
    """Return what the equations read of `work`."""
    size = np.array(_core.DTYPE_BYTES, float)[work.dtype]
    s = np.maximum(work.batch.astype(float) * work.spatial, 1.0)
    return Rows(
        kind=np.array(_core.KINDS)[work.kind],
        op=np.array(_core.OPERATORS)[work.op],
        s=s,
        s_k=np.minimum(np.log(work.kernel_volume) + 1, s),
        macs=work.macs.astype(float),
        bytes_read=size * (work.activations_read.astype(float) + work.weights_read),
        bytes_written=size * work.elements_written,
        weight_bytes=size * work.weights_read,
        work=work,
    )


def predict_s(rows: Rows, parameters: Mapping[str, Any]) -> Floats:
    """Return the seconds of rows of one kind; parameters are named as in a profile."""
    if "seconds_per_mac" in parameters:
        share = (rows.s_k + parameters["beta"] * (rows.s - rows.s_k)) / rows.s
        body = parameters["seconds_per_mac"] * share ** parameters["gamma"] * rows.macs
    else:
        body = (
            parameters["seconds_per_byte_read"] * rows.bytes_read
            + parameters["seconds_per_byte_written"] * rows.bytes_written
            + parameters.get("seconds_per_tap", 0.0) * rows.taps
        )
        factors = parameters.get("op_factors", {})
        body = body * np.array([factors.get(op, 1.0) for op in rows.op.tolist()])
    floor, p = parameters.get("floor_s", 0.0), parameters.get("sharpness", 1.0)
    big, small = np.maximum(body, floor), np.minimum(body, floor)
    ratio = np.divide(small, big, out=np.zeros_like(big), where=big > 0)
    joined: Floats = big * (1 + ratio**p) ** (1 / p)
    beyond_s = float(parameters.get("seconds_per_byte_beyond", 0.0))
    return joined + beyond_s * rows.bytes_beyond(parameters.get("cache_bytes", 0.0))


def alpha_model(theta: Floats, rows: Rows) -> tuple[Floats, Floats]:
    """Return ln seconds [n] and its derivatives [n, len(theta)].

    `theta` is (ln c), (ln c, logit beta, ln gamma), or with (ln t0, logit((p - 1) / 7)) after them.
    """
    log_body = theta[0] + np.log(rows.macs)
    columns = [np.ones(len(rows))]
    if len(theta) > 1:
        beta, gamma = _sigmoid(theta[1]), np.exp(theta[2])
        rest = (rows.s - rows.s_k) / rows.s
        share = rows.s_k / rows.s + beta * rest
        log_body = log_body + gamma * np.log(share)
        columns += [gamma * rest / share * beta * (1 - beta), gamma * np.log(share)]
    body = log_body, np.stack(columns, axis=1)
    return body if len(theta) <= 3 else _with_floor(*body, theta[3], theta[4])  # noqa: PLR2004


class Terms(NamedTuple):
    """What a form traffic has beyond rates, floor and sharpness."""

    taps: bool = False  # a price for each element of each window
    ops: tuple[str, ...] = ()  # that have a factor
    cache_bytes: float | None = None

    @property
    def rates(self) -> int:
        """Prices of bytes and taps."""
        return 2 + self.taps

    @property
    def factors(self) -> Floats:
        """What every ln f is made of [operators, free ones]: their sum is 0."""
        free = max(len(self.ops) - 1, 0)
        rows: Floats = np.concatenate([np.eye(free), -np.ones((len(self.ops) - free, free))])
        return rows

    @property
    def floor_at(self) -> int:
        """Where in a theta the floor stands: after the rates and the free factors."""
        return self.rates + int(self.factors.shape[1])

    @property
    def size(self) -> int:
        """The length of a theta."""
        return self.floor_at + 2 + (self.cache_bytes is not None)

    def nested(self, values: Mapping[str, float]) -> dict[str, Any]:
        """Return values by parameter with those of operators as a profile has them."""
        if not self.ops:
            return dict(values)
        others: dict[str, Any] = {k: v for k, v in values.items() if k not in self.ops}
        return others | {"op_factors": {op: values[op] for op in self.ops}}


NO_TERMS = Terms()


def traffic_model(theta: Floats, rows: Rows, terms: Terms = NO_TERMS) -> tuple[Floats, Floats]:
    """Return ln seconds [n] and its derivatives [n, len(theta)].

    `theta` is ln r, ln w, ln v where taps have a price, ln f of each operator but the last, ln t0,
    logit((p - 1) / 7), and ln b where there is a cache.
    """
    amounts = np.log([rows.bytes_read, rows.bytes_written, *([rows.taps] if terms.taps else [])])
    log_parts = theta[: terms.rates, None] + amounts
    log_moved = np.logaddexp.reduce(log_parts)
    of_parts = np.exp(log_parts - log_moved).T
    of_op = np.equal.outer(rows.op, np.array(terms.ops, np.str_)) @ terms.factors
    log_time, jacobian = _with_floor(
        log_moved + of_op @ theta[terms.rates : terms.floor_at],
        np.concatenate([of_parts, of_op], axis=1),
        *theta[terms.floor_at : terms.floor_at + 2],
    )
    if terms.cache_bytes is None:
        return log_time, jacobian
    log_beyond = theta[-1] + np.log(np.maximum(rows.bytes_beyond(terms.cache_bytes), _TINY))
    log_sum = np.logaddexp(log_time, log_beyond)
    of_time = np.exp(log_time - log_sum)[:, None]
    return log_sum, np.concatenate([of_time * jacobian, 1 - of_time], axis=1)


def _with_floor(
    log_body: Floats, jacobian: Floats, log_floor: float, logit_p: float
) -> tuple[Floats, Floats]:
    p = _sharpness(logit_p)
    log_time = np.logaddexp(p * log_floor, p * log_body) / p
    of_body = np.exp(p * (log_body - log_time))
    of_p = (of_body * log_body + (1 - of_body) * log_floor - log_time) / p
    slope = (p - 1) * (MOST_SHARPNESS - p) / (MOST_SHARPNESS - 1)  # dp / dlogit
    columns = [of_body[:, None] * jacobian, (1 - of_body)[:, None], (of_p * slope)[:, None]]
    return log_time, np.concatenate(columns, axis=1)


def alpha_parameters(theta: Floats) -> tuple[dict[str, float], Floats]:
    """Return the parameters that `theta` stands for, and their derivatives [parameters, theta].

    What is fixed comes last, and has none.
    """
    c = float(np.exp(theta[0]))
    if len(theta) == 1:
        return {"seconds_per_mac": c, "beta": 0.0, "gamma": 0.0}, np.array([[c]])
    beta, gamma = float(_sigmoid(theta[1])), float(np.exp(theta[2]))
    parameters = {"seconds_per_mac": c, "beta": beta, "gamma": gamma}
    slopes = np.diag([c, beta * (1 - beta), gamma])
    if len(theta) == 3:  # noqa: PLR2004
        return parameters, slopes
    floor, floor_slopes = _floor_parameters(theta[3:])
    return parameters | floor, block_diag(slopes, floor_slopes)


def traffic_parameters(theta: Floats, terms: Terms = NO_TERMS) -> tuple[dict[str, float], Floats]:
    """Return the parameters that `theta` stands for, and their derivatives [parameters, theta].

    Factors are by the name of the operator. The size of the cache comes last, and has no
    derivatives.
    """
    logs = block_diag(np.eye(terms.rates), terms.factors)
    prices = np.exp(logs @ theta[: terms.floor_at])
    names = ("seconds_per_byte_read", "seconds_per_byte_written", "seconds_per_tap")
    named = dict(zip((*names[: terms.rates], *terms.ops), prices.tolist(), strict=True))
    floor, floor_slopes = _floor_parameters(theta[terms.floor_at :])
    beyond = np.exp(theta[terms.floor_at + 2 :])
    if terms.cache_bytes is not None:
        floor |= {"seconds_per_byte_beyond": float(beyond[0]), "cache_bytes": terms.cache_bytes}
    slopes: Floats = block_diag(prices[:, None] * logs, floor_slopes, np.diag(beyond))
    return named | floor, slopes


def _floor_parameters(theta: Floats) -> tuple[dict[str, float], Floats]:
    floor, p = float(np.exp(theta[0])), _sharpness(theta[1])
    slope = (p - 1) * (MOST_SHARPNESS - p) / (MOST_SHARPNESS - 1)
    return {"floor_s": floor, "sharpness": p}, np.diag([floor, slope])


def _sharpness(logit: float) -> float:
    return 1 + (MOST_SHARPNESS - 1) * float(_sigmoid(logit))


def _sigmoid(x: float) -> float:
    return float(0.5 * (1 + np.tanh(0.5 * x)))  # without overflow

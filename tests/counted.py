"""Numbers that count what is done with them, and textbook algorithms over them.

An algorithm that runs on these numbers says how many operations it takes, with no formula. Arrays
of them are numpy's, of objects, so broadcasting is numpy's too. What is done once a row (dividing
by its length, a root) is not counted; it is done with plain floats.
"""

from __future__ import annotations

import math

import numpy as np

import alphaflops as af


class Number(float):
    """A float; operations on it are counted in `Number.flops`, those of `dot` in `macs` too."""

    flops = 0
    macs = 0

    @classmethod
    def reset(cls):
        cls.flops = cls.macs = 0


def counted(function):
    """One floating-point operation, whatever it computes."""

    def call(*operands):
        Number.flops += 1
        return Number(function(*map(float, operands)))

    return call


for name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "neg"):
    setattr(Number, f"__{name}__", counted(getattr(float, f"__{name}__")))

exp, log, sqrt, tanh, erf = map(counted, (math.exp, math.log, math.sqrt, math.tanh, math.erf))
maximum, minimum = counted(max), counted(min)


def numbers(*shape):
    """An array of them, with values that differ."""
    array = np.empty(shape, object)
    for i in range(array.size):
        array.flat[i] = Number(((i * 7919) % 101 + 1) / 64)
    return array


def total(values):
    result = Number(0)
    for value in values:
        result = result + value
    return result


def largest(values):
    result = Number(-math.inf)
    for value in values:
        result = maximum(result, value)
    return result


def dot(a, b):
    """Multiply and accumulate, from zero."""
    result = Number(0)
    for x, y in zip(a, b, strict=True):
        result = result + x * y
        Number.macs += 1
    return result


def product(a, b):
    """Matrices a [m, k] and b [k, n]."""
    out = np.empty((a.shape[0], b.shape[1]), object)
    for i, j in np.ndindex(*out.shape):
        out[i, j] = dot(a[i], b[:, j])
    return out


def each(function, array):
    return np.frompyfunc(function, 1, 1)(array)


def sigmoid(x):
    return 1.0 / (exp(-x) + 1.0)


def softmax(row):
    """Over a vector."""
    top = largest(row)
    powers = [exp(value - top) for value in row]
    scale = total(powers)
    return np.array([power / scale for power in powers], object)


def normalised(row, scale, shift, centred=True):
    """A vector less its mean (where `centred`) over its deviation; scale, shift may be None."""
    if centred:
        mean = float(total(row)) / len(row)
        row = row - mean
    squares = total(value * value for value in row)
    deviation = math.sqrt(float(squares) / len(row) + 1e-5)
    row = row / deviation
    if scale is not None:
        row = row * scale
    return row if shift is None else row + shift


def attention(q, k, v, mask, causal):
    """One head: q [length, depth], k [kv_length, depth], v [kv_length, v_depth]."""
    length, depth = q.shape
    out = np.empty((length, v.shape[1]), object)
    for i in range(length):
        seen = max(0, len(k) - length + i + 1) if causal else len(k)
        scores = [dot(q[i], k[j]) * (1 / math.sqrt(depth)) for j in range(seen)]
        if mask is not None:
            scores = [score + mask[i, j] for j, score in enumerate(scores)]
        shares = softmax(scores) if scores else []
        for j in range(v.shape[1]):
            out[i, j] = dot(shares, v[:seen, j])
    return out


def recurrence(cell, x, hidden, projection=0, bias=True):
    """One layer in one direction over x [length, features], from a state of zeros."""
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
    state = projection or hidden
    from_x, from_h = numbers(x.shape[1], gates * hidden), numbers(state, gates * hidden)
    biases = [numbers(gates * hidden) for _ in range(2)] if bias else []
    to_state = numbers(hidden, projection) if projection else None
    h, c = np.full(state, Number(0), object), np.full(hidden, Number(0), object)
    parameters = sum(
        p.size for p in (from_x, from_h, *biases, *([] if to_state is None else [to_state]))
    )
    out = []
    for step in x:
        a, b = product(step[None], from_x)[0], product(h[None], from_h)[0]
        if bias:
            a, b = a + biases[0], b + biases[1]
        a, b = np.split(a, gates), np.split(b, gates)
        if cell == "rnn":
            h = each(tanh, a[0] + b[0])
        elif cell == "lstm":
            i, f, o = (each(sigmoid, a[n] + b[n]) for n in (0, 1, 3))
            c = f * c + i * each(tanh, a[2] + b[2])
            h = o * each(tanh, c)
            if to_state is not None:
                h = product(h[None], to_state)[0]
        else:
            r, z = (each(sigmoid, a[n] + b[n]) for n in (0, 1))
            n = each(tanh, a[2] + r * b[2])
            h = (1.0 - z) * n + z * h
        out.append(h)
    return np.array(out, object), parameters


def new(*shape):
    """A graph, its input and numbers of that shape; nothing is counted yet."""
    graph = af.Graph()
    Number.reset()
    return graph, graph.input(shape), numbers(*shape)


def agrees(graph, *, read, weights=0, params=0, written):
    """Assert that the last node counts what was done since `new`, and these sizes."""
    work = af.lower(graph, "eager")
    expected = {
        "macs": Number.macs,
        "flops": Number.flops,
        "params": params,
        "activations_read": read,
        "weights_read": weights,
        "elements_written": written,
    }
    assert {name: int(getattr(work, name)[-1]) for name in expected} == expected

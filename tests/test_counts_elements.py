"""Counts of the operators that do a few operations an element, as `test_counts` has the others."""

import math

import numpy as np
import pytest
from counted import (
    agrees,
    counted,
    each,
    erf,
    exp,
    largest,
    log,
    maximum,
    minimum,
    new,
    numbers,
    sigmoid,
    softmax,
    sqrt,
    tanh,
    total,
)

from alphaflops import _core


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (2, 7)])
def test_softmax(rows, columns):
    graph, x, values = new(rows, columns)
    graph.softmax(x)
    for row in values:
        softmax(row)
    agrees(graph, read=values.size, written=values.size)


def clamped(x, low, high):
    return minimum(maximum(x, low), high)


def gelu_tanh(x):
    inner = 0.7978845608028654 * (x + 0.044715 * (x * x * x))
    return x * 0.5 * (tanh(inner) + 1.0)


ACTIVATIONS = {
    "relu": lambda x: maximum(x, 0.0),
    "relu6": lambda x: clamped(x, 0.0, 6.0),
    "hardsigmoid": lambda x: clamped(x * (1 / 6) + 0.5, 0.0, 1.0),
    "hardswish": lambda x: x * clamped(x * (1 / 6) + 0.5, 0.0, 1.0),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "tanh": tanh,
    "gelu": lambda x: x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    graph, x, values = new(2, 3)
    graph.activation(x, name)
    each(ACTIVATIONS[name], values)
    agrees(graph, read=6, written=6)


def lerp(a, b, t=0.25):
    return a + (b - a) * t


def bilinear(x):
    return lerp(lerp(x, x), lerp(x, x))


def cubic(a, b, c, d):
    return a * 0.1 + b * 0.4 + c * 0.4 + d * 0.1


one = counted(lambda *operands: operands[0])  # an operation that counts as one, whatever it is

# What one element takes. Those with a condition are of its costlier side.
UNARY = {
    "abs": one,
    "ceil": one,
    "clip": lambda x: clamped(x, -1.0, 1.0),
    "cos": one,
    "dequantize": lambda x: (x - 3.0) * 0.1,
    "elu": lambda x: (exp(x) - 1.0) * 0.5,
    "erf": erf,
    "exp": exp,
    "floor": one,
    "gelu_tanh": gelu_tanh,
    "interpolate_bicubic": lambda x: cubic(*(cubic(x, x, x, x) for _ in range(4))),
    "interpolate_bilinear": bilinear,
    "interpolate_linear": lambda x: lerp(x, x),
    "interpolate_trilinear": lambda x: lerp(bilinear(x), bilinear(x)),
    "leaky_relu": lambda x: maximum(x, x * 0.1),
    "log": log,
    "mish": lambda x: x * tanh(log(exp(x) + 1.0)),
    "neg": lambda x: -x,
    "quantize": lambda x: clamped(one(x / 0.1) + 3.0, 0.0, 255.0),
    "reciprocal": lambda x: 1.0 / x,
    "round": one,
    "rsqrt": lambda x: 1.0 / sqrt(x),
    "selu": lambda x: (exp(x) - 1.0) * 1.67 * 1.05,
    "sign": one,
    "sin": one,
    "softplus": lambda x: log(exp(x) + 1.0),
    "sqrt": sqrt,
}
BINARY = {
    "add": lambda a, b: a + b,
    "compare": one,
    "div": lambda a, b: a / b,
    "dropout": lambda x, keeps: x * keeps * 2.0,
    "logical": one,
    "masked_fill": one,
    "maximum": maximum,
    "minimum": minimum,
    "mul": lambda a, b: a * b,
    "pow": one,
    "prelu": lambda x, slope: maximum(x, x * slope),
    "sub": lambda a, b: a - b,
    "where": one,
}


def logsumexp(row):
    top = largest(row)
    return log(total(exp(x - top) for x in row)) + top


def log_softmax(row):
    top = largest(row)
    centred = [x - top for x in row]
    scale = math.log(total(exp(x) for x in centred))
    return [x - scale for x in centred]


def variance(row):
    mean = total(row) / len(row)
    centred = [x - mean for x in row]
    return total(x * x for x in centred) / len(row)


# Sorting counts as one look at every element, however it is done.
REDUCTIONS = {
    "argmax": largest,
    "cumsum": total,
    "logsumexp": logsumexp,
    "max": largest,
    "mean": lambda row: total(row) / len(row),
    "min": lambda row: each(lambda x: minimum(x, 0.0), row),
    "norm": lambda row: sqrt(total(x * x for x in row)),
    "prod": lambda row: each(lambda x: x * 1.0, row),
    "sort": lambda row: each(one, row),
    "sum": total,
    "topk": lambda row: each(one, row),
    "var": variance,
}
OF_A_SHAPE = {"cumsum", "sort"}  # as the input's, where reductions drop an axis
COPIES = {
    *("cast", "contiguous", "copy", "fill", "flip", "gather", "interpolate_nearest", "pad"),
    *("pixel_shuffle", "repeat", "roll", "scatter", "slice", "stack", "transpose", "unfold"),
}


def test_every_element_operator_has_an_oracle():
    assert {*UNARY, *BINARY, *REDUCTIONS, *COPIES, "log_softmax"} == set(_core.ELEMENT_OPS)


@pytest.mark.parametrize("name", UNARY)
def test_elements_of_one_operand(name):
    graph, x, values = new(2, 3)
    graph.element([x], name)
    each(UNARY[name], values)
    agrees(graph, read=6, written=6)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("other", [(2, 3), (3,), (2, 1), (4, 1, 3)])
def test_elements_of_two_operands_broadcast(name, other):
    graph, x, values = new(2, 3)
    second = numbers(*other)
    graph.element([x, graph.input(other)], name)
    result = np.frompyfunc(BINARY[name], 2, 1)(values, second)
    agrees(graph, read=6 + second.size, written=result.size)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    graph, x, values = new(2, 3, 4)
    if name in OF_A_SHAPE:
        graph.element([x], name, values.shape)
    else:
        graph.reduce(x, name, [-1])
    for row in values.reshape(-1, 4):
        REDUCTIONS[name](row)
    agrees(graph, read=24, written=24 if name in OF_A_SHAPE else 6)


def test_log_softmax():
    graph, x, values = new(3, 4)
    graph.element([x], "log_softmax")
    for row in values:
        log_softmax(row)
    agrees(graph, read=12, written=12)


@pytest.mark.parametrize("name", sorted(COPIES))
@pytest.mark.parametrize("shape", [(2, 3), (1, 2), (4, 6)])
def test_copies_read_what_they_write_and_no_more_than_there_is(name, shape):
    graph, x, values = new(2, 3)
    graph.element([x], name, shape)
    written = math.prod(shape)
    agrees(graph, read=min(values.size, written), written=written)


@pytest.mark.parametrize("gate", [(2, 3, 4, 5), (2, 3, 1, 1)])
def test_add_and_multiply(gate):
    graph, x, values = new(2, 3, 4, 5)
    other = numbers(*gate)
    graph.mul(x, graph.input(gate))
    assert (values * other).shape == values.shape
    agrees(graph, read=values.size + other.size, written=values.size)


def test_concat_copies():
    graph, x, values = new(2, 3, 4)
    graph.concat([x, graph.input((2, 2, 4))])
    written = np.concatenate([values, numbers(2, 2, 4)], 1).size
    agrees(graph, read=written, written=written)

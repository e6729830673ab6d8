"""The tables of `docs/operators.md` that follow from the core; run to write them anew."""

from pathlib import Path

import numpy as np

import alphaflops as af
from alphaflops import _core

ACTIVATIONS = ("gelu", "hardsigmoid", "hardswish", "relu", "relu6", "sigmoid", "silu", "tanh")
PAGE = Path(__file__).parents[1] / "docs" / "operators.md"


def flops(make, shape=(10, 10, 10), out=None):
    graph = af.Graph()
    make(graph, graph.input(shape), out)
    work = af.lower(graph, "eager")
    return int(work.flops[-1]), np.array(_core.KINDS)[work.kind[-1]]


def activations():
    lines = ["| activation | flops |", "| --- | --- |"]
    for name in ACTIVATIONS:
        count, _ = flops(lambda g, x, _, name=name: g.activation(x, name))
        lines.append(f"| {name} | {count // 1000} n |")
    return lines


def elements():
    """a and b from two counts: of as many elements out as in, and of one element out."""
    lines = ["| operator | kind | a | b |", "| --- | --- | --- | --- |"]
    for name in _core.ELEMENT_OPS:

        def make(g, x, out, name=name):
            return g.element([x], name, out)

        same, kind = flops(make, out=[10, 10, 10])
        single, _ = flops(make, out=[1])
        a = (same - single) // 999
        b = (single - a) // 1000
        assert same == a * 1000 + b * 1000
        lines.append(f"| {name} | {kind} | {a} | {b} |")
    return lines


def with_tables(text):
    """The page with both tables as the core has them."""
    for mark, lines in (("activations", activations()), ("elements", elements())):
        head, rest = text.split(f"<!-- {mark} -->\n", 1)
        after = rest.lstrip("\n").splitlines(keepends=True)
        while after and after[0].startswith("|"):
            after.pop(0)
        tail = "".join(after).lstrip("\n")
        text = f"{head}<!-- {mark} -->\n\n" + "\n".join(lines) + "\n\n" + tail
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))

"""ONNX operators that multiply matrices: Gemm, MatMul, Einsum, recurrences."""

from __future__ import annotations

import math

from alphaflops.frontends.onnx_call import Call, Handler

__all__ = ["HANDLERS", "MICROSOFT", "product_of"]

_MATRIX = 2


def _linear(call: Call, weight: int, inputs: int, outputs: int, bias: int | None = None) -> int:
    shape = call.shape(0)
    if not shape or shape[-1] != inputs:
        raise call.fail(f"the weight takes {inputs} features; the input is {list(shape)}")
    shapes = [(1,) * ones + (outputs,) for ones in range(max(len(shape), 1))]
    return call.layer(
        lambda biased: call.graph.linear(call.tensor(0), outputs, biased, call.name),
        weight,
        bias,
        shapes,
    )


def _gemm(call: Call) -> int | None:
    call.need(2)
    a, b = call.shape(0), call.shape(1)
    if len(a) != _MATRIX or len(b) != _MATRIX:
        raise call.fail(f"the operands have shapes {list(a)} and {list(b)}; two axes are needed")
    if call.integer("transA", 0):
        a = a[::-1]
    if call.integer("transB", 0):
        b = b[::-1]
    if call.is_constant(1) and not call.integer("transA", 0):
        outputs = b[1]
        if not call.has(2) or (call.is_constant(2) and call.shape(2) in ((outputs,), (1, outputs))):
            return _linear(call, 1, b[0], outputs, 2)
    # A product reads a transposed operand in place.
    x, y = call.part(call.tensor(0), a), call.part(call.tensor(1), b)
    made = call.graph.matmul(x, y, call.name)
    if not call.has(2) or call.is_number(2):
        return made
    shape = call.graph.shape(made)
    return call.graph.element([made, call.tensor(2)], "add", shape, f"{call.name}.add")


def product_of(call: Call, first: int, second: int) -> int:
    """Add a product of two inputs, as numpy.matmul has it."""
    a, b = call.shape(first), call.shape(second)
    if first == 0 and len(b) == _MATRIX and call.is_constant(second) and len(a) > 1:
        return _linear(call, second, *b)
    if not a or not b:
        raise call.fail(f"the operands have shapes {list(a)} and {list(b)}; both need an axis")
    x, y = call.tensor(first), call.tensor(second)
    if len(a) == 1:
        x = call.view(x, [1, *a])
    if len(b) == 1:
        y = call.view(y, [*b, 1])
    made = call.graph.matmul(x, y, call.name)
    shape = list(call.graph.shape(made))
    if len(b) == 1:
        shape.pop(-1)
    if len(a) == 1:
        shape.pop(-1 if len(b) == 1 else -2)
    return call.view(made, shape)


def _matmul(call: Call) -> int | None:
    call.need(2)
    return product_of(call, 0, 1)


def _fused_matmul(call: Call) -> int | None:
    """Multiply operands of which either may be transposed."""
    call.need(2)
    x, y = (call.part(call.tensor(i), shape) for i, shape in enumerate(_sides(call)))
    return call.graph.matmul(x, y, call.name)


def _sides(call: Call) -> list[list[int]]:
    """Return the operands' shapes, transposed where asked for."""
    shapes = []
    for i, name in enumerate(("transA", "transB")):
        shape = list(call.shape(i))
        if call.integer(name, 0) and len(shape) >= _MATRIX:
            shape[-2:] = shape[:-3:-1]
        shapes.append(shape)
    return shapes


# --- Einsum ----------------------------------------------------------------------------------


def _labels(call: Call, terms: str, rank: int) -> list[str]:
    """Return one label an axis; those of an ellipsis are numbered from the last."""
    named = len(terms.replace("...", ""))
    if "..." not in terms:
        found = list(terms)
    else:
        before, _, after = terms.partition("...")
        found = [*before, *(f"...{i}" for i in range(rank - named, 0, -1)), *after]
    if len(found) != rank or len(set(found)) != rank:
        raise call.fail(f"'{terms}' does not name {rank} axes once each")
    return found


def _einsum(call: Call) -> int | None:
    """Contract operands from the first to the last, each pair as one batched product."""
    call.need(1)
    equation = call.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(call.inputs):
        raise call.fail(f"equation '{equation}' is not for {len(call.inputs)} operands")
    if any(len(set(t.replace(".", ""))) != len(t.replace(".", "")) for t in terms):
        return None  # a diagonal
    sizes: dict[str, int] = {}
    operands: list[tuple[int, list[str]]] = []
    for i, term in enumerate(terms):
        labels = _labels(call, term, len(call.shape(i)))
        for label, size in zip(labels, call.shape(i), strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
        operands.append((i, labels))
    made = call.made()
    if arrow:
        out = _labels(call, right, len(made))
    else:
        everything = [label for _, labels in operands for label in labels]
        dots = sorted({x for x in everything if x[0] == "."}, reverse=True)
        once = {x for x in everything if everything.count(x) == 1}
        out = [*dots, *sorted(once.difference(dots))]
    x, have = call.tensor(0), operands[0][1]
    for at, (i, labels) in enumerate(operands[1:], 1):
        later = {label for _, other in operands[at + 1 :] for label in other} | set(out)
        x, have = _contract(call, (x, have), (i, labels), later, sizes)
    summed = [have.index(label) for label in have if label not in out]
    if summed:
        x = call.graph.reduce(x, "sum", summed, name=f"{call.name}.sum")
    return call.part(x, made)


def _contract(
    call: Call,
    first: tuple[int, list[str]],
    second: tuple[int, list[str]],
    later: set[str],
    sizes: dict[str, int],
) -> tuple[int, list[str]]:
    """Return the product of two operands and its labels: batch, rows, columns."""
    (x, a), (i, b) = first, second
    batch = [label for label in a if label in b and label in later]
    shared = [label for label in a if label in b and label not in later]
    rows = [label for label in a if label not in b]
    columns = [label for label in b if label not in a]

    def size(labels: list[str]) -> int:
        return math.prod(sizes[label] for label in labels)

    labels = [*batch, *rows, *columns]
    shape = [sizes[label] for label in labels]
    if not shared:
        return call.element("mul", [x, call.tensor(i)], shape), labels
    sides = [sizes[label] for label in batch]
    x = call.part(x, [*sides, size(rows), size(shared)])
    if call.is_constant(i) and not batch:
        made = call.layer(lambda _: call.graph.linear(x, size(columns), name=call.name), i)
    else:
        y = call.part(call.tensor(i), [*sides, size(shared), size(columns)])
        made = call.graph.matmul(x, y, call.name)
    return call.view(made, shape), labels


# --- recurrences -----------------------------------------------------------------------------

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _state(call: Call, i: int, batch: int) -> int:
    """Return a state before the first step; a constant has the batch on its leading axis."""
    constant = call.constant(i)
    elements = 0 if constant is None or constant.trainable else math.prod(constant.shape)
    if not elements or elements % batch:
        return call.tensor(i)
    return call.graph.constant((batch, elements // batch), name=call.inputs[i])


def _recurrent(call: Call) -> list[int | None] | None:
    """Run one layer in one or both directions; the steps stand before or behind the batch."""
    call.need(3)
    op = call.node.op_type
    if not call.is_constant(1) or not call.is_constant(2) or call.has(7):  # 7: peepholes
        return None
    shape, weight = call.shape(0), call.shape(1)
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    hidden = call.integer("hidden_size", weight[1] // _GATES[op] if len(weight) > 1 else 0)
    batch_first = bool(call.integer("layout", 0))
    if len(shape) != 3 or weight != (directions, _GATES[op] * hidden, shape[2]):  # noqa: PLR2004
        raise call.fail(f"the weight has shape {list(weight)} and the input {list(shape)}")
    batch, steps = (shape[0], shape[1]) if batch_first else (shape[1], shape[0])
    x = call.part(call.tensor(0), [batch, steps, shape[2]])
    both, biased = directions > 1, call.has(3)
    states = [5, 6] if op == "LSTM" else [5]  # before the first step; constants are none
    given = all(map(call.has, states)) and not all(map(call.is_constant, states))
    before = [_state(call, i, batch) for i in states] if given else []
    made = call.graph.recurrent(
        x, op.lower(), hidden, 1, both, biased, name=call.name, states=before
    )
    call.net.own(made, [name for name in call.inputs[1:4] if name in call.net.constants])
    whole = [steps, directions, batch, hidden]
    last = [directions, batch, hidden]
    if batch_first:
        whole, last = [batch, steps, directions, hidden], [batch, directions, hidden]
    outputs = call.node.output
    return [
        call.graph.part(made, size, f"{call.name}:{i}") if call.wants(i) or i == 0 else None
        for i, size in enumerate([whole, last, last][: len(outputs)])
    ]


HANDLERS: dict[str, Handler] = {
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "RNN": _recurrent,
}
MICROSOFT: dict[str, Handler] = {"FusedMatMul": _fused_matmul}

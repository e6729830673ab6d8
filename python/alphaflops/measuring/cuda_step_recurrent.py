"""Steps of recurrences: a linear layer for all tokens, then launches token by token."""

from __future__ import annotations

from dataclasses import replace

from alphaflops._cuda_plan import recurrent_plans
from alphaflops.measuring.cuda_step import ITEM_BYTES, SUM_BYTES, Maker, Row, Step, key_of
from alphaflops.measuring.cuda_step_makers import product

__all__ = ["RECURRENT_MAKERS"]

_GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def _recurrent(row: Row) -> list[Step]:
    """Return two steps a layer: the linear one for both directions at once, and all of its tokens.

    Either reads what the one before wrote. The last of them writes the output.
    """
    attributes, dtype = row.attributes, row.graph.dtype
    cell, hidden, has_bias = attributes["cell"], attributes["hidden"], bool(attributes["bias"])
    into, item, name = row.inputs[0], ITEM_BYTES[dtype], row.graph.node_name(row.node)
    batch, length, features = row.graph.shape(into)
    directions, state = 1 + bool(attributes["bidirectional"]), attributes["projection"] or hidden
    gates = directions * _GATES[cell] * hidden
    sizes = {"batch": batch, "length": length, "directions": directions, "hidden": hidden}
    sizes |= {"projection": attributes["projection"]}
    parameters = {"weights": gates * state * item}
    if has_bias:
        parameters["bias"] = gates * SUM_BYTES
    if attributes["projection"]:
        parameters["second_input"] = directions * state * hidden * item
    of_states = Step(
        name="",
        plans=recurrent_plans(cell, sizes, row.target, dtype, has_bias),
        inputs={},
        output=row.last,
        parameters=parameters,
        key=key_of(cell, sizes, dtype, has_bias),
        fan_in=6 * state,  # weights below one over the root of the state, as PyTorch draws them
    )
    steps: list[Step] = []
    for layer in range(attributes["layers"]):
        of_tokens = replace(
            product(row, {"batch": batch * length, "c_in": features, "c_out": gates}, has_bias),
            name=f"{name}.{layer}.tokens",
            inputs={"input": into},
            output=next(row.spare),
            output_bytes=batch * length * gates * item,
        )
        inputs = {"input": of_tokens.output}
        steps += [of_tokens, replace(of_states, name=f"{name}.{layer}", inputs=inputs)]
        if layer < attributes["layers"] - 1:
            into, features = next(row.spare), directions * state
            size = batch * length * features * item
            steps[-1] = replace(steps[-1], output=into, output_bytes=size)
    return steps


RECURRENT_MAKERS: dict[str, Maker] = {"rnn": _recurrent, "lstm": _recurrent, "gru": _recurrent}

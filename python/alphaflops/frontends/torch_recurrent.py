"""Rules for recurrences: whole layers of them, and their cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends.torch_trace import Trace, rule

Tensor = torch.Tensor


@rule("_pack_padded_sequence", "_pad_packed_sequence")
def _packed(trace: Trace, *args: Any) -> Any:
    raise trace.fail(
        "packed sequences are not supported, their lengths are values; give the padded tensor, "
        "which costs at least as much"
    )


def _states(trace: Trace, states: Sequence[Tensor], batch: int) -> list[int]:
    """Return the nodes of the states before the first step; where all are constants, none.

    A constant beside others has the batch on its leading axis, so that it is known to have it.
    """
    if not any(map(trace.depends, states)):
        return []
    return [
        trace.node(state)
        if trace.depends(state) or state.numel() % batch
        else trace.graph.constant(
            (batch, state.numel() // batch), name=trace.name("constant", True)
        )
        for state in states
    ]


def _recurrent(cell: str) -> Any:
    def run(trace: Trace, *args: Any) -> Any:
        # input, state, weights, has_biases, num_layers, dropout, training, bidirectional,
        # batch_first; of packed sequences: data, batch_sizes, state, ...
        x, state, weights = args[:3]
        if not isinstance(weights, (list, tuple)):
            return _packed(trace)
        biased, layers, _, _, both, batch_first = args[3:9]
        states = state if isinstance(state, (list, tuple)) else (state,)
        hidden = weights[1].shape[1] if cell != "lstm" else weights[0].shape[0] // 4
        projection = states[0].shape[-1] if cell == "lstm" else 0
        projection = 0 if projection == hidden else projection
        features = weights[0].shape[1]
        if x.shape[-1] != features:
            raise trace.fail(
                f"the layer takes {features} features; the input has shape {list(x.shape)}"
            )
        batch, length = (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])
        directions = 2 if both else 1
        node, name = trace.node(x), trace.name(cell)
        if not batch_first:
            node = trace.graph.part(node, (batch, length, features), trace.name("part", True))

        before = _states(trace, states, batch)

        def make(_: bool) -> int:
            return trace.graph.recurrent(
                node, cell, hidden, layers, both, biased, projection, name, before
            )

        made = trace.layer(make, *weights, None)
        own = projection or hidden
        shape = (length, batch, directions * own)
        if batch_first:
            shape = (batch, length, directions * own)
        else:
            made = trace.graph.part(made, shape, trace.name("part", True))
        results = [trace.tensor(made, x.dtype, shape)]
        for size in (own, hidden)[: len(states)]:
            last = (layers * directions, batch, size)
            node_of_state = trace.graph.part(made, last, trace.name("state", True))
            results.append(trace.tensor(node_of_state, x.dtype, last))
        return tuple(results)

    return run


rule("lstm")(_recurrent("lstm"))
rule("gru")(_recurrent("gru"))
rule("rnn_tanh", "rnn_relu")(_recurrent("rnn"))


def _cell(cell: str) -> Any:
    def run(
        trace: Trace,
        x: Tensor,
        state: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        states = state if isinstance(state, (list, tuple)) else (state,)
        hidden, features = w_hh.shape[1], x.shape[-1]
        if features != w_ih.shape[1]:
            raise trace.fail(
                f"the cell takes {w_ih.shape[1]} features; the input has shape {list(x.shape)}"
            )
        batch = x.shape[0]
        node = trace.graph.view(trace.node(x), (batch, 1, features), trace.name("view", True))
        name = trace.name(cell)
        before = _states(trace, states, batch)

        def make(_: bool) -> int:
            return trace.graph.recurrent(
                node, cell, hidden, bias=b_ih is not None, name=name, states=before
            )

        made = trace.layer(make, w_ih, w_hh, b_ih, b_hh, None)
        shape = (batch, hidden)
        last = [
            trace.tensor(trace.graph.part(made, shape, trace.name("state", True)), x.dtype, shape)
            for _ in states
        ]
        return tuple(last) if len(last) > 1 else last[0]

    return run


rule("lstm_cell")(_cell("lstm"))
rule("gru_cell")(_cell("gru"))
rule("rnn_tanh_cell", "rnn_relu_cell")(_cell("rnn"))

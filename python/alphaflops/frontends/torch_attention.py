"""Rules for attention and recurrences: whole, however they are written."""

from __future__ import annotations

import math
from typing import Any

import torch

from alphaflops.frontends.torch_layers import linear
from alphaflops.frontends.torch_trace import Trace, rule

Tensor = torch.Tensor
_AXES = 4  # batch, heads, length, depth


def _four_axes(trace: Trace, x: Tensor, batch: tuple[int, ...]) -> int:
    """Return q, k or v as [batch, heads, length, depth], repeated where it broadcasts."""
    node = trace.node(x)
    lead = tuple(x.shape[:-2])
    full = (*batch, *x.shape[-2:]) if len(lead) <= len(batch) else tuple(x.shape)
    if len(full) == _AXES:
        wanted = (*full[:1], *(lead[-1:] or full[1:2]), *full[-2:])
    else:
        wanted = (math.prod(full[:-2]), 1, *full[-2:])
    if wanted == tuple(x.shape):
        return node
    if math.prod(wanted) == x.numel():
        return trace.graph.view(node, wanted, trace.name("view", True))
    return trace.graph.part(node, wanted, trace.name("part", True))


def _attend(trace: Trace, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Any:
    fits = q.dim() >= 2 and k.dim() >= 2 and v.dim() >= 2
    if not fits or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise trace.fail(
            f"q, k and v have shapes {list(q.shape)}, {list(k.shape)} and {list(v.shape)}; q and k "
            "need one depth, k and v one length"
        )
    batch = tuple(q.shape[:-2])
    a, b, c = (_four_axes(trace, x, batch) for x in (q, k, v))
    at = None if mask is None else trace.node(mask)
    node = trace.graph.attention(a, b, c, at, name=trace.name("attention"))
    shape = (*batch, q.shape[-2], v.shape[-1])
    if len(shape) != _AXES:
        node = trace.graph.view(node, shape, trace.name("view", True))
    return trace.tensor(node, q.dtype, shape)


@rule("scaled_dot_product_attention")
def _attention(
    trace: Trace,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    return _attend(trace, query, key, value, attn_mask)


@rule(
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_attention_math",
)
def _attention_of_a_backend(
    trace: Trace, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    return _attend(trace, query, key, value, None), None


class _Steps:
    """Copies and views between the layers of attention, each a node."""

    def __init__(self, trace: Trace, dtype: torch.dtype) -> None:
        self.trace, self.dtype = trace, dtype

    def part(self, x: Tensor, shape: tuple[int, ...]) -> Any:
        trace = self.trace
        node = trace.graph.part(trace.node(x), shape, trace.name("part", True))
        return trace.tensor(node, self.dtype, shape)

    def element(self, inputs: list[Tensor], kind: str, shape: tuple[int, ...]) -> Any:
        trace = self.trace
        nodes = [trace.node(x) for x in inputs]
        node = trace.graph.element(nodes, kind, shape, trace.name(kind))
        return trace.tensor(node, self.dtype, shape)


def _projections(
    trace: Trace, query: Tensor, key: Tensor, value: Tensor, options: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return q, k and v as [length, batch, features], as few products as torch makes."""
    steps, features = _Steps(trace, query.dtype), query.shape[-1]
    weight, bias = options["in_proj_weight"], options["in_proj_bias"]
    lengths = [tuple(x.shape[:-1]) for x in (query, key, value)]
    if options.get("use_separate_proj_weight"):
        weights = [options[f"{x}_proj_weight"] for x in "qkv"]
        biases = [None] * 3 if bias is None else list(trace.shaped(torch.chunk, (bias, 3), {}))
        made = [
            linear(trace, x, w, b)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        ]
        return made[0], made[1], made[2]
    if key is value and query is key:
        packed = linear(trace, query, weight, bias)
        packed = steps.element([packed], "contiguous", (3, *lengths[0], features))
        q, k, v = (steps.part(packed, (*lengths[0], features)) for _ in range(3))
        return q, k, v

    def cut(x: Tensor | None, start: int, count: int) -> Tensor | None:
        if x is None:
            return None
        size: Tensor = trace.shaped(torch.narrow, (x, 0, start * features, count * features), {})
        return size

    q = linear(trace, query, cut(weight, 0, 1), cut(bias, 0, 1))
    if key is value:
        both = linear(trace, key, cut(weight, 1, 2), cut(bias, 1, 2))
        both = steps.element([both], "contiguous", (2, *lengths[1], features))
        k, v = (steps.part(both, (*lengths[1], features)) for _ in range(2))
    else:
        k = linear(trace, key, cut(weight, 1, 1), cut(bias, 1, 1))
        v = linear(trace, value, cut(weight, 2, 1), cut(bias, 2, 1))
    return q, k, v


@rule("multi_head_attention_forward")
def _multi_head_attention(
    trace: Trace,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """[length, batch, features], as torch.nn.functional.multi_head_attention_forward."""
    for x in (query, key, value):
        if x.shape[-1] != embed_dim_to_check and not others.get("use_separate_proj_weight"):
            raise trace.fail(
                f"the layer takes {embed_dim_to_check} features; an input has shape {list(x.shape)}"
            )
    options = {"in_proj_weight": in_proj_weight, "in_proj_bias": in_proj_bias, **others}
    q, k, v = _projections(trace, query, key, value, options)
    steps = _Steps(trace, query.dtype)
    length, features = query.shape[0], query.shape[-1]
    batch = query.shape[1] if query.dim() == 3 else 1
    more = (bias_k is not None) + add_zero_attn
    kv_length, depth = key.shape[0] + more, features // num_heads
    if more:
        k = steps.element(
            [k, *([] if bias_k is None else [bias_k])], "copy", (kv_length, batch, features)
        )
        v = steps.element(
            [v, *([] if bias_v is None else [bias_v])], "copy", (kv_length, batch, features)
        )
    heads = (batch, num_heads, length, depth)
    kv_heads = (batch, num_heads, kv_length, depth)
    q, k, v = steps.part(q, heads), steps.part(k, kv_heads), steps.part(v, kv_heads)
    masks = [m for m in (attn_mask, key_padding_mask) if m is not None]
    weights = None
    scores = (batch, num_heads, length, kv_length)
    if need_weights:
        q = steps.element([q], "mul", heads)
        logits = trace.graph.matmul(
            trace.node(q),
            trace.node(steps.part(k, (batch, num_heads, depth, kv_length))),
            trace.name("scores"),
        )
        logit = trace.tensor(logits, query.dtype)
        if masks:
            logit = steps.element([logit, *masks], "add", scores)
        softmax = trace.graph.softmax(trace.node(logit), trace.name("softmax"))
        attended = trace.graph.matmul(softmax, trace.node(v), trace.name("values"))
        y = trace.tensor(attended, query.dtype)
        weights = trace.tensor(softmax, query.dtype)
        if average_attn_weights:
            weights = steps.element([weights], "mean", (batch, length, kv_length))
    else:
        mask = masks[0] if masks else None
        if len(masks) > 1:
            mask = steps.element(masks, "add", (batch, num_heads, length, kv_length))
        y = _attend(trace, q, k, v, mask)
    y = steps.element([y], "contiguous", (length * batch, features))
    y = linear(trace, y, out_proj_weight, out_proj_bias)
    return steps.part(y, tuple(query.shape)), weights


@rule("_pack_padded_sequence", "_pad_packed_sequence")
def _packed(trace: Trace, *args: Any) -> Any:
    raise trace.fail(
        "packed sequences are not supported, their lengths are values; give the padded tensor, "
        "which costs at least as much"
    )


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

        def make(_: bool) -> int:
            return trace.graph.recurrent(node, cell, hidden, layers, both, biased, projection, name)

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

        def make(_: bool) -> int:
            return trace.graph.recurrent(node, cell, hidden, bias=b_ih is not None, name=name)

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

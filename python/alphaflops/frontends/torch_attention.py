"""Rules for attention: whole, however it is written."""

from __future__ import annotations

import math
from typing import Any

import torch

from alphaflops.frontends.causal import first_keys
from alphaflops.frontends.torch_layers import linear, matmul
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


def _attend(
    trace: Trace, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False
) -> Any:
    fits = q.dim() >= 2 and k.dim() >= 2 and v.dim() >= 2
    if not fits or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise trace.fail(
            f"q, k and v have shapes {list(q.shape)}, {list(k.shape)} and {list(v.shape)}; q and k "
            "need one depth, k and v one length"
        )
    batch = tuple(q.shape[:-2])
    skips = causal and trace.causal
    shares_heads = batch != tuple(k.shape[:-2])
    if not (skips or shares_heads or all(map(_is_fused, (q, k, v)))):
        return _in_steps(trace, q, k, v, mask, causal)
    a, b, c = (_four_axes(trace, x, batch) for x in (q, k, v))
    at = None if mask is None else trace.node(mask)
    # Query i sees the first i + 1 keys, so further queries than keys see all: as without a mask.
    if causal := skips and q.shape[-2] <= k.shape[-2]:
        b, c = (first_keys(trace.graph, x, q.shape[-2], trace.name("part", True)) for x in (b, c))
    node = trace.graph.attention(a, b, c, at, causal, trace.name("attention"))
    shape = (*batch, q.shape[-2], v.shape[-1])
    if len(shape) != _AXES:
        node = trace.graph.view(node, shape, trace.name("view", True))
    elif shape == tuple(q.shape) and q.stride(-1) == 1:
        # A fused kernel lays it out as the queries, so that joining the heads need not copy.
        return trace.bind(torch.empty_like(q, device="meta", requires_grad=False), node)
    return trace.tensor(node, q.dtype, shape)


def _is_fused(x: Tensor) -> bool:
    """Whether a fused kernel takes such queries, keys or values."""
    return x.dim() == _AXES and (x.shape[-1] == 1 or x.stride(-1) == 1)


def _in_steps(
    trace: Trace, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool
) -> Any:
    """Attend as torch does where no fused kernel takes the operands: by products of matrices.

    Its softmax gives zeros where all scores are minus infinity, and looks for that.
    """
    steps = _Steps(trace, q.dtype)
    keys = steps.element([k], "mul", tuple(k.shape))
    keys = steps.part(keys, (*k.shape[:-2], k.shape[-1], k.shape[-2]))
    scores = matmul(trace, steps.element([q], "mul", tuple(q.shape)), keys)
    shape = tuple(scores.shape)
    if causal and mask is None:
        mask = torch.empty(shape[-2:], dtype=q.dtype, device="meta")
    if mask is not None:
        scores = steps.element([scores, mask], "add", shape)
    weights = trace.tensor(
        trace.graph.softmax(trace.node(scores), trace.name("softmax")), q.dtype, shape
    )
    masked = steps.element([scores], "compare", shape)
    masked = steps.element([masked], "min", (*shape[:-1], 1))
    return matmul(trace, steps.element([masked, weights], "where", shape), v)


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
    return _attend(trace, query, key, value, attn_mask, is_causal)


def _of_a_backend(place: int) -> Any:
    """Return the rule of a backend that has is_causal at that place behind q, k and v."""

    def run(
        trace: Trace, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        causal = args[place] if len(args) > place else kwargs.get("is_causal", False)
        return _attend(trace, query, key, value, None, causal), None

    return run


rule("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu")(
    _of_a_backend(1)
)
rule("_scaled_dot_product_attention_math")(_of_a_backend(2))
rule("_scaled_dot_product_efficient_attention")(_of_a_backend(3))


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
        causal = is_causal and key_padding_mask is None  # torch then has no need of the mask
        y = _attend(trace, q, k, v, None if causal else mask, causal)
    # A fused kernel's result lies as its queries do, in the order of [length, batch, features].
    if need_weights:
        y = steps.element([y], "contiguous", (length * batch, features))
    else:
        y = steps.part(y, (length * batch, features))
    y = linear(trace, y, out_proj_weight, out_proj_bias)
    return steps.part(y, tuple(query.shape)), weights

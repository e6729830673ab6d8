"""Attention: ONNX's own operator (opset 23), and what ONNX Runtime fuses."""

from __future__ import annotations

from alphaflops.frontends.causal import first_keys
from alphaflops.frontends.onnx_call import Call, Handler

__all__ = ["HANDLERS", "MICROSOFT"]


def _heads(call: Call, x: int, heads: int) -> int:
    """Return [batch, heads, length, depth] of [batch, length, heads * depth], read in place."""
    shape = call.graph.shape(x)
    if len(shape) == 4:  # noqa: PLR2004
        return x
    if len(shape) != 3 or heads < 1 or shape[2] % heads:  # noqa: PLR2004
        raise call.fail(f"an operand has shape {list(shape)}, which {heads} heads do not divide")
    return call.part(x, [shape[0], heads, shape[1], shape[2] // heads])


def _attend(
    call: Call,
    q: int,
    k: int,
    v: int,
    *,
    mask: int = -1,
    past: int = -1,
    causal: bool = False,
) -> list[int | None]:
    """Add attention; results are the output and what the next call finds as keys and values.

    Input `mask` is the mask, and inputs `past` and the next are keys and values of earlier calls;
    below 0 for none. A `causal` mask is aligned at the last key where there are earlier ones, else
    at the first.
    """
    graph, shape = call.graph, call.graph.shape(q)
    causal = causal and call.net.causal and shape[2] <= graph.shape(k)[2]
    if causal:
        k = first_keys(graph, k, shape[2], f"{call.name}.seen_keys")
        v = first_keys(graph, v, shape[2], f"{call.name}.seen_values")
    if past >= 0 and call.has(past) and call.has(past + 1):
        k = graph.concat([call.tensor(past), k], f"{call.name}.keys", 2)
        v = graph.concat([call.tensor(past + 1), v], f"{call.name}.values", 2)
    added = call.tensor(mask) if mask >= 0 and call.has(mask) else None
    made = graph.attention(q, k, v, added, causal, call.name)
    batch, heads, length, depth = graph.shape(made)
    if len(call.shape(0)) == 3:  # noqa: PLR2004
        made = call.part(made, [batch, length, heads * depth])
    scores = None
    if call.wants(3):
        sizes = [shape[0], shape[1], shape[2], graph.shape(k)[2]]
        scores = graph.part(made, sizes, f"{call.name}.scores")
    return [made, k, v, scores]


def _attention(call: Call) -> list[int | None]:
    call.need(3)
    heads = call.integer("q_num_heads", 0)
    q = _heads(call, call.tensor(0), heads)
    kv_heads = call.integer("kv_num_heads", heads)
    k, v = (_heads(call, call.tensor(i), kv_heads) for i in (1, 2))
    causal = call.integer("is_causal", 0) == 1
    return _attend(call, q, k, v, mask=3, past=4, causal=causal)


def _multi_head(call: Call) -> list[int | None] | None:
    """com.microsoft.MultiHeadAttention with operands that are not packed."""
    if not (call.has(1) and call.has(2)) or len(call.shape(0)) != 3:  # noqa: PLR2004
        return None
    heads = call.integer("num_heads", 0)
    q, k, v = (_heads(call, call.tensor(i), heads) for i in range(3))
    causal = call.integer("unidirectional", 0) == 1
    return _attend(call, q, k, v, mask=5, past=6, causal=causal)


def _grouped_query(call: Call) -> list[int | None] | None:
    """com.microsoft.GroupQueryAttention with operands that are not packed."""
    if not (call.has(1) and call.has(2)) or len(call.shape(0)) != 3:  # noqa: PLR2004
        return None
    q = _heads(call, call.tensor(0), call.integer("num_heads", 0))
    k, v = (_heads(call, call.tensor(i), call.integer("kv_num_heads", 0)) for i in (1, 2))
    return _attend(call, q, k, v, past=3, causal=True)


def _packed(call: Call) -> list[int | None] | None:
    """com.microsoft.Attention: one projection to q, k and v, then attention."""
    call.need(2)
    shape, weight, heads = call.shape(0), call.shape(1), call.integer("num_heads", 0)
    if not call.is_constant(1) or len(shape) != 3 or len(weight) != 2:  # noqa: PLR2004
        return None
    if call.ints("qkv_hidden_sizes") or call.has(4) or heads < 1 or weight[1] % (3 * heads):
        return None
    joint = call.layer(
        lambda bias: call.graph.linear(call.tensor(0), weight[1], bias, f"{call.name}.qkv"), 1, 2
    )
    third = [shape[0], heads, shape[1], weight[1] // 3 // heads]
    q, k, v = (call.graph.part(joint, third, f"{call.name}.{x}") for x in "qkv")
    return _attend(call, q, k, v, causal=call.integer("unidirectional", 0) == 1)[:1]


def _rotary(call: Call) -> int | None:
    """Products with cosines and with sines, and their sum."""
    call.need(2)
    x, shape = call.tensor(0), call.shape(0)
    first, second = (call.graph.element([x], "mul", shape, f"{call.name}.{f}") for f in ("a", "b"))
    return call.element("add", [first, second], shape)


HANDLERS: dict[str, Handler] = {"Attention": _attention, "RotaryEmbedding": _rotary}
MICROSOFT: dict[str, Handler] = {
    "Attention": _packed,
    "GroupQueryAttention": _grouped_query,
    "MultiHeadAttention": _multi_head,
    "RotaryEmbedding": _rotary,
}

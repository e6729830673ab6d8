"""What a causal mask leaves where it is aligned at the first key, as PyTorch's and ONNX's are."""

from __future__ import annotations

from alphaflops._core import Graph


def first_keys(graph: Graph, x: int, length: int, name: str) -> int:
    """Return the keys, or values, that as many queries see: no later one is read.

    What is left is aligned at its last key too, as `Graph.attention` counts it.
    """
    batch, heads, kv_length, depth = graph.shape(x)
    return x if kv_length <= length else graph.part(x, (batch, heads, length, depth), name)

"""What transformers are made of: heads as views of features, and the attention over them."""

from __future__ import annotations

from alphaflops._core import Graph


def split_heads(graph: Graph, x: int, heads: int, name: str) -> int:
    """View [batch, length, features] as [batch, heads, length, depth]; strided, nothing moves."""
    batch, length, features = graph.shape(x)
    return graph.view(x, [batch, heads, length, features // heads], name)


def join_heads(graph: Graph, x: int, name: str) -> int:
    """View [batch, heads, length, depth] as [batch, length, features].

    That is how fused attention kernels lay out what they write.
    """
    batch, heads, length, depth = graph.shape(x)
    return graph.view(x, [batch, length, heads * depth], name)


def thirds(graph: Graph, x: int, at: str) -> list[int]:
    """Return queries, keys and values as parts of [batch, length, 3 x features]."""
    batch, length, features = graph.shape(x)
    return [graph.part(x, [batch, length, features // 3], f"{at}.{name}") for name in "qkv"]


def attend(graph: Graph, qkv: list[int], heads: int, at: str, causal: bool = False) -> int:
    """Attend over features split into heads; all scores count, or those of a `causal` mask."""
    q, k, v = (
        split_heads(graph, x, heads, f"{at}.{name}_heads")
        for x, name in zip(qkv, "qkv", strict=True)
    )
    y = graph.attention(q, k, v, causal=causal, name=f"{at}.attention")
    return join_heads(graph, y, f"{at}.joined")

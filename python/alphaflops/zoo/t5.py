"""T5-small: an encoder and a decoder over 512 tokens each, the length it was trained with.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
2020, with the names of transformers' T5ForConditionalGeneration. One table serves both embeddings
and the head. Scores are not scaled, and a bias of the relative positions, which the first layer of
either side makes, is added; so attention is two products of matrices. That bias holds the masks.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.attention import split_heads

LENGTH = 512
_VOCABULARY, _BUCKETS = 32128, 32
_LAYERS, _HEADS, _FEATURES, _HIDDEN = 6, 8, 512, 2048


def t5_small(graph: Graph, tokens: int) -> int:
    """Add T5-small behind the `tokens` [batch, length]; return the logits of the decoder's."""
    encoder = graph.embedding(tokens, _VOCABULARY, _FEATURES, "encoder.embed_tokens")
    encoded = _stack(graph, encoder, "encoder", None)
    decoder = graph.input(graph.shape(tokens), "decoder_input_ids")
    decoder = graph.embedding(decoder, _VOCABULARY, _FEATURES, "decoder.embed_tokens")
    graph.tie(decoder, encoder)
    x = _stack(graph, decoder, "decoder", encoded)
    x = graph.linear(graph.element([x], "mul", name="scale"), _VOCABULARY, name="lm_head")
    graph.tie(x, encoder)
    return x


def _norm(graph: Graph, x: int, at: str) -> int:
    return graph.norm(x, "rms", shift=False, name=f"{at}.layer_norm")


def _stack(graph: Graph, x: int, side: str, encoded: int | None) -> int:
    bias = _position_bias(graph, graph.shape(x)[1], f"{side}.block.0.layer.0.SelfAttention")
    for i in range(_LAYERS):
        at = f"{side}.block.{i}.layer"
        y = _norm(graph, x, f"{at}.0")
        x = _attention(graph, y, y, f"{at}.0.SelfAttention", residual=x, bias=bias)
        last = 1
        if encoded is not None:
            y = _norm(graph, x, f"{at}.1")
            x = _attention(graph, y, encoded, f"{at}.1.EncDecAttention", residual=x)
            last = 2
        y = _norm(graph, x, f"{at}.{last}")
        dense = f"{at}.{last}.DenseReluDense"
        y = graph.relu(graph.linear(y, _HIDDEN, name=f"{dense}.wi"), f"{dense}.act")
        x = graph.add(x, graph.linear(y, _FEATURES, name=f"{dense}.wo"), f"{at}.{last}.add")
    return graph.norm(x, "rms", shift=False, name=f"{side}.final_layer_norm")


def _position_bias(graph: Graph, length: int, at: str) -> int:
    """Make [1, heads, length, length] of a learnt number for each distance and head."""
    buckets = graph.constant([length, length], name=f"{at}.buckets")
    bias = graph.embedding(buckets, _BUCKETS, _HEADS, f"{at}.relative_attention_bias")
    return graph.view(bias, [1, _HEADS, length, length], f"{at}.position_bias")


def _attention(
    graph: Graph, x: int, keys: int, at: str, *, residual: int, bias: int | None = None
) -> int:
    q = split_heads(graph, graph.linear(x, _FEATURES, name=f"{at}.q"), _HEADS, f"{at}.q_heads")
    k = graph.linear(keys, _FEATURES, name=f"{at}.k")
    v = graph.linear(keys, _FEATURES, name=f"{at}.v")
    batch, length, features = graph.shape(k)
    v = split_heads(graph, v, _HEADS, f"{at}.v_heads")
    k = graph.view(k, [batch, _HEADS, features // _HEADS, length], f"{at}.k_heads")
    scores = graph.matmul(q, k, f"{at}.scores")
    if bias is not None:
        scores = graph.element([scores, bias], "add", name=f"{at}.add_bias")
    y = graph.matmul(graph.softmax(scores, f"{at}.softmax"), v, f"{at}.values")
    y = graph.element([y], "contiguous", graph.shape(x), f"{at}.joined")
    return graph.add(residual, graph.linear(y, _FEATURES, name=f"{at}.o"), f"{at}.add")

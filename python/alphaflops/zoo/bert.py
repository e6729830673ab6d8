"""BERT-base, uncased: a transformer encoder with a pooler, over 128 tokens.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
2019, with the names of transformers' BertModel. 128 tokens is the length of most of its training
and the one that efficient successors quote.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.attention import attend

LENGTH = 128
_VOCABULARY, _POSITIONS, _TYPES = 30522, 512, 2
_LAYERS, _HEADS, _FEATURES, _HIDDEN = 12, 12, 768, 3072


def bert_base(graph: Graph, tokens: int) -> int:
    """Add BERT-base behind the `tokens` [batch, length]; return the pooled first token."""
    batch, length = graph.shape(tokens)
    types = graph.input([batch, length], "token_type_ids")
    positions = graph.constant([1, length], name="position_ids")
    at = "embeddings"
    x = graph.embedding(tokens, _VOCABULARY, _FEATURES, f"{at}.word_embeddings")
    y = graph.embedding(types, _TYPES, _FEATURES, f"{at}.token_type_embeddings")
    x = graph.add(x, y, f"{at}.add_types")
    y = graph.embedding(positions, _POSITIONS, _FEATURES, f"{at}.position_embeddings")
    x = graph.element([x, y], "add", name=f"{at}.add_positions")
    x = graph.norm(x, "layer", name=f"{at}.LayerNorm")
    for i in range(_LAYERS):
        x = _layer(graph, x, f"encoder.layer.{i}")
    x = graph.part(x, [batch, _FEATURES], "pooler.first_token")
    return graph.activation(graph.linear(x, _FEATURES, True, "pooler.dense"), "tanh", "pooler.tanh")


def _layer(graph: Graph, x: int, at: str) -> int:
    own = f"{at}.attention.self"
    qkv = [graph.linear(x, _FEATURES, True, f"{own}.{name}") for name in ("query", "key", "value")]
    x = _output(graph, attend(graph, qkv, _HEADS, own), x, f"{at}.attention.output")
    y = graph.linear(x, _HIDDEN, True, f"{at}.intermediate.dense")
    y = graph.activation(y, "gelu", f"{at}.intermediate.intermediate_act_fn")
    return _output(graph, y, x, f"{at}.output")


def _output(graph: Graph, x: int, residual: int, at: str) -> int:
    x = graph.linear(x, _FEATURES, True, f"{at}.dense")
    return graph.norm(graph.add(x, residual, f"{at}.add"), "layer", name=f"{at}.LayerNorm")

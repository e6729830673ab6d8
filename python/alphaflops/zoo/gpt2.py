"""GPT-2 small, 124 million parameters, over 1024 tokens: its whole context.

Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, with the names of
transformers' GPT2LMHeadModel. The head shares the table of the token embeddings, and gives logits
for every position. All scores count, masked or not, unless `causal`. The tanh form of GELU is one
launch.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.attention import attend, thirds

LENGTH = 1024
_VOCABULARY, _POSITIONS = 50257, 1024
_LAYERS, _HEADS, _FEATURES = 12, 12, 768


def gpt2(graph: Graph, tokens: int, causal: bool = False) -> int:
    """Add GPT-2 small behind the `tokens` [batch, length]; return the logits of every position."""
    _, length = graph.shape(tokens)
    embedded = graph.embedding(tokens, _VOCABULARY, _FEATURES, "transformer.wte")
    positions = graph.constant([1, length], name="position_ids")
    y = graph.embedding(positions, _POSITIONS, _FEATURES, "transformer.wpe")
    x = graph.element([embedded, y], "add", name="transformer.add")
    for i in range(_LAYERS):
        x = _layer(graph, x, f"transformer.h.{i}", causal)
    x = graph.norm(x, "layer", name="transformer.ln_f")
    x = graph.linear(x, _VOCABULARY, name="lm_head")
    graph.tie(x, embedded)
    return x


def _layer(graph: Graph, x: int, at: str, causal: bool) -> int:
    y = graph.norm(x, "layer", name=f"{at}.ln_1")
    y = graph.linear(y, 3 * _FEATURES, True, f"{at}.attn.c_attn")
    y = attend(graph, thirds(graph, y, f"{at}.attn"), _HEADS, f"{at}.attn", causal)
    x = graph.add(graph.linear(y, _FEATURES, True, f"{at}.attn.c_proj"), x, f"{at}.add_1")
    y = graph.norm(x, "layer", name=f"{at}.ln_2")
    y = graph.linear(y, 4 * _FEATURES, True, f"{at}.mlp.c_fc")
    y = graph.element([y], "gelu_tanh", name=f"{at}.mlp.act")
    return graph.add(x, graph.linear(y, _FEATURES, True, f"{at}.mlp.c_proj"), f"{at}.add_2")

"""A transformer encoder whose depth, width, heads and feed-forward layers are choices.

The choices of Chen et al., "AutoFormer: Searching Transformers for Visual Recognition", ICCV 2021,
section 3.1 (a width for all layers, heads and ratio layer by layer, heads of a fixed depth), on the
text encoder of Wang et al., "HAT: Hardware-Aware Transformers for Efficient Natural Language
Processing", ACL 2020, section 3.1. Norms come before attention and feed-forward layers.

A network has the first `layers` layers; what a code says of the others changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.spaces.space import Flow, SearchSpace
from alphaflops.zoo.attention import attend, thirds


@dataclass(frozen=True)
class _Embedding:
    length: int
    vocabulary: int
    widths: tuple[int, ...]

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        (batch,) = flow.notes
        width = self.widths[choice]
        tokens = graph.input([batch, self.length], "tokens")
        x = graph.embedding(tokens, self.vocabulary, width, "words")
        places = graph.constant([1, self.length, width], True, "places")
        return Flow((graph.element([x, places], "add", name="add"),))


@dataclass(frozen=True)
class _Layers:
    most: int

    def __call__(self, _graph: Graph, flow: Flow, choice: int) -> Flow:
        return Flow(flow.tensors, (choice + 1,))


@dataclass(frozen=True)
class _Attention:
    """Of as many heads as chosen, in layers that the note says are there."""

    layer: int
    heads: tuple[int, ...]
    head_depth: int

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        if self.layer >= flow.notes[0]:
            return flow
        x, heads = flow.x, self.heads[choice]
        y = graph.norm(x, "layer", name="norm")
        y = graph.linear(y, 3 * heads * self.head_depth, True, "qkv")
        y = attend(graph, thirds(graph, y, "qkv"), heads, "heads")
        y = graph.linear(y, graph.shape(x)[2], True, "project")
        return Flow((graph.add(x, y, "add"),), flow.notes)


@dataclass(frozen=True)
class _FeedForward:
    layer: int
    ratios: tuple[float, ...]

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        if self.layer >= flow.notes[0]:
            return flow
        width = graph.shape(flow.x)[2]
        y = graph.norm(flow.x, "layer", name="norm")
        y = graph.linear(y, round(self.ratios[choice] * width), True, "expand")
        y = graph.linear(graph.activation(y, "gelu", "gelu"), width, True, "project")
        return Flow((graph.add(flow.x, y, "add"),), flow.notes)


def _norm(graph: Graph, flow: Flow, _choice: int) -> Flow:
    return Flow((graph.norm(flow.x, "layer", name="layer"),))


def transformer(
    length: int = 128,
    *,
    layers: int = 12,
    widths: Sequence[int] = (256, 384, 512, 640, 768),
    heads: Sequence[int] = (4, 8, 12),
    ratios: Sequence[float] = (2, 3, 4),
    head_depth: int = 64,
    vocabulary: int = 30522,
) -> SearchSpace:
    """Return a space of transformer encoders; they make [batch, length, width].

    Positions are ``width``, ``layers`` (1 to `layers`) and of each layer ``heads`` and ``ratio``.

    Parameters
    ----------
    length
        Tokens of a sequence.
    layers
        The most layers.
    widths
        Features of a token, the same in all layers.
    heads
        Of attention, each of `head_depth` features whatever the width.
    ratios
        Features inside of a feed-forward layer by the width.
    head_depth, vocabulary
        Features of a head; words that are embedded.

    Raises
    ------
    ModelError
        No layers.
    """
    if layers < 1:
        raise ModelError(f"transformer: at most {layers} layers; 1 or more are needed")
    space = SearchSpace("transformer")
    width = space.position("width", [str(w) for w in widths])
    depth = space.position("layers", [str(n + 1) for n in range(layers)])
    space.add("embedding", _Embedding(length, vocabulary, tuple(widths)), width)
    space.add("", _Layers(layers), depth)
    for layer in range(layers):
        at = f"layer{layer + 1}"
        position = space.position(f"{at}.heads", [str(h) for h in heads])
        space.add(f"{at}.attention", _Attention(layer, tuple(heads), head_depth), position)
        position = space.position(f"{at}.ratio", [f"{r:g}" for r in ratios])
        space.add(f"{at}.feed_forward", _FeedForward(layer, tuple(ratios)), position)
    space.add("norm", _norm)
    return space

"""ViT-B/16: a transformer over patches of 16 x 16 pixels.

Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, with torchvision's names. Attention is
as torch.nn.MultiheadAttention runs it: one projection for queries, keys and values, a copy that
sorts them, a fused attention and a projection.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.errors import ShapeError
from alphaflops.zoo.attention import attend, thirds

_PATCH = 16
_LAYERS, _HEADS, _FEATURES, _HIDDEN = 12, 12, 768, 3072


def vit_b_16(graph: Graph, x: int) -> int:
    """Add ViT-B/16 behind the image `x`; return the logits."""
    batch, _, extent, _ = graph.shape(x)
    if extent % _PATCH:
        raise ShapeError(
            f"image: the image_size is {extent}; it must be a multiple of the patch, {_PATCH}"
        )
    patches = (extent // _PATCH) ** 2
    x = graph.conv2d(x, _FEATURES, _PATCH, _PATCH, bias=True, name="conv_proj")
    x = graph.view(x, [batch, patches, _FEATURES], "patches")
    token = graph.constant([1, 1, _FEATURES], True, "class_token")
    if batch > 1:
        token = graph.part(token, [batch, 1, _FEATURES], "class_token.expanded")
    x = graph.concat([token, x], "concat")
    position = graph.constant([1, patches + 1, _FEATURES], True, "encoder.pos_embedding")
    x = graph.element([x, position], "add", name="encoder.add")
    for i in range(_LAYERS):
        x = _layer(graph, x, f"encoder.layers.encoder_layer_{i}")
    x = graph.part(graph.norm(x, "layer", name="encoder.ln"), [batch, _FEATURES], "class")
    return graph.linear(x, 1000, True, "heads.head")


def _layer(graph: Graph, x: int, at: str) -> int:
    y = graph.norm(x, "layer", name=f"{at}.ln_1")
    own = f"{at}.self_attention"
    y = graph.linear(y, 3 * _FEATURES, True, f"{own}.in_proj")
    y = graph.element([y], "contiguous", graph.shape(y), f"{own}.contiguous")
    y = attend(graph, thirds(graph, y, own), _HEADS, own)
    x = graph.add(graph.linear(y, _FEATURES, True, f"{own}.out_proj"), x, f"{at}.add_1")
    y = graph.norm(x, "layer", name=f"{at}.ln_2")
    y = graph.activation(graph.linear(y, _HIDDEN, True, f"{at}.mlp.0"), "gelu", f"{at}.mlp.1")
    return graph.add(x, graph.linear(y, _FEATURES, True, f"{at}.mlp.3"), f"{at}.add_2")

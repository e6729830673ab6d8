"""Swin-T: attention in windows of 7 x 7 patches, shifted by half a window in every other block.

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", 2021, in
torchvision's variant. Padding copies even where there is nothing to pad, sorting pixels into
windows and back are copies, a shift is one more, and attention is two products of matrices with a
bias of the relative positions. The mask of shifted windows is a constant here.
"""

from __future__ import annotations

from alphaflops._core import Graph

_WINDOW = 7
_STAGES = ((2, 3), (2, 6), (6, 12), (2, 24))  # blocks, heads
_CHANNELS = 96


def swin_t(graph: Graph, x: int) -> int:
    """Add Swin-T behind the image `x`; return the logits."""
    x = graph.conv2d(x, _CHANNELS, 4, 4, bias=True, name="features.0.0")
    batch, channels, height, width = graph.shape(x)
    x = graph.element(
        [x], "contiguous", [batch, height, width, channels], "features.0.2.contiguous"
    )
    x = graph.norm(x, "layer", name="features.0.2")
    for stage, (blocks, heads) in enumerate(_STAGES):
        if stage > 0:
            x = _merge(graph, x, f"features.{2 * stage}")
        for i in range(blocks):
            x = _block(graph, x, f"features.{2 * stage + 1}.{i}", heads, shifts=i % 2 == 1)
    x = graph.norm(x, "layer", name="norm")
    batch, height, width, channels = graph.shape(x)
    x = graph.view(x, [batch, channels, height, width], "permute")
    x = graph.flatten(graph.global_avg_pool(x, "avgpool"), "flatten")
    return graph.linear(x, 1000, True, "head")


def _merge(graph: Graph, x: int, at: str) -> int:
    """Put the four pixels of every 2 x 2 on one, with twice the channels."""
    batch, height, width, channels = graph.shape(x)
    padded = [batch, height + height % 2, width + width % 2, channels]
    x = graph.element([x], "pad", padded, f"{at}.pad")
    quarter = [batch, -(-height // 2), -(-width // 2), channels]
    x = graph.concat([graph.part(x, quarter, f"{at}.{i}") for i in range(4)], f"{at}.concat", -1)
    return graph.linear(
        graph.norm(x, "layer", name=f"{at}.norm"), 2 * channels, False, f"{at}.reduction"
    )


def _block(graph: Graph, x: int, at: str, heads: int, *, shifts: bool) -> int:
    channels = graph.shape(x)[-1]
    y = graph.norm(x, "layer", name=f"{at}.norm1")
    x = graph.add(x, _attention(graph, y, f"{at}.attn", heads, shifts=shifts), f"{at}.add_1")
    y = graph.norm(x, "layer", name=f"{at}.norm2")
    y = graph.activation(graph.linear(y, 4 * channels, True, f"{at}.mlp.0"), "gelu", f"{at}.mlp.1")
    return graph.add(x, graph.linear(y, channels, True, f"{at}.mlp.3"), f"{at}.add_2")


def _attention(graph: Graph, x: int, at: str, heads: int, *, shifts: bool) -> int:
    batch, height, width, channels = graph.shape(x)
    rows, columns = -(-height // _WINDOW), -(-width // _WINDOW)
    padded = [batch, rows * _WINDOW, columns * _WINDOW, channels]
    shifts = shifts and max(rows, columns) > 1
    pixels, windows = _WINDOW**2, batch * rows * columns
    x = graph.element([x], "pad", padded, f"{at}.pad")
    if shifts:
        x = graph.element([x], "roll", padded, f"{at}.roll")
    x = graph.element([x], "transpose", [windows, pixels, channels], f"{at}.windows")
    x = graph.linear(x, 3 * channels, True, f"{at}.qkv")
    x = _windows_attend(graph, x, at, heads, masks=rows * columns if shifts else 0)
    x = graph.linear(x, channels, True, f"{at}.proj")
    x = graph.element([x], "transpose", padded, f"{at}.pixels")
    if shifts:
        x = graph.element([x], "roll", padded, f"{at}.roll_back")
    if padded[1:3] == [height, width]:
        return x
    return graph.element([x], "slice", [batch, height, width, channels], f"{at}.crop")


def _windows_attend(graph: Graph, qkv: int, at: str, heads: int, *, masks: int) -> int:
    """Attend in every window; with `masks`, each of as many windows of an image has its own."""
    windows, pixels, features = graph.shape(qkv)
    depth = features // 3 // heads
    of_heads = [windows, heads, pixels, depth]
    q, k, v = (graph.part(qkv, of_heads, f"{at}.{name}") for name in "qkv")
    q = graph.element([q], "mul", name=f"{at}.scale")
    k = graph.element([k], "contiguous", [windows, heads, depth, pixels], f"{at}.k_contiguous")
    v = graph.element([v], "contiguous", of_heads, f"{at}.v_contiguous")
    scores = graph.matmul(q, k, f"{at}.scores")
    table = graph.constant([(2 * _WINDOW - 1) ** 2, heads], True, f"{at}.relative_position_bias")
    bias = graph.element([table], "gather", [pixels**2, heads], f"{at}.bias_rows")
    bias = graph.element([bias], "contiguous", [1, heads, pixels, pixels], f"{at}.bias")
    scores = graph.element([scores, bias], "add", name=f"{at}.add_bias")
    if masks:
        mask = graph.constant([1, masks, 1, pixels, pixels], name=f"{at}.mask")
        by_image = [windows // masks, masks, heads, pixels, pixels]
        scores = graph.view(scores, by_image, f"{at}.by_image")
        scores = graph.element([scores, mask], "add", name=f"{at}.add_mask")
        scores = graph.view(scores, [windows, heads, pixels, pixels], f"{at}.by_window")
    x = graph.matmul(graph.softmax(scores, f"{at}.softmax"), v, f"{at}.values")
    return graph.element([x], "transpose", [windows, pixels, heads * depth], f"{at}.joined")

"""What a design of operators is made of: each family's share of it."""

from __future__ import annotations

import numpy as np

from alphaflops.measuring import families_images as images
from alphaflops.measuring import families_tokens as tokens
from alphaflops.measuring.families_images import MAX_MACS, Family, large, log_uniform, of
from alphaflops.measuring.shapes import Shape

__all__ = ["MAX_MACS", "SHARES", "Family", "large", "log_uniform", "update"]


def calls(random: np.random.Generator) -> Shape:
    """Draw calls that launch nothing."""
    return Shape("call", 1, 5 * int(random.integers(1, 5)), 1)


#: Family: its share of a design; they need not add up to 1.
SHARES: dict[str, dict[Family, float]] = {
    "fused": {
        images.pointwise: 0.25,
        images.spatial: 0.22,
        large: 0.05,
        images.depthwise: 0.11,
        images.linear: 0.06,
        images.elementwise: 0.07,
        images.concat: 0.04,
        images.norm: 0.05,
        images.pool: 0.06,
        images.grouped: 0.03,
        images.softmax: 0.02,
        images.image_transcendental: 0.05,
        images.squeeze_excite: 0.03,
    },
    # Fused launches of image classifiers and of transformers.
    "sequences": {
        images.pointwise: 0.20,
        images.spatial: 0.16,
        large: 0.04,
        images.depthwise: 0.09,
        images.linear: 0.04,
        images.elementwise: 0.06,
        images.gate: 0.03,
        images.concat: 0.03,
        images.norm: 0.04,
        images.pool: 0.03,
        images.grouped: 0.02,
        images.softmax: 0.01,
        tokens.scores: 0.02,
        tokens.recurrent: 0.04,
        images.transposed: 0.03,
        tokens.token_linear: 0.06,
        images.squeeze_excite: 0.02,
        tokens.layer_norm: 0.03,
        tokens.attention: 0.05,
        tokens.matmul: 0.04,
        tokens.transcendental: 0.03,
    },
    "eager": {
        images.pointwise: 0.15,
        images.spatial: 0.13,
        images.patches: 0.02,
        large: 0.04,
        images.late: 0.05,
        images.depthwise: 0.09,
        images.wide_depthwise: 0.02,
        calls: 0.01,
        images.squeeze_excite: 0.02,
        images.norm: 0.08,
        images.elementwise: 0.11,
        images.eager_pool: 0.08,
        images.linear: 0.06,
        images.concat: 0.03,
        images.grouped: 0.03,
        images.unlike_groups: 0.03,
        images.grouped_pointwise: 0.02,
        images.softmax: 0.01,
        tokens.token_linear: 0.05,
        tokens.layer_norm: 0.02,
        tokens.attention: 0.03,
        tokens.matmul: 0.02,
        tokens.window_matmul: 0.025,
        tokens.transcendental: 0.03,
        tokens.recurrent_batch: 0.03,
        tokens.lstm_batch: 0.03,
        images.transposed: 0.055,
        images.volume: 0.05,
        images.mean: 0.01,
        # Activations that take many more instructions than a GELU, or a call of several.
        **{of(op): 0.004 for op in ("gelu_tanh", "mish", "elu", "softplus")},
        **{of(op): 0.007 for op in ("group_norm", "instance_norm")},
        tokens.rms_norm: 0.007,
        # What a decoder brings to twice its extent.
        of("interpolate_nearest", most=56): 0.02,  # two ways to compute it, by the extent
        of("interpolate_bilinear", most=56): 0.01,
        tokens.rearranged: 0.065,
        tokens.scores: 0.02,
    },
    "training": {
        images.pointwise: 0.13,
        images.spatial: 0.12,
        images.late: 0.04,
        images.depthwise: 0.10,
        calls: 0.02,
        images.grouped: 0.02,
        images.norm: 0.12,
        tokens.layer_norm: 0.04,
        images.elementwise: 0.09,
        images.eager_pool: 0.07,
        images.linear: 0.04,
        tokens.token_linear: 0.06,
        images.concat: 0.02,
        images.softmax: 0.02,
        tokens.attention: 0.05,
        tokens.matmul: 0.03,
        tokens.transcendental: 0.04,
        images.mean: 0.01,
    },
}


def update(optimizer: str, random: np.random.Generator) -> Shape:
    """Draw the parameters of a layer: a matrix, or the scale and the shift of a norm."""
    if random.random() < 0.5:  # noqa: PLR2004
        c = round(log_uniform(random, 16, 2048))
        return Shape(optimizer, 1, 1, c, pass_="optimizer", bias=True)
    c_in, c_out = (round(log_uniform(random, 8, 2048)) for _ in range(2))
    return Shape(optimizer, c_in, 1, c_out, pass_="optimizer")

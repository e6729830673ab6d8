"""What populations are priced with elsewhere: NumPy expressions, and a counter of layers in Python.

NumPy gets tables of one number a choice, which FBNet has because no block of it changes what the
next one sees. Every expression works through the codes in chunks that stay in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import alphaflops as af

CHUNK = 4096
Codes = NDArray[np.uint8]
Price = Callable[[Codes], NDArray[np.float64]]


def tables_of(compiled: af.spaces.CompiledSpace, metrics: tuple[str, ...]) -> Any:
    """Return the sum at choices 0 [metrics], and by how much each choice differs, all choices.

    [positions, choices, metrics]
    """
    space = compiled.space
    zeros = np.zeros(space.positions, np.uint8)
    most = max(len(choices) for choices in space.choices)
    tables = np.zeros((space.positions, most, len(metrics)))
    costs = compiled.evaluate(zeros[np.newaxis], metrics)
    base = np.array([costs[metric][0] for metric in metrics], np.float64)
    for position, choices in enumerate(space.choices):
        for choice in range(len(choices)):
            for m, metric in enumerate(metrics):
                tables[position, choice, m] = compiled.delta(zeros, position, choice, metric)
    return base, tables


def in_chunks(codes: Codes, metrics: int, price: Price) -> NDArray[np.float64]:
    out = np.empty((len(codes), metrics))
    for first in range(0, len(codes), CHUNK):
        out[first : first + CHUNK] = price(codes[first : first + CHUNK])
    return out


def numpy_versions(compiled: af.spaces.CompiledSpace, metrics: tuple[str, ...]) -> dict[str, Price]:
    """Return ways to price codes [n, positions], each to [n, metrics]."""
    base, tables = tables_of(compiled, metrics)
    positions, choices, width = tables.shape
    rows = np.arange(positions)
    flat = tables.reshape(-1, width)
    starts = (rows * choices).astype(np.intp)
    # Two digits as one 16-bit word: low byte first.
    pairs = np.zeros((positions // 2, 256 * choices, width))
    for k in range(positions // 2):
        for high in range(choices):
            low = pairs[k, 256 * high : 256 * high + choices]
            low[:] = tables[2 * k] + tables[2 * k + 1, high]
    fourth = 256 * choices

    def index(codes: Codes) -> NDArray[np.float64]:
        return tables[rows, codes].sum(axis=1) + base

    def take(codes: Codes) -> NDArray[np.float64]:
        return flat.take(codes + starts, axis=0).sum(axis=1) + base

    def column_by_column(codes: Codes) -> NDArray[np.float64]:
        out = np.tile(base, (len(codes), 1))
        for p in range(positions):
            out += tables[p].take(codes[:, p], axis=0)
        return out

    def pair_by_pair(codes: Codes) -> NDArray[np.float64]:
        words = np.ascontiguousarray(codes).view("<u2")
        out = np.tile(base, (len(codes), 1))
        part = np.empty_like(out)
        for k in range(positions // 2):
            # Any mode but "raise" writes to `out` without a buffer.
            pairs[k].take(words[:, k], axis=0, out=part, mode="clip")
            out += part
        return out

    def pairs_at_once(codes: Codes) -> NDArray[np.float64]:
        words = np.ascontiguousarray(codes).view("<u2") + fourth * np.arange(positions // 2)
        return pairs.reshape(-1, width).take(words, axis=0, mode="clip").sum(axis=1) + base

    versions = {
        "tables[arange, codes].sum": index,
        "flat take": take,
        "take, position by position": column_by_column,
    }
    if positions % 2 == 0:
        versions |= {"take of pairs, one by one": pair_by_pair, "take of pairs": pairs_at_once}

    def chunked(price: Price) -> Price:
        return lambda codes: in_chunks(codes, width, price)

    return {name: chunked(price) for name, price in versions.items()}


# Counting layers from a description of the network, in Python, as once-for-all does.

STEM, HEAD, CLASSES = 16, 1504, 100
STAGES = (
    (1, 16, 1), (4, 24, 1), (4, 32, 2), (4, 64, 2), (4, 112, 1), (4, 184, 2), (1, 352, 1),
)  # fmt: skip
OPERATORS = ((3, 1), (3, 1), (3, 3), (3, 6), (5, 1), (5, 1), (5, 3), (5, 6))


def description(code: Codes) -> dict[str, Any]:
    """Describe a network of FBNet as once-for-all describes its own; groups are left out."""
    blocks = []
    c_in, number = STEM, 0
    for count, c_out, first_stride in STAGES:
        for block in range(count):
            conv = None
            if code[number] < len(OPERATORS):
                kernel, expansion = OPERATORS[code[number]]
                conv = {
                    "in_channels": c_in, "out_channels": c_out, "kernel_size": kernel,
                    "stride": first_stride if block == 0 else 1, "expand_ratio": expansion,
                    "mid_channels": c_in * expansion,
                }  # fmt: skip
            blocks.append({"mobile_inverted_conv": conv, "shortcut": {}})
            c_in, number = c_out, number + 1
    return {
        "first_conv": {"out_channels": STEM},
        "blocks": blocks,
        "feature_mix_layer": {"in_channels": c_in, "out_channels": HEAD},
        "classifier": {"in_features": HEAD, "out_features": CLASSES},
    }


def layer_counter() -> tuple[str, Callable[[dict[str, Any]], float]]:
    """Return once-for-all's counter of a description where `ofa` is installed, else its like."""
    try:
        from ofa.nas.efficiency_predictor.latency_lookup_table import (  # noqa: PLC0415
            ProxylessNASLatencyTable,
        )
    except ImportError as error:
        return f"a counter like once-for-all's ({error})", count_layers
    return "once-for-all's counter", lambda net: ProxylessNASLatencyTable.count_flops_given_config(
        net, 32
    )


def efficiency_model() -> Callable[[], float] | None:
    """Return a call that prices a random network of once-for-all's as its search does.

    `Mbv3FLOPsModel.get_efficiency` selects the network in the supernet, describes it and counts.
    """
    try:
        from ofa.imagenet_classification.elastic_nn.networks import (  # noqa: PLC0415
            OFAMobileNetV3,
        )
        from ofa.nas.efficiency_predictor import Mbv3FLOPsModel  # noqa: PLC0415
    except ImportError:
        return None
    kernels, expansions, depths = [3, 5, 7], [3, 4, 6], [2, 3, 4]
    net = OFAMobileNetV3(ks_list=kernels, expand_ratio_list=expansions, depth_list=depths)
    model, rng = Mbv3FLOPsModel(net), np.random.default_rng(0)

    def price() -> float:
        return model.get_efficiency(
            {
                "ks": rng.choice(kernels, 20).tolist(),
                "e": rng.choice(expansions, 20).tolist(),
                "d": rng.choice(depths, 5).tolist(),
                "image_size": 224,
            }
        )

    return price


def count_layers(net: dict[str, Any], side: int = 32) -> float:
    """Count multiply-adds of a description, convolution by convolution."""

    def conv(extent: int, c_in: int, c_out: int, kernel: int = 1, groups: int = 1) -> float:
        return extent * extent * kernel * kernel * c_in * c_out / groups

    extent = (side + 1) // 2
    macs = conv(extent, 3, net["first_conv"]["out_channels"], 3)
    for block in net["blocks"]:
        layer = block["mobile_inverted_conv"]
        if layer is None:
            continue
        hidden = layer["mid_channels"]
        if layer["expand_ratio"] != 1:
            macs += conv(extent, layer["in_channels"], hidden)
        extent = (extent - 1) // layer["stride"] + 1
        macs += conv(extent, hidden, hidden, layer["kernel_size"], hidden)
        macs += conv(extent, hidden, layer["out_channels"])
    mix, last = net["feature_mix_layer"], net["classifier"]
    macs += conv(extent, mix["in_channels"], mix["out_channels"])
    return (macs + conv(1, last["in_features"], last["out_features"])) / 1e6

"""Shipped spaces count what arithmetic does, and what is published."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from shipped_spaces import compiled, made

import alphaflops as af
from alphaflops.errors import ModelError, UnsupportedError

# NAS-Bench-201


def test_all_cells_count_what_their_edges_do():
    space, tables = made("nasbench201"), compiled("nasbench201")
    codes = np.array(list(itertools.product(range(5), repeat=6)), np.uint8)
    found = tables.evaluate(codes, ("macs", "params"))
    wide, narrow = (codes == 3).sum(axis=1), (codes == 2).sum(axis=1)
    pixels = np.array([32, 16, 8]) ** 2
    channels = np.array([16, 32, 64])
    np.testing.assert_array_equal(
        found["macs"], 7_783_040 + 5 * (pixels * channels**2).sum() * (9 * wide + narrow)
    )
    norms = 2 * channels.sum()
    np.testing.assert_array_equal(
        found["params"],
        73_306
        + 5 * wide * (9 * (channels**2).sum() + norms)
        + 5 * narrow * ((channels**2).sum() + norms),
    )
    assert (space.size, len(codes)) == (15_625, 15_625)


def test_the_largest_and_the_smallest_cell_count_what_is_published():
    # 220.12 M and 1.531546 M; 7.78 M and 0.073306 M.
    found = compiled("nasbench201").evaluate([[3] * 6, [0] * 6], ("macs", "params"))
    assert found.tolist() == [(220_119_680, 1_531_546), (7_783_040, 73_306)]
    work = af.lower(made("nasbench201").graph("3-3-3-3-3-3"))
    assert (work.macs.sum(), work.params.sum()) == (220_119_680, 1_531_546)


def test_a_node_of_nothing_is_zeros_and_one_launch():
    space = made("nasbench201")
    kinds = np.array(af._core.KINDS)

    def copies(code):
        return int((kinds[af.lower(space.graph(code)).kind] == "copy").sum())

    assert copies("0-0-0-0-0-0") == 15 * 3  # nodes 1, 2 and 3
    assert copies("1-0-0-0-0-0") == 15 * 2
    assert copies("0-1-0-0-0-1") == 15
    assert copies("1-0-1-0-0-1") == 0


def test_data_sets():
    cifar100 = af.lower(af.spaces.nasbench201("cifar100").graph("3-3-3-3-3-3"))
    assert cifar100.params.sum() == 1_531_546 + 90 * 65
    assert cifar100.macs.sum() == 220_119_680 + 90 * 64
    small = af.lower(made("imagenet16").graph("3-3-3-3-3-3"))
    assert small.macs.sum() == (220_119_680 - 640) // 4 + 120 * 64
    with pytest.raises(UnsupportedError, match="no data set 'mnist'; use cifar10"):
        af.spaces.nasbench201("mnist")


# DARTS


def darts_code(space, normal, reduce):
    text = normal + reduce
    return [space.choices[i].index(edge) for i, edge in enumerate(text.split())]


def test_the_cells_that_darts_found_count_what_is_published():
    space = made("darts")
    code = darts_code(
        space,
        "sep_conv_3x3~0 sep_conv_3x3~1 sep_conv_3x3~0 sep_conv_3x3~1 sep_conv_3x3~1 "
        "skip_connect~0 skip_connect~0 dil_conv_3x3~2 ",
        "max_pool_3x3~0 max_pool_3x3~1 skip_connect~2 max_pool_3x3~1 max_pool_3x3~0 "
        "skip_connect~2 skip_connect~2 max_pool_3x3~1",
    )
    # The authors' program logs "param size = 3.349342MB" for these cells, second order.
    assert compiled("darts").evaluate([code], "params")[0] == 3_349_342


def darts_macs(space, code, *, cells, channels, side):
    """MACs from the paper's description alone."""

    def edge(operator, c, pixels, stride):
        if operator.startswith("sep"):
            return 2 * pixels * c * (int(operator[-1]) ** 2 + c)
        if operator.startswith("dil"):
            return pixels * c * (int(operator[-1]) ** 2 + c)
        return pixels * c * c if operator.startswith("skip") and stride == 2 else 0

    total, c, pixels = side**2 * 27 * 3 * channels, channels, side**2
    before = last = 3 * channels
    for cell in range(cells):
        reduces = cell in {cells // 3, 2 * cells // 3}
        c *= 2 if reduces else 1
        # Input 0 has the image of cell k - 2; where it is larger, it is halved on the way.
        total += pixels * c * (before + last)
        pixels //= 4 if reduces else 1
        for i in range(8):
            at = 8 * reduces + i
            operator, source = space.choices[at][code[at]].split("~")
            total += edge(operator, c, pixels, 2 if reduces and int(source) < 2 else 1)
        before, last = last, 4 * c
    return total + last * 10


def test_random_darts_cells_count_what_the_paper_describes():
    for name, (cells, channels, side) in (("darts", (20, 36, 32)), ("short_darts", (5, 8, 16))):
        space = made(name)
        codes = space.sample(200, 13)
        macs = compiled(name).evaluate(codes, "macs")
        want = functools.partial(darts_macs, space, cells=cells, channels=channels, side=side)
        assert macs.tolist() == [want(code) for code in codes]


# Mobile blocks


def mobile_macs(before, c_in, c_out, *, stride, kernel, hidden, squeezed=0):
    after = (before - 1) // stride + 1
    expand = before**2 * c_in * hidden if hidden != c_in else 0
    return (
        expand + after**2 * hidden * (kernel**2 + c_out) + 2 * hidden * squeezed,
        after,
    )


def proxyless_macs(space, code):
    blocks = [
        (c_out, stride if i == 0 else 1)
        for c_out, n, stride in zip(
            (24, 40, 80, 96, 192, 320), (4, 4, 4, 4, 4, 1), (2, 2, 2, 1, 2, 1), strict=True
        )
        for i in range(n)
    ]
    total, side = 112**2 * 27 * 32 + mobile_macs(112, 32, 16, stride=1, kernel=3, hidden=32)[0], 112
    c_in = 16
    for position, (c_out, stride) in enumerate(blocks):
        name = space.choices[position][code[position]]
        if name != "skip":
            kernel, expansion = (int(part[1:]) for part in name.split("_"))
            more, side = mobile_macs(
                side, c_in, c_out, stride=stride, kernel=kernel, hidden=expansion * c_in
            )
            total += more
        c_in = c_out
    return total + 7**2 * 320 * 1280 + 1280 * 1000


def test_proxyless_counts_what_the_table_says():
    space = made("proxyless")
    assert [len(c) for c in space.choices] == 5 * [6, 7, 7, 7] + [6]
    codes = space.sample(200, 14)
    macs = compiled("proxyless").evaluate(codes, "macs")
    assert macs.tolist() == [proxyless_macs(space, code) for code in codes]
    with pytest.raises(ModelError, match="5 widths; there are 6 stages"):
        af.spaces.proxyless((24, 40, 80, 96, 192))


def divisible(x):
    near = max(8, int(x + 4) // 8 * 8)
    return near + 8 if near < 0.9 * x else near


def ofa_macs(space, code, multiplier):
    said = space.describe(code)
    side = (int(said["resolution"]) - 1) // 2 + 1
    c_in = divisible(16 * multiplier)
    total = side**2 * 27 * c_in + mobile_macs(side, c_in, c_in, stride=1, kernel=3, hidden=c_in)[0]
    for number, (channels, stride, excites) in enumerate(
        ((24, 2, False), (40, 2, True), (80, 2, False), (112, 1, True), (160, 2, True)), 1
    ):
        at = f"stage{number}"
        c_out = int(said.get(f"{at}.width", divisible(channels * multiplier)))
        for block in range(int(said[f"{at}.depth"])):
            kernel, expansion = (int(x[1:]) for x in said[f"{at}.block{block + 1}"].split("_"))
            hidden = divisible(expansion * c_in)
            more, side = mobile_macs(
                side, c_in, c_out, stride=stride if block == 0 else 1, kernel=kernel,
                hidden=hidden, squeezed=divisible(hidden // 4) if excites else 0,
            )  # fmt: skip
            total, c_in = total + more, c_out
    expanded, features = divisible(960 * multiplier), divisible(1280 * multiplier)
    return total + side**2 * c_in * expanded + expanded * features + features * 1000


@pytest.mark.parametrize(("name", "multiplier"), [("ofa", 1.0), ("ofa_widths", 1.2)])
def test_once_for_all_counts_what_the_table_says(name, multiplier):
    space = made(name)
    codes = space.sample(200, 15)
    macs = compiled(name).evaluate(codes, "macs")
    assert macs.tolist() == [ofa_macs(space, code, multiplier) for code in codes]


def test_once_for_all_has_the_positions_of_the_paper():
    space = made("ofa")
    assert space.names[:7] == (
        "resolution", "stage1.depth", "stage1.block1", "stage1.block2", "stage1.block3",
        "stage1.block4", "stage2.depth",
    )  # fmt: skip
    # 9 operators a block, 2 to 4 blocks a stage, 5 stages: about 2 x 10^19 networks.
    assert (9**2 + 9**3 + 9**4) ** 5 * 25 < space.size == 25 * (3 * 9**4) ** 5
    widths = made("ofa_widths")
    assert widths.choices[widths.names.index("stage5.width")] == ("144", "192", "240")
    with pytest.raises(ModelError, match="must be positive"):
        af.spaces.ofa(widths=(0.5, 0))


def test_blocks_beyond_the_depth_change_nothing():
    space, tables = made("ofa_widths"), compiled("ofa_widths")
    codes = space.sample(50, 16)
    other = codes.copy()
    depths = [space.names.index(f"stage{s}.depth") for s in range(1, 6)]
    for row in range(50):
        for depth in depths:
            first = depth + 2 + int(codes[row, depth]) + 2
            other[row, first : depth + 6] = (codes[row, first : depth + 6] + 4) % 9
    assert (other != codes).any(axis=1).mean() > 0.9
    metrics = ("time_s", "macs", "peak_memory_bytes")
    np.testing.assert_array_equal(tables.evaluate(codes, metrics), tables.evaluate(other, metrics))


# Transformer


def test_transformers_count_what_their_layers_do():
    space = made("short_transformer")
    for code in space.sample(40, 17):
        said = space.describe(code)
        width, layers = int(said["width"]), int(said["layers"])
        macs = params = 0
        for layer in range(1, layers + 1):
            inner = 64 * int(said[f"layer{layer}.heads"])
            hidden = int(said[f"layer{layer}.ratio"]) * width
            macs += 33 * (4 * width * inner + 2 * width * hidden) + 2 * 33**2 * inner
            params += 4 * width * inner + 3 * inner + width
            params += 2 * width * hidden + hidden + width + 4 * width
        params += (30522 + 33) * width + 2 * width
        found = compiled("short_transformer").evaluate(code[np.newaxis], ("macs", "params"))
        assert found[0].item() == (macs, params)
    graph = space.graph(space.sample(1, 1)[0], batch=2)
    assert graph.shape(len(graph) - 1)[:2] == (2, 33)
    with pytest.raises(ModelError, match="at most 0 layers"):
        af.spaces.transformer(layers=0)

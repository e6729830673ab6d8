"""Shipped spaces: tables against graphs, peak memory, and what is documented."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from shipped_spaces import SPACES, compiled, made
from space_profiles import COUNTS, FAST, SLOW, SUMS, assert_same, device, priced, unread_bytes

import alphaflops as af

CHAINS = ["fbnet", "ofa", "ofa_widths", "proxyless", "transformer", "short_transformer"]
CELLS = ["darts", "imagenet16", "nasbench201", "short_darts"]

# What is documented

DOCS = (Path(__file__).parent.parent / "docs" / "spaces.md").read_text(encoding="utf-8")


def test_the_documented_programs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FAST.save("my-cpu.json")
    SLOW.save("other.json")
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 5
    assert names["both"].shape == (1000, 2)
    for space in (names["small"], names["elastic"]):
        assert_same(space, space.compile(FAST), space.sample(8, 1))


def test_the_documented_sizes():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| \S+ \| ([\d,]+) \|", DOCS, re.MULTILINE)
    assert sorted(name for name, *_ in rows) == sorted(af.spaces.SPACES)
    for name, positions, parts in rows:
        assert made(name).positions == int(positions)
        assert compiled(name).parts == int(parts.replace(",", ""))


# Tables against graphs


@pytest.mark.parametrize("name", sorted(SPACES))
def test_tables_cost_what_graphs_cost_on_two_devices(name):
    assert_same(made(name), compiled(name), made(name).sample(3, 7))


@pytest.mark.parametrize("name", ["fbnet", "imagenet16", "short_darts", "short_transformer"])
def test_tables_cost_what_graphs_cost_eager_and_in_batches(name):
    space = made(name)
    tables = space.compile(FAST, batch=3, mode="eager")
    assert_same(space, tables, space.sample(4, 8))
    fused = compiled(name).evaluate(space.sample(4, 8), "launches")
    assert (tables.evaluate(space.sample(4, 8), "launches") > fused).all()


@pytest.mark.parametrize("name", CHAINS)
def test_peak_memory_of_chains_is_that_of_the_graph(name):
    assert_same(made(name), compiled(name), made(name).sample(5, 9), metrics=("peak_memory_bytes",))


@pytest.mark.parametrize(("name", "share"), [("short_darts", 0.1), ("nasbench201", 0.35)])
def test_peak_memory_of_cells_is_a_bound(name, share):
    space = made(name)
    codes = space.sample(60, 10)
    bounds = compiled(name).evaluate(codes, "peak_memory_bytes")
    ratios = []
    for code, bound in zip(codes, bounds, strict=True):
        graph = space.graph(code)
        exact = af._core.peak_memory(graph, "fused").total_bytes
        # What nothing reads stays to the end of a graph, and to the end of the cell in tables.
        assert bound >= exact - unread_bytes(graph)
        ratios.append(bound / exact)
    assert max(ratios) <= 1 + share
    assert max(ratios) > 1 + share / 10


@pytest.mark.parametrize("name", sorted(SPACES))
def test_every_position_makes_a_difference_and_only_through_its_choice(name):
    space, tables = made(name), compiled(name)
    base = space.sample(40, 11)
    for position, choices in enumerate(space.choices):
        codes = np.repeat(base[np.newaxis], len(choices), axis=0)
        codes[:, :, position] = np.arange(len(choices))[:, np.newaxis]
        flat = codes.reshape(-1, space.positions)
        costs = tables.evaluate(flat, ("time_s", "macs"))
        by_choice = costs["time_s"][:, 0].reshape(len(choices), -1)
        assert (np.ptp(by_choice, axis=0) > 0).any(), space.names[position]
        changes = [tables.delta(base[0], position, c) for c in range(len(choices))]
        np.testing.assert_allclose(
            changes, by_choice[:, 0] - tables.evaluate(base[:1])[0, 0], rtol=0, atol=1e-15
        )


@pytest.mark.parametrize("name", sorted(SPACES))
def test_bounds_are_reached_and_not_passed(name):
    space, tables = made(name), compiled(name)
    for metric in ("time_s", "macs", "params"):
        least, most, cheapest, dearest = tables.bounds(metric, 0)
        ends = tables.evaluate(np.stack([cheapest, dearest]), metric).reshape(2, -1)[:, 0]
        np.testing.assert_allclose(ends, [least, most], rtol=1e-12)
        drawn = tables.evaluate(space.sample(3000, 12), metric).reshape(3000, -1)[:, 0]
        assert least * (1 - 1e-12) <= drawn.min()
        assert drawn.max() <= most * (1 + 1e-12)


def test_bits_are_a_choice():
    """A step's dtype holds for that step, in graphs and in tables."""

    def block(dtype):
        def build(graph, x):
            graph.set_dtype(dtype)
            return graph.relu(graph.conv2d(x, 16, 3, 1, 1), "relu")

        return build

    space = af.spaces.SearchSpace("bits")
    space.image(3, 16, 16)
    for layer in range(3):
        space.choose(f"layer{layer}", {dtype: block(dtype) for dtype in ("fp32", "fp16", "int8")})
    space.then("head", lambda graph, x: graph.linear(graph.flatten(x), 10))
    graph = space.graph("0-2-1")
    dtypes = [graph.node_dtype(i) for i in range(len(graph)) if graph.node_op(i) == "conv2d"]
    assert dtypes == ["fp32", "int8", "fp16"]
    assert graph.node_dtype(len(graph) - 1) == "fp32"
    tables = space.compile(device(dtypes=("fp32", "fp16", "int8")))
    codes = np.array(list(itertools.product(range(3), repeat=3)), np.uint8)
    assert_same(space, tables, codes, metrics=(*SUMS, *COUNTS, "peak_memory_bytes"))
    wide, narrow = tables.evaluate([[0, 0, 0], [2, 2, 2]], ("bytes_read", "peak_memory_bytes"))
    assert narrow["bytes_read"] < wide["bytes_read"]
    assert narrow["peak_memory_bytes"] < wide["peak_memory_bytes"]
    with pytest.raises(af.errors.ProfileError, match="conv_spatial in int8"):
        space.compile(device(dtypes=("fp32", "fp16")))


def test_adapting_takes_any_shipped_space():
    space = made("nasbench201")
    codes = space.sample(30, 18)
    seconds = [priced(space.graph(code), FAST)["time_s"] for code in codes]
    adapted = af.adapt(space, codes[:15], seconds[:15])
    found = space.compile(adapted.profile).evaluate(codes[15:])
    assert np.median(np.abs(found / seconds[15:] - 1)) < 0.1

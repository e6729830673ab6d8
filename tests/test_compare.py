"""Comparing two benches: synthetic samples of known shift and noise, and real ones."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_clear_error, run

from alphaflops import zoo
from alphaflops.errors import ShapeError, TableError
from alphaflops.measuring.bench import bench
from alphaflops.measuring.cases import cases_of_graph
from alphaflops.measuring.compare import compare_benches


def made(
    random: np.random.Generator,
    *,
    shift: float = 0.0,
    shapes: int = 40,
    n: int = 25,
    drift: float = 0.004,
    load: float = 0.3,
) -> dict[str, Any]:
    """Make a bench as a shared machine gives it: a floor, skewed noise, drift of each point."""
    points = []
    for i in range(shapes):
        point: dict[str, Any] = {"name": f"row {i}", "label": f"shape {i}", "op": "conv2d"}
        point |= {"shape": {"c_in": i}, "dtype": "fp32", "threads": 1, "algorithm": "gemm"}
        for cache in ("hot", "cold"):
            level = (1 + shift) * np.exp(drift * random.standard_normal())
            slowed = random.exponential(0.15, n) * (random.random(n) < load)
            times = level * np.exp(np.abs(0.004 * random.standard_normal(n)) + slowed)
            samples = [[float(t), 1, 0.0, 0, 3e9, 0.0, 0] for t in times]
            point[cache] = {"samples": samples, "floor_s": float(np.quantile(times, 0.05))}
        points.append(point)
    return {"points": points, "controls": {"flops_per_s": 1e11, "clock_hz": 3e9}}


def share(verdict: tuple[str, ...], shift: float, **noise: float) -> float:
    random = np.random.default_rng(5)
    counts = []
    for _ in range(6):
        result = compare_benches(made(random, **noise), made(random, shift=shift, **noise))
        counts.append(sum(result["counts"][v] for v in verdict) / len(result["points"]))
    return float(np.mean(counts))


@pytest.mark.parametrize("load", [0.0, 0.3, 0.6])
def test_five_per_cent_is_called_and_nothing_else_is(load: float) -> None:
    assert share(("SLOWER",), 0.05, load=load) >= 0.95
    assert share(("FASTER",), -0.05 / 1.05, load=load) >= 0.95
    assert share(("SLOWER", "FASTER"), 0.0, load=load) <= 0.02
    assert share(("SAME",), 0.0, load=load) >= 0.8


def test_unstable_points_are_unclear_rather_than_wrong() -> None:
    assert share(("SLOWER", "FASTER"), 0.0, drift=0.03) <= 0.02


def test_a_machine_that_drifted_is_not_blamed_on_the_code() -> None:
    random = np.random.default_rng(1)
    a, b = made(random), made(random, shift=0.04)
    assert compare_benches(a, b)["counts"]["SLOWER"] > 70
    b["controls"]["flops_per_s"] /= 1.05  # the control probe slowed as much
    result = compare_benches(a, b)
    assert result["counts"]["SLOWER"] == 0
    assert result["control_ratio"] == pytest.approx(1.05)


def test_a_bench_is_the_same_as_itself_and_shapes_are_matched() -> None:
    a = made(np.random.default_rng(2), shapes=6)
    result = compare_benches(a, a)
    assert result["common_ratio"] == 1.0
    assert all(p["ratio"] == 1.0 for p in result["points"])
    b = copy.deepcopy(a)
    b["points"] = b["points"][2:]
    b["points"][0]["threads"] = 2
    result = compare_benches(a, b)
    assert len(result["points"]) == 6
    assert result["only_a"] == ["shape 0", "shape 1", "shape 2"]
    assert result["only_b"] == ["shape 2, 2 threads"]


def test_refusals() -> None:
    a = made(np.random.default_rng(3), shapes=2)
    b = copy.deepcopy(a)
    for point in b["points"]:
        point["dtype"] = "int8"
    with pytest.raises(TableError, match="no shape in common"):
        compare_benches(a, b)
    with pytest.raises(ShapeError, match="least_effect is 0"):
        compare_benches(a, a, least_effect=0)
    done = run("bench", "compare", "a.json", "b.json", "--effect", "5")
    assert_one_clear_error(done, "--effect 5: it is a share", "0.05 is 5 %")


def test_too_few_samples_are_unclear() -> None:
    random = np.random.default_rng(4)
    few = made(random, n=2, shapes=3)
    assert compare_benches(few, few)["counts"]["UNCLEAR"] == 6


@pytest.mark.alone
def test_an_injected_slowdown_of_real_calls_shows() -> None:
    # 15 %, as this must hold beside other programs; benchmarks/repeat.py says what 5 % does.
    cases = cases_of_graph(zoo.build("mobilenet_v2"))[8:14]
    result = compare_benches(bench(cases, budget_s=4.0), bench(cases, budget_s=4.0, delay=0.15))
    assert result["counts"]["FASTER"] == 0
    assert result["common_ratio"] == pytest.approx(1.15, abs=0.07)

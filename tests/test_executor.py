"""The executor from Python, and whole networks against their predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError, ShapeError, UnsupportedError
from alphaflops.measuring.device import describe_device, pinned, probe
from alphaflops.measuring.validation import validate


def small(width: int = 8) -> af.Graph:
    graph = af.Graph("small")
    x = graph.relu(graph.batch_norm(graph.conv2d(graph.input((1, 3, 16, 16)), width, 3, 1, 1)))
    y = graph.relu(graph.conv2d(x, width, 1, bias=True))
    graph.linear(graph.flatten(graph.global_avg_pool(graph.add(x, y))), 10)
    return graph


def test_against_numpy() -> None:
    graph = af.Graph()
    x = graph.input((5, 7))
    y = graph.linear(x, 4, bias=True)
    graph.softmax(graph.relu(y))
    executor = _core.Executor(graph, seed=3)
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    executor.input()[:] = values.ravel()
    executor.run()
    weights = np.array(executor.weights(y)).reshape(4, 7)
    hidden = np.maximum(values @ weights.T + np.array(executor.shift(y)), 0)
    expected = np.exp(hidden) / np.exp(hidden).sum(1, keepdims=True)
    np.testing.assert_allclose(executor.output().reshape(5, 4), expected, rtol=1e-5)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("mode", ["fused", "eager"])
def test_every_isa_and_mode_agree(isa: str, mode: str) -> None:
    graph = small()
    one = _core.Executor(graph, "fused", "scalar")
    other = _core.Executor(graph, mode, isa)
    one.run()
    other.run()
    np.testing.assert_allclose(other.output(), one.output(), rtol=1e-4, atol=1e-5)
    assert other.isa == isa
    assert len(other.run_timed()) == len(_core.lower(graph, mode)) == len(other.work)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "densenet121"])
def test_networks_of_the_zoo_run(name: str) -> None:
    graph = af.zoo.build(name, image_size=64)
    fused, eager = _core.Executor(graph), _core.Executor(graph, "eager")
    fused.run()
    eager.run()
    assert np.isfinite(fused.output()).all()
    np.testing.assert_allclose(
        fused.output(), eager.output(), rtol=1e-3, atol=1e-4 * np.abs(eager.output()).max()
    )


@pytest.mark.parametrize("mode", ["fused", "fused_relu"])
@pytest.mark.parametrize("name", ["fbnet", "nasbench201", "ofa", "proxyless"])
def test_networks_of_spaces_run(name: str, mode: str) -> None:
    space = af.spaces.SPACES[name]()
    for code in space.sample(3, 1):
        graph = space.graph(code)
        fused, eager = _core.Executor(graph, mode), _core.Executor(graph, "eager", "scalar")
        assert len(fused.work) == len(_core.lower(graph, mode))
        fused.run()
        eager.run()
        np.testing.assert_allclose(
            fused.output(), eager.output(), rtol=1e-3, atol=1e-4 * np.abs(eager.output()).max()
        )


def test_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="fp16"):
        _core.Executor(small().with_dtype("fp16"))
    with pytest.raises(UnsupportedError, match="sse2"):
        _core.Executor(small(), isa="sse2")
    with pytest.raises(UnsupportedError, match="odd: operator 'part'"):
        _core.Executor(af.spaces.darts().graph(np.zeros(16, np.uint8)))


def test_device() -> None:
    device = describe_device("scalar")
    assert device["name"]
    assert device["isa"] == "scalar"
    assert device["library"] == af.__version__
    peaks = probe(duration_s=0.1)
    assert peaks["peak_flops"] > peaks["clock_hz"]
    assert peaks["read_bytes_per_s"] > 1e8


def test_pinned_restores_the_affinity() -> None:
    before = _core.thread_affinity()
    with pinned() as cpu:
        assert cpu is None or _core.thread_affinity() == [cpu]
    assert _core.thread_affinity() == before

    def fail() -> None:
        with pinned():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert _core.thread_affinity() == before


@dataclass
class FakeProfile:
    core: _core.Profile


@pytest.fixture
def profile() -> object:
    from alphaflops.profiles import load_profile  # noqa: PLC0415

    return load_profile("quadro-t2000")


def convs_only(width: int) -> af.Graph:
    graph = af.Graph(f"convs{width}")
    x = graph.input((1, 3, 32, 32))
    for _ in range(3):
        x = graph.relu(graph.conv2d(x, width, 3, 1, 1))
    return graph


def test_validate(profile: FakeProfile) -> None:
    graphs = [convs_only(16), convs_only(64)]
    rows = validate(graphs, profile, repeats=7)
    assert rows["name"].tolist() == ["convs16", "convs64"]
    assert (rows["measured_lo_s"] <= rows["measured_s"]).all()
    assert (rows["measured_s"] <= rows["measured_hi_s"]).all()
    assert rows["measured_s"][1] > 2 * rows["measured_s"][0]
    np.testing.assert_allclose(rows["error"], rows["predicted_s"] / rows["measured_s"] - 1)
    predicted = _core.predict(_core.lower(graphs[0], "fused"), profile.core).total_time_s
    assert rows["predicted_s"][0] == predicted
    assert (rows["samples"] >= 3).all()


def test_validate_within_a_budget(profile: FakeProfile) -> None:
    seen: list[tuple[int, int, float, float]] = []
    rows = validate([convs_only(16)], profile, budget_s=0.2, progress=lambda *a: seen.append(a))
    assert rows["samples"][0] >= 3
    assert seen[-1][2] >= 0.2


def test_validate_refuses(profile: FakeProfile) -> None:
    with pytest.raises(ShapeError, match="at least one"):
        validate([], profile)
    with pytest.raises(ShapeError, match="repeats"):
        validate([convs_only(16)], profile, repeats=0)
    with pytest.raises((ProfileError, UnsupportedError), match="bf16"):
        validate([convs_only(16).with_dtype("bf16")], profile)

"""The cuda backend without a GPU: its logic on one that is made up, and what it says without."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeWatch, info

import alphaflops as af
from alphaflops import _core
from alphaflops._cuda_plan import PROBES, STREAMS, Target, conv_plans, probe_plans, stream_plans
from alphaflops.cuda.nvml import State
from alphaflops.errors import (
    DeviceError,
    DeviceMemoryError,
    ShapeError,
    TableError,
    UnsupportedError,
)
from alphaflops.measuring.backends import named
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_network import CudaNetwork, arena_of
from alphaflops.measuring.cuda_pool import Pool, random_bytes
from alphaflops.measuring.cuda_probe import probe_gpu
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.cuda_steps import steps_of
from alphaflops.measuring.validation import validate
from alphaflops.scenarios.calibrate import POINTS, calibrate

COOL = State(1.5e9, 50.0)


def backend(driver: FakeDriver | None = None, cache: str = "hot", **options: object) -> CudaBackend:
    watch = options.pop("watch", None) or FakeWatch([COOL])
    return CudaBackend(cache, driver=driver or FakeDriver(**options), watch=watch)


def conv(batch: int = 1, c_in: int = 64, size: int = 28, c_out: int = 64, k: int = 3, **more: int):
    names = ("batch", "c_in", "h_in", "w_in", "c_out", "k_h", "k_w", "pad_h", "pad_w")
    pad = k // 2
    return dict(zip(names, (batch, c_in, size, size, c_out, k, k, pad, pad), strict=True)) | more


def shapes(*rows: dict) -> dict[str, np.ndarray]:
    names = {name for row in rows for name in row}
    return {n: np.array([row.get(n, 1 if n != "pad_h" else 0) for row in rows]) for n in names}


FEW = shapes(conv(), conv(size=14, c_out=128), conv(k=1), conv(c_in=3, size=56, c_out=32))


def test_a_campaign_times_every_row_and_says_how() -> None:
    driver = FakeDriver(noise=0.001)
    table = af.measure(FEW, backend=backend(driver), budget_s=20)
    assert len(table) == 4
    assert set(table["backend"]) == {"cuda"}
    assert set(table["path"]) == {"native"}
    assert set(table["isa"]) == {"sm_90"}
    assert set(table["device"]) == {"Fake H1"}
    assert (table["unstable"] == 0).all()
    assert (table["samples"] >= 5).all()
    np.testing.assert_allclose(table["clock_hz"], 1.5e9)
    assert (np.diff(np.sort(table["time_s"])) >= 0).all()


def test_a_quiet_device_stops_long_before_a_noisy_one() -> None:
    def samples(noise: float) -> float:
        table = af.measure(FEW, backend=backend(noise=noise), budget_s=1.5)
        return float(table["samples"].sum())

    # Samples are means of many calls: noise has to be large for one to be uncertain.
    assert samples(0.001) * 3 < samples(1.0)


def test_the_fastest_plan_is_found_by_timing() -> None:
    driver = FakeDriver(noise=0.0)
    session = CudaSession(driver, FakeWatch(), "hot")
    graph = af.Graph("one")
    graph.conv2d(graph.input((1, 64, 28, 28)), 64, 3, padding=1)
    bench = session.bench(graph)
    bench.warm_up()
    (step,) = steps_of(graph, session.target)
    assert len(step.plans) > 1
    times = [driver._time_s(plan) for plan in step.plans]
    best = step.plans[int(np.argmin(times))]
    assert bench.chosen == [f"{best.algorithm} {best.tile}"]
    assert bench.sample(7).time_s == pytest.approx(min(times))


def one_convolution() -> af.Graph:
    graph = af.Graph("one")
    graph.conv2d(graph.input((1, 64, 28, 28)), 64, 3, padding=1)
    return graph


def test_plans_are_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    session = CudaSession(FakeDriver(), FakeWatch(), "hot")
    algorithms = {plan.algorithm for plan in steps_of(one_convolution(), session.target)[0].plans}
    kept = sorted(algorithms)[-1]
    monkeypatch.setenv("ALPHAFLOPS_CUDA_WITHOUT", ",".join(algorithms - {kept}))
    bench = session.bench(one_convolution())
    bench.warm_up()
    assert {chosen.split()[0] for chosen in bench.chosen} == {kept}
    monkeypatch.setenv("ALPHAFLOPS_CUDA_WITHOUT", ",".join(algorithms))
    with pytest.raises(UnsupportedError, match="every plan is in ALPHAFLOPS_CUDA_WITHOUT"):
        CudaSession(FakeDriver(), FakeWatch(), "hot").bench(one_convolution()).warm_up()


def test_a_plan_that_the_device_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver(noise=0.0)
    (step,) = steps_of(one_convolution(), driver.info().target)
    times = [driver._time_s(plan) for plan in step.plans]
    best = step.plans[int(np.argmin(times))]
    hot = FakeDriver.hot

    def refusing(refused: set[str]) -> None:
        def time(self: FakeDriver, programs: list, calls: int) -> float:
            (plan, _) = programs[0].steps[0]
            if f"{plan.algorithm} {plan.tile}" in refused:
                raise DeviceError("too many resources")
            return hot(self, programs, calls)

        monkeypatch.setattr(FakeDriver, "hot", time)

    refusing({f"{best.algorithm} {best.tile}"})
    bench = CudaSession(driver, FakeWatch(), "hot").bench(one_convolution())
    with pytest.warns(RuntimeWarning, match=f"{best.algorithm} {best.tile} is left out: too many"):
        bench.warm_up()
    assert bench.chosen != [f"{best.algorithm} {best.tile}"]
    refusing({f"{plan.algorithm} {plan.tile}" for plan in step.plans})
    bench = CudaSession(driver, FakeWatch(), "hot").bench(one_convolution())
    with pytest.raises(DeviceError, match="too many"), pytest.warns(RuntimeWarning):
        bench.warm_up()


def test_five_per_cent_more_work_is_seen() -> None:
    driver = FakeDriver(noise=0.003)
    before = af.measure(FEW, backend=backend(driver), budget_s=10, seed=1)
    again = af.measure(FEW, backend=backend(driver), budget_s=10, seed=2)
    driver.slower = 1.05
    after = af.measure(FEW, backend=backend(driver), budget_s=10, seed=3)
    np.testing.assert_allclose(again["time_s"], before["time_s"], rtol=0.02)
    np.testing.assert_allclose(after["time_s"] / before["time_s"], 1.05, atol=0.02)


def test_what_does_not_fit_is_an_error_before_anything_runs() -> None:
    driver = FakeDriver(memory_bytes=256 << 20)
    with pytest.raises(DeviceMemoryError, match=r"table: row 1: needs \d+ bytes .* are free"):
        af.measure(shapes(conv(batch=4096, size=56)), backend=backend(driver), budget_s=5)
    assert driver.programs == []


def test_a_network_that_does_not_fit_is_an_error_too() -> None:
    driver = FakeDriver(memory_bytes=64 << 20)
    session = CudaSession(driver, FakeWatch(), "hot")
    with pytest.raises(DeviceMemoryError, match=r"needs \d+ bytes"):
        CudaNetwork(session, af.zoo.build("vgg16"), seed=0)


def test_fits_refuse_times_of_two_paths() -> None:
    table = af.measure(FEW, backend=backend(), budget_s=5)
    table = np.concatenate([table] * 3)
    table["path"][:4] = "cupy"
    with pytest.raises(TableError, match="path"):
        af.fit(table)


def test_fresh_inputs_are_written_between_flushes() -> None:
    if not probe_plans("flush", info().target, 1 << 20):
        pytest.skip("there is no kernel that flushes yet")
    for cache, before in (("cold", 1), ("context", 2)):
        driver = FakeDriver()
        af.measure(FEW, backend=backend(driver, cache), budget_s=2)
        # Empty calls come first, behind a flush alone.
        assert [count for count, _ in driver.cold_calls[:5]] == [1] * 5
        assert {count for count, _ in driver.cold_calls[5:]} == {before}
        assert max(calls for _, calls in driver.cold_calls) <= 50


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "densenet121", "mobilenet_v2"])
def test_networks_of_the_zoo_become_programs(name: str) -> None:
    graph = af.zoo.build(name, image_size=224)
    target = info().target
    try:
        steps = steps_of(graph, target)
    except UnsupportedError as error:
        pytest.skip(f"a kernel is missing: {error}")
    driver = FakeDriver()
    network = CudaNetwork(CudaSession(driver, FakeWatch(), "hot"), graph, seed=0)
    assert len(network.steps) == len(steps)
    assert network.sample(2).time_s > 0
    assert network.sample_enqueued(2).time_s > network.sample(2).time_s
    written = {step.output for step in steps}
    for step in steps:  # every tensor is an input of the network, or was written
        for tensor in step.inputs.values():
            owner = network._owner[tensor]
            assert owner in written or not graph.node_inputs(owner)


def test_living_tensors_do_not_overlap() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        n = int(random.integers(1, 30))
        first = {t: int(random.integers(0, 20)) for t in range(n)}
        last = {t: first[t] + int(random.integers(0, 6)) for t in range(n)}
        sizes = {t: int(random.integers(1, 9)) * 256 for t in range(n)}
        places, total = arena_of(sizes, first, last)
        for step in range(27):
            alive = sorted((places[t], sizes[t]) for t in range(n) if first[t] <= step <= last[t])
            for (at, size), (then, _) in pairwise(alive):
                assert at + size <= then
        assert total == max(places[t] + sizes[t] for t in range(n))
        assert total <= sum(sizes.values())


def test_validation_runs_whole_networks() -> None:
    graph = af.Graph("small")
    x = graph.relu(graph.batch_norm(graph.conv2d(graph.input((1, 16, 28, 28)), 32, 3, padding=1)))
    graph.conv2d(x, 64)
    rows = validate([graph], af.load_profile("quadro-t2000"), backend=backend(), budget_s=0.1)
    assert rows["measured_s"][0] > 0
    assert math.isfinite(rows["error"][0])


def test_bias_and_activation_share_the_launch_where_they_can() -> None:
    graph = af.Graph("folded")
    x = graph.batch_norm(graph.conv2d(graph.input((1, 16, 14, 14)), 32, 3, padding=1))
    graph.relu(x)
    (step,) = steps_of(graph, info().target)
    assert step.parameters == {"weights": 32 * 16 * 9 * 4, "bias": 32 * 4}
    graph = af.Graph("not folded")
    graph.activation(graph.conv2d(graph.input((1, 16, 14, 14)), 32), "silu")
    first, second = steps_of(graph, info().target)
    assert second.inputs == {"input": first.output}
    graph = af.Graph("of a sum")
    x = graph.input((2, 16, 7))
    graph.relu(graph.add(x, graph.input((2, 16, 7))))
    assert len(steps_of(graph, info().target)) == 1
    graph.relu(graph.element([x, graph.constant([1, 16, 7])], "add"))
    *_, third, fourth = steps_of(graph, info().target)
    assert fourth.inputs == {"input": third.output}


def test_an_operator_without_a_kernel_is_named() -> None:
    graph = af.Graph("odd")
    graph.element([graph.input((1, 16, 14))], "sort", name="order")
    with pytest.raises(UnsupportedError, match=r"order: no kernel of the cuda backend does 'sort'"):
        steps_of(graph, info().target)
    graph = af.Graph("folded")
    x = graph.conv2d(graph.input((1, 16, 14, 14)), 16)
    graph.element([x], "sin", name="odd")
    with pytest.raises(UnsupportedError, match=r"odd: no kernel of the cuda backend does 'sin'"):
        steps_of(graph, info().target)
    graph = af.Graph("sums", dtype="int8")
    graph.conv2d(graph.input((1, 16, 14, 14)), 16)
    with pytest.raises(UnsupportedError, match="sums: whole networks in int8"):
        CudaNetwork(CudaSession(FakeDriver(), FakeWatch(), "hot"), graph, seed=0)


def test_the_pool_moves_only_when_it_grows_and_is_filled() -> None:
    driver = FakeDriver()
    pool = Pool(driver)
    pool.need("fp32", 1000)
    first = pool.address("fp32")
    assert pool.generation == 1
    pool.need("fp32", 500)
    assert pool.address("fp32") == first
    assert pool.generation == 1
    pool.need("fp32", 1 << 24)
    pool.address("fp32")
    assert pool.generation == 2
    assert driver.taken == 1 << 24  # and the smaller block was given back
    assert pool._blocks["fp32"].written == 1 << 24


@pytest.mark.parametrize(("dtype", "low"), [("fp32", 0.9), ("tf32", 0.9), ("fp16", 0.9)])
def test_random_numbers_are_of_their_type(dtype: str, low: float) -> None:
    raw = random_bytes(dtype, 4096, seed=1)
    numbers = raw.view(np.float16 if dtype == "fp16" else np.float32).astype(np.float64)
    assert len(raw) == 4096
    assert np.isfinite(numbers).all()
    assert low < np.abs(numbers).max() <= 1
    bits = random_bytes("bf16", 4096, seed=1).view(np.uint16).astype(np.uint32) << 16
    assert np.abs(bits.view(np.float32)).max() <= 1


def test_probes_of_a_gpu() -> None:
    peaks = probe_gpu(0.01, driver=FakeDriver(), watch=FakeWatch([COOL]))
    assert peaks["device"]["name"] == "Fake H1"
    assert peaks["temperature_c"] == 50
    if probe_plans("empty", info().target):
        assert 0 < peaks["launch_device_s"] < peaks["launch_s"]
    with pytest.raises(ShapeError, match="duration_s"):
        probe_gpu(0, driver=FakeDriver(), watch=FakeWatch())


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
def test_whatever_a_calibration_draws_has_a_kernel(dtype: str) -> None:
    table = af.sample_shapes(300, seed=11, sequences=True)
    assert {"gate", "attention", "matmul", "layer_norm"} <= set(table["op"])
    names = [n for n in table.dtype.names if n not in ("op", "dtype", "pass")]
    columns = {n: np.ascontiguousarray(table[n]) for n in names}
    graphs = _core.graphs_from_specs(table["op"].tolist(), [dtype] * len(table), columns)
    for arch in (75, 80, 90, 100):
        if arch == 75 and dtype in ("tf32", "bf16"):  # which has no such units
            continue
        for graph in graphs:
            assert steps_of(graph, info(arch=arch).target)


def test_a_calibration_fits_what_the_device_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POINTS, "fused_relu", 90)
    monkeypatch.setattr("alphaflops.scenarios.calibrate.SEQUENCE_POINTS", 30)
    result = calibrate(name="fake", backend=backend(), dtype="fp16", budget_s=3)
    how = result.profile.data["provenance"]
    assert (how["backend"], how["path"], how["cache"]) == ("cuda", "native", "hot")
    assert how["sms"] == 100
    models = result.profile.data["models"]
    assert {model["dtype"] for model in models} == {"fp16"}
    assert "attention" in {model["kind"] for model in models}  # sequences are drawn on a GPU
    with pytest.raises(UnsupportedError, match="dtype 'fp64' is not known"):
        calibrate(name="fake", backend=backend(), dtype="fp64")


def test_options_of_the_backend() -> None:
    with pytest.raises(UnsupportedError, match="cache 'warm' is not known; use context, cold, hot"):
        backend(cache="warm")
    with pytest.raises(ShapeError, match="path is 'cupy'; the native backend has no such option"):
        named("native", path="cupy")
    with pytest.raises(ShapeError, match="threads is 2; the cuda backend has no such option"):
        named("cuda", threads=2)
    with pytest.raises(UnsupportedError, match="path 'opencl' is not known; use native or cupy"):
        named("cuda", path="opencl")


# Plans, as Python sees them; tests/cuda has what they compute.


def test_plans_are_data() -> None:
    target = Target(90, True, 132, 227 << 10)
    plan = conv_plans({"batch": 2, "c_in": 64, "c_out": 64, "h_in": 14, "w_in": 14}, target)[0]
    used = {p.buffer for launch in plan.launches for p in launch.pointers}
    assert used >= {"input", "weights", "output"}
    for launch in plan.launches:
        assert launch.header.endswith(".cuh")
        assert len(launch.parameters) >= 8 * len(launch.pointers)
        assert math.prod(launch.block) <= 1024


def test_plans_of_what_cannot_be_are_errors() -> None:
    with pytest.raises(UnsupportedError, match=r"compute capability 7\.0 is not supported"):
        conv_plans({}, Target(70))
    with pytest.raises(ShapeError, match="'channels' is no size"):
        conv_plans({"channels": 3}, Target(80))
    with pytest.raises(UnsupportedError, match="stream 'sort' is not known"):
        stream_plans("sort", {}, Target(80))
    with pytest.raises(UnsupportedError, match="activation gelu is not known to the epilogue"):
        conv_plans({}, Target(80), activation="gelu")
    with pytest.raises(UnsupportedError, match="fp64"):
        conv_plans({}, Target(80), "fp64")
    assert "softmax" in STREAMS
    assert "block" in PROBES

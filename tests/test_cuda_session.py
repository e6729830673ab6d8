"""What a session of the cuda backend does about a GPU's ways, on one that is made up."""

from __future__ import annotations

import math
import time
from typing import ClassVar

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeMemory, FakeWatch

import alphaflops as af
from alphaflops.cuda.nvml import State
from alphaflops.errors import BrokenContextError, UnsupportedError
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_network import CudaNetwork
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.throttling import Throttling

HOT = State(1.2e9, 90.0, ("hot (software)",))
COOL = State(1.5e9, 50.0)


def backend(driver: FakeDriver | None = None, cache: str = "hot") -> CudaBackend:
    return CudaBackend(cache, driver=driver or FakeDriver(), watch=FakeWatch([COOL]))


def convs(**columns: list[int]) -> dict[str, list[int] | int]:
    """Return 3 x 3 convolutions of 64 channels, 28 x 28."""
    same = {"batch": 1, "c_in": 64, "c_out": 64, "h_in": 28, "w_in": 28}
    return {**same, "k_h": 3, "k_w": 3, "pad_h": 1, "pad_w": 1, **columns}


def test_a_row_that_does_not_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAFLOPS_CUDA_WITHOUT", "depthwise,general,implicit_gemm_simt")
    rows = convs(groups=[1, 64, 1], h_in=[28, 28, 14])
    said = r"row 2 \(conv2d\) did not run and is left out: .*ALPHAFLOPS_CUDA_WITHOUT"
    with pytest.warns(RuntimeWarning, match=said):
        table = af.measure(rows, backend=backend(), budget_s=5)
    assert table["h_in"].tolist() == [28, 14]
    with pytest.raises(UnsupportedError, match="every plan is in ALPHAFLOPS_CUDA_WITHOUT"):
        af.measure(convs(groups=[64]), backend=backend(), budget_s=5)
    broken = BrokenContextError("start a new process")
    monkeypatch.setattr(FakeDriver, "hot", lambda *_: (_ for _ in ()).throw(broken))
    with pytest.raises(BrokenContextError):
        af.measure(rows, backend=backend(), budget_s=5)


def test_throttled_samples_are_taken_again_and_said() -> None:
    naps: list[float] = []
    session = CudaSession(FakeDriver(), FakeWatch([COOL, HOT, HOT, COOL]), "hot", sleep=naps.append)
    graph = af.Graph("one")
    graph.linear(graph.input((8, 64)), 64)
    bench = session.bench(graph)
    bench.warm_up()
    sample = bench.sample(3)  # cool, hot | hot, cool | cool, cool
    assert sample.switches == 0
    assert session.throttling.thrown_away == len(naps) == 2
    with pytest.warns(RuntimeWarning, match=r"hot \(software\)\): 2 samples were thrown away"):
        session.throttling.say()


def test_a_device_that_stays_hot_marks_its_samples() -> None:
    naps: list[float] = []
    watch = FakeWatch([HOT] * 14 + [COOL] * 2 + [HOT])  # two readings a sample
    session = CudaSession(FakeDriver(), watch, "hot", sleep=naps.append)
    graph = af.Graph("one")
    graph.linear(graph.input((8, 64)), 64)
    bench = session.bench(graph)
    bench.warm_up()
    waits = []
    for _ in range(6):
        cool = bench.sample(3).switches == 0
        waits.append((cool, len(naps)))
    assert waits == [(False, 3), (False, 3), (False, 3), (False, 3), (True, 3), (False, 6)]
    assert session.throttling.kept == 5
    with pytest.warns(RuntimeWarning, match="5 stayed throttled"):
        session.throttling.say()


def test_a_device_that_is_slow_to_answer_is_asked_now_and_then() -> None:
    class Slow(FakeWatch):
        def read(self) -> State:
            time.sleep(5e-3)
            return super().read()

    watches = Slow([COOL]), FakeWatch([COOL])
    for watch in watches:
        throttling = Throttling(watch)
        for _ in range(20):
            assert throttling.timed(lambda: 1e-3, 1).clock_hz == COOL.clock_hz
    assert watches[0].asked <= 4
    assert watches[1].asked == 40


def test_what_events_cost_is_no_part_of_a_call() -> None:
    times_s = {}
    for cache, events_s in (("hot", 4e-6), ("cold", 0.0), ("cold", 4e-6)):
        driver = FakeDriver(noise=0.0)
        driver.events_s = events_s
        table = af.measure(convs(c_out=[64, 128, 32]), backend=backend(driver, cache), budget_s=2)
        times_s[cache, events_s] = table["time_s"]
    for of_cold in (times_s["cold", 0.0], times_s["cold", 4e-6]):
        np.testing.assert_allclose(of_cold, times_s["hot", 4e-6], rtol=1e-9)


def test_weights_of_networks_keep_activations_as_large_as_they_were() -> None:
    class Recording(FakeMemory):
        parts: ClassVar[dict[int, np.ndarray]] = {}

        def write(self, from_: np.ndarray, offset: int = 0) -> None:
            super().write(from_, offset)
            self.parts[self.address + offset] = np.frombuffer(from_, np.float16)

    class Driver(FakeDriver):
        def allocate(self, size: int) -> FakeMemory:
            memory = super().allocate(size)
            memory.__class__ = Recording
            return memory

    graph = af.Graph("two", dtype="fp16")
    x = graph.conv2d(graph.input((1, 64, 8, 8)), 32, 3, padding=1)
    graph.conv2d(x, 32, 3, padding=1, groups=32)
    network = CudaNetwork(CudaSession(Driver(), FakeWatch(), "hot"), graph, 0)
    for program, fan_in in zip(network._programs, (64 * 9, 9), strict=True):
        ((_, addresses),) = program.steps
        weights = Recording.parts[addresses["weights"]]
        assert len(weights) == 32 * fan_in
        assert float(np.abs(weights).max()) == pytest.approx(math.sqrt(6 / fan_in), rel=0.02)

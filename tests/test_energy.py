"""Energy of calls on a GPU that is made up, and where tables, profiles and validations have it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gpu import FakeDriver, FakeMeter, FakeWatch
from typer.testing import CliRunner

import alphaflops as af
from alphaflops.cli import app
from alphaflops.cuda.energy import Energy, EnergyMeter
from alphaflops.cuda.nvml import _Nvml
from alphaflops.errors import DeviceError, MissingExtraError, ShapeError, UnsupportedError
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.energy import Joules, chosen
from alphaflops.measuring.validation import validate
from alphaflops.render import validation_table

BUSY_W = 400.0


def meter_for(counter: FakeMeter) -> EnergyMeter:
    return EnergyMeter(counter, clock=counter.clock, sleep=counter.pass_by)


def test_a_call_has_its_joules_and_what_idling_draws_of_them() -> None:
    counter = FakeMeter()

    def run() -> int:
        counter.pass_by(7 * 0.003, BUSY_W)
        return 7

    meter = meter_for(counter)
    idle_power_w = meter.idle_power_w()
    assert idle_power_w == pytest.approx(100)
    got = meter.energy_of(run, idle_power_w=idle_power_w)
    assert got.call_j == pytest.approx(0.003 * BUSY_W)
    assert got.idle_j == pytest.approx(0.003 * 100)
    assert got.power_w == pytest.approx(BUSY_W)
    assert got.least_j <= got.call_j <= got.most_j
    assert got.calls % 7 == 0
    assert got.calls * 0.003 >= 3 * 0.7
    with pytest.raises(ShapeError, match="must be positive"):
        meter.energy_of(run, idle_power_w=0.0, window_s=0)


def test_a_counter_that_stands_still_or_is_not_there() -> None:
    blind = SimpleNamespace(energy_j=lambda: math.nan)
    with pytest.raises(MissingExtraError, match=r"alphaflops\[energy\]"):
        EnergyMeter(blind)
    now = FakeMeter()
    stuck = SimpleNamespace(energy_j=lambda: 5.0)
    with pytest.raises(DeviceError, match=r"counter stood still for 2 s"):
        EnergyMeter(stuck, clock=now.clock, sleep=now.pass_by).idle_power_w()


def test_rows_are_chosen_from_short_to_long() -> None:
    times = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert chosen(times, 9.0) == [0, 1, 4]
    assert chosen(times, 1.0) == [4]
    assert chosen(times, 1e6) == [0, 1, 2, 3, 4]


class _BusyDriver(FakeDriver):
    """Whose work moves the clock of an energy counter."""

    def __init__(self, counter: FakeMeter) -> None:
        super().__init__(noise=0.001)
        self._counter = counter

    def enqueued(self, programs, calls: int) -> float:
        time_s = self.hot(programs, calls)
        self._counter.pass_by(calls * time_s, BUSY_W)
        return time_s


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> CudaBackend:
    counter = FakeMeter()
    monkeypatch.setattr("alphaflops.measuring.energy.meter_of", lambda session: meter_for(counter))
    return CudaBackend("hot", driver=_BusyDriver(counter), watch=FakeWatch())


def test_a_table_has_joules_and_a_profile_the_power(
    backend: CudaBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = af.sample_shapes(40, seed=3)
    shapes["dtype"] = "fp16"
    table = af.measure(shapes, backend=backend, budget_s=5, energy_s=30)
    known = ~np.isnan(table["energy_j"])
    assert known.sum() == 10
    np.testing.assert_allclose(table["energy_j"][known], BUSY_W * table["time_s"][known], rtol=0.02)
    profile = af.fit(table, name="fake").profile
    assert profile.core.power_w == pytest.approx(BUSY_W, rel=0.02)
    plain = af.measure(shapes[:5], backend=backend, budget_s=2)
    assert "energy_j" not in plain.dtype.names

    # The command line: networks are of the profile's dtype, and JSON has joules.
    monkeypatch.setattr(
        "alphaflops.measuring.backends.backend_of", lambda profile, isa=None: backend
    )
    profile.save(tmp_path / "fake.json")
    arguments = ["validate", "resnet18", "-d", str(tmp_path / "fake.json"), "--budget", "0.1"]
    done = CliRunner().invoke(app, [*arguments, "--batch", "2", "--energy", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["slowdown"] == pytest.approx(1, rel=0.02)  # of a device that is always as fast
    (row,) = told["networks"]
    graph = af.zoo.build("resnet18", batch=2, dtype="fp16")
    assert row["predicted_s"] == pytest.approx(af.estimate(graph, profile).time_s)
    assert row["predicted_j"] == pytest.approx(profile.core.power_w * row["predicted_s"])
    assert row["measured_j"] == pytest.approx(BUSY_W * row["measured_s"], rel=0.02)


def test_a_network_that_fails_for_its_energy_costs_no_other(
    backend: CudaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs, measured = [], Joules.of
    for name in ("first", "second"):
        graphs.append(af.Graph(name))
        graphs[-1].conv2d(graphs[-1].input((1, 16, 28, 28)), 32, 3, padding=1)

    def of(self: Joules, work: object, call_s: float) -> Energy:
        monkeypatch.setattr(Joules, "of", measured)  # the next is sound
        raise RuntimeError("CUDA out of memory")

    def told() -> list[tuple[int, str]]:
        monkeypatch.setattr(Joules, "of", of)
        refused: list[tuple[int, str]] = []
        (row,) = validate(
            graphs, "quadro-t2000", backend=backend, budget_s=0.1, energy=True,
            on_refused=lambda i, error: refused.append((i, f"{type(error).__name__}: {error}")),
        )  # fmt: skip
        assert row["name"] == graphs[1 - refused[0][0]].name
        assert row["measured_j"] == pytest.approx(BUSY_W * row["measured_s"], rel=0.02)
        return refused

    ((place, reason),) = told()
    name = graphs[place].name
    assert reason.startswith(f"ModelError: {name}: it raised RuntimeError when it was run for its")
    assert reason.endswith("CUDA out of memory")


def test_networks_have_joules(backend: CudaBackend) -> None:
    graph = af.Graph("small")
    graph.conv2d(graph.input((1, 16, 28, 28)), 32, 3, padding=1)
    profile = af.load_profile("quadro-t2000")
    rows = validate([graph], profile, backend=backend, budget_s=0.1, energy=True)
    assert rows["measured_j"][0] == pytest.approx(BUSY_W * rows["measured_s"][0], rel=0.02)
    assert rows["idle_j"][0] == pytest.approx(rows["measured_j"][0] / 4, rel=0.02)
    assert rows["measured_lo_j"][0] <= rows["measured_j"][0] <= rows["measured_hi_j"][0]
    assert math.isnan(rows["predicted_j"][0])  # the profile has no power
    titles = [str(column.header) for column in validation_table(rows, [1]).columns]
    assert titles[-3:] == ["predicted mJ", "measured mJ", "idle mJ"]


def test_a_processor_is_not_asked() -> None:
    with pytest.raises(UnsupportedError, match="measured on NVIDIA GPUs only"):
        af.measure(af.sample_shapes(1), budget_s=1, energy_s=5)
    with pytest.raises(ShapeError, match="energy_s is -1"):
        af.measure(af.sample_shapes(1), energy_s=-1)
    done = CliRunner().invoke(app, ["validate", "resnet18", "-d", "quadro-t2000", "--energy"])
    assert isinstance(done.exception, UnsupportedError)


class _NVMLError(Exception):
    pass


def test_each_quantity_is_asked_for_by_itself_and_by_its_new_name() -> None:
    def refuse(*_: object) -> None:
        raise _NVMLError

    library = SimpleNamespace(
        NVMLError=_NVMLError,
        NVML_CLOCK_SM=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByPciBusId=lambda bus: bus,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetTemperature=lambda handle, sensor: 41,
        nvmlDeviceGetTemperatureV=refuse,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x04 | 0x20,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 12_500,
    )
    library.nvmlDeviceGetHandleByUUID = lambda uuid: uuid
    assert _Nvml(library, "GPU-1b2c")._handle == b"GPU-1b2c"
    watch = _Nvml(library, "0000:01:00.0")
    state = watch.read()
    assert (state.clock_hz, state.temperature_c) == (1.98e9, 41.0)
    assert state.throttled_by == ("hot (software)",)
    assert watch.energy_j() == 12.5
    library.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0
    library.nvmlDeviceGetTemperatureV = lambda handle, sensor: 42
    library.nvmlDeviceGetClockInfo = refuse
    state = watch.read()
    assert math.isnan(state.clock_hz)
    assert (state.temperature_c, state.throttled_by) == (42.0, ())

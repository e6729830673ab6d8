"""The roofs of the machine: orders that hold on any, and what is refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from alphaflops import _core
from alphaflops.cli import app
from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.measuring.probe import BENCH_DTYPES, LEVELS, level_bytes, probe_machine


@pytest.fixture(scope="module")
def probe() -> dict:
    return probe_machine(duration_s=2.0)


def test_every_dtype_and_instruction_set_has_a_peak(probe: dict) -> None:
    for dtype in BENCH_DTYPES:
        peaks = probe["peak_ops_per_s"][dtype]
        assert list(peaks) == _core.available_isas_for(dtype)
        assert all(rate > 1e8 for rate in peaks.values())
    fp32 = probe["peak_ops_per_s"]["fp32"]
    if "avx2" in fp32:
        assert fp32["avx2"] > 2 * fp32["scalar"]


def test_nearer_memory_is_faster(probe: dict) -> None:
    rates = probe["bandwidth_bytes_per_s"]
    assert set(rates) == set(LEVELS)
    for access in ("read", "write", "triad"):
        assert rates["l1"][access] > rates["dram"][access] > 1e8
    assert rates["l2"]["read"] > 1.2 * rates["dram"]["read"]


def test_clock_call_and_machine(probe: dict) -> None:
    assert 3e8 < probe["clock_hz"] < 1e10
    assert 0 < probe["clock_resolution_s"] < 1e-4
    assert 0 < probe["clock_cost_s"] < 1e-4
    assert 0 < probe["call_s"] < 1e-4
    assert probe["steal_s"] >= 0
    assert probe["device"]["name"]
    assert probe["device"]["logical_cpus"] >= 1
    # No core issues more than a few wide multiply-adds a cycle.
    for isa, rate in probe["peak_ops_per_s"]["fp32"].items():
        lanes = {"scalar": 1, "avx2": 8, "avx512": 16, "neon": 4}[isa]
        assert rate < 2 * 5 * lanes * 1.5 * probe["clock_hz"]


def test_levels_are_apart() -> None:
    sizes = list(level_bytes(1).values())
    assert sizes == sorted(sizes)
    assert level_bytes(2)["l1"] == 2 * level_bytes(1)["l1"]


def test_refusals() -> None:
    with pytest.raises(UnsupportedError, match="threads is 4096"):
        probe_machine(threads=4096)
    with pytest.raises(ShapeError, match="threads is 0"):
        probe_machine(threads=0)
    with pytest.raises(UnsupportedError, match="neon"):
        probe_machine("neon")
    with pytest.raises(ShapeError, match="duration_s is 0"):
        probe_machine(duration_s=0)
    with pytest.raises(UnsupportedError, match="'copy' is none of read, write, triad"):
        _core.probe_bandwidth("copy", 1 << 20)
    with pytest.raises(UnsupportedError, match="threads is 4096"):
        _core.probe_rate("fp32", "", 4096)


def test_command_line() -> None:
    done = CliRunner().invoke(app, ["probe", "--budget", "0.5", "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)) >= {"device", "peak_ops_per_s", "bandwidth_bytes_per_s"}
    assert "DRAM" in CliRunner().invoke(app, ["probe", "--budget", "0.5"]).stdout

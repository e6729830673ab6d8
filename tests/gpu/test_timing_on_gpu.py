"""Timing on hardware: the same twice is the same, and five per cent more is seen."""

from __future__ import annotations

import numpy as np
import pytest

import alphaflops as af
from alphaflops.cuda.driver import Driver
from alphaflops.cuda.nvml import open_watch
from alphaflops.errors import DeviceMemoryError
from alphaflops.measuring.cuda_backend import CudaBackend
from alphaflops.measuring.cuda_probe import probe_gpu
from alphaflops.measuring.cuda_session import CudaSession


def product(session: CudaSession, size: int = 1024):
    graph = af.Graph("product")
    graph.linear(graph.input((size, size)), size)
    bench = session.bench(graph)
    bench.warm_up()
    return bench


def test_the_same_shapes_take_the_same_time_again(driver: Driver) -> None:
    shapes = af.sample_shapes(30, seed=5)
    shapes = shapes[shapes["op"] == "conv2d"]
    times = [
        af.measure(shapes, backend=CudaBackend("hot", driver=driver), budget_s=8, seed=seed)
        for seed in (0, 1)
    ]
    ratio = times[0]["time_s"] / times[1]["time_s"]
    assert np.mean(np.abs(ratio - 1) <= 0.02) >= 0.95, np.sort(ratio)


def test_five_per_cent_more_work_is_seen(driver: Driver) -> None:
    session = CudaSession(driver, open_watch(driver.info().pci_bus), "hot")
    program = product(session)._program
    less, more = driver.captured([program], 20), driver.captured([program], 21)
    found = 0
    for _ in range(20):
        # Medians of interleaved readings, as a campaign takes them.
        taken = [(driver.hot([less], 20), driver.hot([more], 20)) for _ in range(7)]
        ratio = np.median([b for _, b in taken]) / np.median([a for a, _ in taken])
        found += 1.025 <= ratio <= 1.075
    assert found >= 19


def test_cold_takes_longer_than_hot_where_memory_decides(driver: Driver) -> None:
    watch = open_watch(driver.info().pci_bus)
    graph = af.Graph("weights")
    side = 8 * round((driver.info().l2_bytes / 2 / 4) ** 0.5 / 8)  # half a cache of weights
    graph.linear(graph.input((1, side)), side)  # hardly any arithmetic
    times = {}
    for cache in ("hot", "cold"):
        bench = CudaSession(driver, watch, cache).bench(graph)
        bench.warm_up()
        times[cache] = np.median([bench.sample(20).time_s for _ in range(5)])
    # Memory is nearly as fast as the second-level cache on cards with HBM.
    assert times["cold"] > 1.02 * times["hot"]


def test_probes_are_plausible(driver: Driver) -> None:
    peaks = probe_gpu(1.0, driver=driver)
    assert 1e12 < peaks["peak_ops_per_s"]["fp32"] < 1e15
    assert peaks["peak_ops_per_s"]["fp16"] > 2 * peaks["peak_ops_per_s"]["fp32"]
    assert 1e11 < peaks["copy_bytes_per_s"] < 2e13
    assert peaks["l2_read_bytes_per_s"] > peaks["copy_bytes_per_s"]
    assert 2e-7 < peaks["launch_device_s"] < peaks["launch_s"] < 1e-4


def test_memory_that_is_not_there_is_said_before_it_is_taken(driver: Driver) -> None:
    free, total = driver.memory()
    with pytest.raises(DeviceMemoryError, match=rf"needs {total + 1} bytes .* are free"):
        driver.allocate(total + 1)
    assert driver.memory()[0] >= free - (64 << 20)
    product(CudaSession(driver, open_watch(driver.info().pci_bus), "hot"), 256).sample(3)

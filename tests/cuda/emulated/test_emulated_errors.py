"""What the native path says where something is missing, refused or broken (docs/gpu.md)."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from alphaflops import _cuda
from alphaflops._cuda_plan import conv_plans
from alphaflops.cuda.driver import devices, open_driver
from alphaflops.cuda.native_driver import NativeDriver
from alphaflops.errors import (
    BrokenContextError,
    DeviceError,
    DeviceMemoryError,
    DriverError,
    NoDeviceError,
    ShapeError,
    UnsupportedError,
)

FAULT = "EMULATED_CUDA_FAULT"


_KEPT: list[_cuda.DeviceMemory] = []


def convolution(driver: NativeDriver, output: int | None = None) -> _cuda.Program:
    """Make a program with memory that stays; its output goes to an address that is given."""
    plan = conv_plans({"c_in": 16, "c_out": 16, "h_in": 4, "w_in": 4}, driver.info().target)[0]
    memory = {name: driver.allocate(4096) for name in ("input", "weights", "output", "workspace")}
    _KEPT.extend(memory.values())
    for each in memory.values():
        each.write(np.ones(1024, np.float32))
    addresses = {name: each.address for name, each in memory.items()}
    if output is not None:
        addresses["output"] = output
    return driver.program([(plan, addresses)])


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("EMULATED_CUDA_DRIVER", "0", NoDeviceError, "no NVIDIA driver is installed"),
        ("EMULATED_CUDA_DRIVER", "12020", DriverError, r"supports CUDA 12\.2, and .* with 1"),
        ("EMULATED_CUDA_DEVICES", "0", NoDeviceError, "CUDA_VISIBLE_DEVICES"),
        (FAULT, "cudaGetDeviceCount=34", NoDeviceError, "the toolkit's stub"),
        (FAULT, "cudaGetDeviceCount=802", NoDeviceError, "nvidia-fabricmanager"),
        (FAULT, "cudaGetDeviceCount=803", DriverError, "different versions"),
        (FAULT, "cudaFree=804", DriverError, "cuda-compat"),
        (FAULT, "cudaFree=46", NoDeviceError, "compute mode"),
        (FAULT, "cudaHostAlloc=2", DeviceMemoryError, "a word that host and device share"),
        (FAULT, "cudaStreamCreateWithFlags=1", DeviceError, "making a stream: "),
        (FAULT, "cudaFuncGetAttributes=209", UnsupportedError, "ALPHAFLOPS_CUDA_ARCHITECTURES"),
    ],
)
def test_what_keeps_the_driver_from_opening(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: type, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(error, match=message) as caught:
        open_driver("native")
    assert type(caught.value) is error
    monkeypatch.delenv(name)
    own = open_driver("native")
    assert own.hot([convolution(own)], 1) > 0  # nothing is left behind


def test_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match="device 1 is not there; there are 1"):
        open_driver("native", 1)
    monkeypatch.setenv("EMULATED_CUDA_DEVICES", "2")
    assert [each.pci_bus for each in devices()] == ["0000:01:00.0", "0000:02:00.0"]
    drivers = [open_driver("native", device) for device in (0, 1)]
    programs = [convolution(driver) for driver in drivers]
    for driver, program in zip(drivers, programs, strict=True):  # in turns: each says where
        assert driver.hot([driver.captured([program], 2)], 3) > driver.hot([program], 3) > 0


def test_memory_that_is_not_there(driver: NativeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    free, total = driver.memory()
    with pytest.raises(DeviceMemoryError, match=rf"needs {total + 1} bytes .* {free} of {total}"):
        driver.allocate(total + 1)
    memory = driver.allocate(1000)
    assert driver.memory()[0] < free
    with pytest.raises(ShapeError, match="bytes 11 to 1001 do not lie within the 1000"):
        memory.read(990, 11)
    with pytest.raises(ShapeError, match="bytes 993 to 1001 do not lie"):
        memory.write(b"12345678", 993)
    del memory
    assert driver.memory()[0] == free
    monkeypatch.setenv(FAULT, "cudaMalloc=2")  # another process was faster
    with pytest.raises(DeviceMemoryError, match=r"taking 4096 bytes: .*smaller batch"):
        driver.allocate(4096)
    monkeypatch.delenv(FAULT)
    assert len(driver.allocate(4096)) == 4096


@pytest.mark.parametrize("calls", [0, -1])
def test_nothing_is_not_timed(driver: NativeDriver, calls: int) -> None:
    program = convolution(driver)
    for programs, count in (([], 1), ([program], calls)):
        for run in (driver.hot, driver.enqueued, lambda p, n: driver.cold(p, [], n)):
            with pytest.raises(ShapeError, match="cannot be timed"):
                run(programs, count)


def test_programs_that_cannot_be_made(
    driver: NativeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = conv_plans({"c_in": 16, "c_out": 16}, driver.info().target)[0]
    with pytest.raises(ShapeError, match="needs weights, and none was given"):
        driver.program([(plan, {"input": 256})])
    with pytest.raises(ShapeError, match="'inputs' is no buffer"):
        driver.program([(plan, {"inputs": 256})])
    monkeypatch.setenv("EMULATED_CUDA_ARCH", "80")
    wgmma = conv_plans({"c_in": 64, "c_out": 64}, driver.info().target, "tf32")
    symbol = next(p for p in wgmma if "wgmma" in p.algorithm)
    memory = driver.allocate(1 << 16)
    names = ("input", "weights", "output", "workspace")
    with pytest.raises(UnsupportedError, match="was not compiled for this GPU"):
        driver.program([(symbol, dict.fromkeys(names, memory.address))])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cudaLaunchKernelExC=1@1", "launching probe_block"),
        ("cudaLaunchKernelExC=1@3", "launching conv_"),
        ("cudaEventRecord=400@2", "recording an event"),
        ("cudaEventCreate=1@1", "making an event"),
        ("cudaEventElapsedTime=600@1", "reading events"),
    ],
)
def test_launches_that_are_refused_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    driver = NativeDriver()
    program = convolution(driver)
    for run in (driver.hot, lambda programs, calls: driver.cold(programs, programs, calls)):
        monkeypatch.setenv(FAULT, fault)
        try:
            with pytest.raises(DeviceError, match=message) as caught:
                run([program], 3)
            assert type(caught.value) is DeviceError
        finally:
            monkeypatch.delenv(FAULT)
        driver.memory()  # calls are counted anew
        if "Create" in fault:
            break  # only once
    assert driver.hot([program], 2) == pytest.approx(NativeDriver().hot([program], 2))


@pytest.mark.parametrize(
    "fault", ["cudaLaunchKernelExC=1@2", "cudaStreamEndCapture=901", "cudaGraphInstantiate=2"]
)
def test_captures_that_fail_leave_nothing_behind(
    driver: NativeDriver, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    program = convolution(driver)
    monkeypatch.setenv(FAULT, fault)
    with pytest.raises(DeviceError):
        driver.captured([program], 3)
    monkeypatch.delenv(FAULT)
    assert len(driver.captured([program], 3)) == 3
    driver.allocate(100)  # not refused, as it would be while a graph is captured


def in_a_child(run: Callable[[], str]) -> str:
    """Return what a process of its own says: its faults stay there."""
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        try:
            said = run()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def broken(run: Callable[[NativeDriver], object]) -> str:
    def child() -> str:
        own = NativeDriver()
        said = []
        for attempt in (lambda: run(own), lambda: convolution(own), own.memory):
            try:
                attempt()
                said.append("nothing was raised")
            except BrokenContextError as error:
                said.append(str(error))
        try:
            open_driver("native")
        except BrokenContextError as error:
            said.append(str(error))
        return "\n".join(said)

    return in_a_child(child)


@pytest.mark.parametrize("code", [214, 700, 702, 710, 714, 715, 716, 717, 718, 719])
def test_faults_that_stay_say_so(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def run(own: NativeDriver) -> None:
        program = convolution(own)
        monkeypatch.setenv(FAULT, f"cudaStreamSynchronize={code}@1")
        own.hot([program], 1)

    first, *others = broken(run).splitlines()
    assert first.startswith("running what is timed: ")
    assert len(others) == 3
    assert all("start a new process" in each for each in (first, *others))


def test_kernels_that_write_elsewhere_break_the_context() -> None:
    def beyond(own: NativeDriver) -> None:
        memory = own.allocate(256)
        own.hot([convolution(own, memory.address)], 1)  # a kilobyte

    def nowhere(own: NativeDriver) -> None:
        own.hot([convolution(own, 256)], 1)

    for run in (beyond, nowhere):
        said = broken(run).splitlines()
        assert len(said) == 4
        assert all("start a new process" in each for each in said), said


def test_an_error_while_graphs_run_is_of_who_waits(driver: NativeDriver) -> None:
    def run(own: NativeDriver) -> None:
        graph = own.captured([convolution(own, 256)], 2)
        own.enqueued([graph], 2)

    assert broken(run).startswith("running what is timed: ")
    assert driver.hot([convolution(driver)], 1) > 0  # this process is well

"""Without a GPU: arrays of others, launches that are noted, CuPy's faults, and energy."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

import alphaflops as af
from alphaflops.cuda import arrays, cupy_driver, libcuda
from alphaflops.cuda.arrays import as_device_array, empty_like_of, stream_of
from alphaflops.cuda.cupy_driver import translated
from alphaflops.errors import (
    BrokenContextError,
    DeviceError,
    DeviceMemoryError,
    DriverError,
    NoDeviceError,
    ShapeError,
    UnsupportedError,
)

# Arrays of others.


def interface(shape=(2, 3), typestr="<f4", strides=None, **more):
    values = {"shape": shape, "typestr": typestr, "strides": strides, "data": (256, False)} | more
    return SimpleNamespace(__cuda_array_interface__=values)


def test_arrays_are_taken_as_they_are() -> None:
    array = as_device_array(interface(strides=(12, 4)), "x")
    assert (array.address, array.shape, array.dtype, array.device) == (256, (2, 3), "fp32", 0)
    assert arrays.bytes_of(array) == 24
    assert as_device_array(interface((1, 5), "<f2", (64, 2)), "x").dtype == "fp16"  # one row
    on_second = interface()
    on_second.device = SimpleNamespace(id=1)
    assert as_device_array(on_second, "x").device == 1


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((2, 3)), ShapeError, "x is a numpy.ndarray that is not on a GPU"),
        ([1, 2], ShapeError, "x is a builtins.list, not an array on a GPU"),
        (interface(strides=(4, 8)), ShapeError, "not contiguous; give ascontiguousarray"),
        (interface(typestr="<f8"), UnsupportedError, "x has elements of <f8"),
        (interface(mask=interface()), ShapeError, "x is masked"),
    ],
)
def test_arrays_that_cannot_be_taken(array, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_device_array(array, "x")


def test_tensors_on_the_processor_are_refused() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(ShapeError, match=r"w is a tensor on cpu; move it to the GPU"):
        as_device_array(torch.zeros(2), "w")


def test_streams_of_others() -> None:
    assert stream_of(7, None) == 7
    assert stream_of(SimpleNamespace(ptr=8), None) == 8
    assert stream_of(SimpleNamespace(cuda_stream=9), None) == 9
    assert stream_of(SimpleNamespace(__cuda_stream__=lambda: (0, 10)), None) == 10
    assert stream_of(None, interface()) == 0
    with pytest.raises(ShapeError, match=r"stream is a builtins\.str"):
        stream_of("fast", None)
    with pytest.raises(ShapeError, match="give out"):
        empty_like_of(interface(), (2,), "fp32")


# Convolutions on a driver that notes what it is asked to launch.


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list:
    from fake_gpu import info  # noqa: PLC0415

    from alphaflops.cuda import conv  # noqa: PLC0415

    noted: list = []

    class Noting:
        path = "cupy"

        def info(self):
            return info()

        def program(self, steps):
            return SimpleNamespace(launch=lambda stream: noted.append((steps, stream)))

        def allocate(self, size):
            return type("M", (), {"address": 1 << 30, "__len__": lambda self: size})()

    monkeypatch.setattr(conv, "_driver", lambda path, device: Noting())
    return noted


def images(shape, address=4096, typestr="<f4", device=0):
    made = interface(shape, typestr, data=(address, False))
    made.device = SimpleNamespace(id=device)
    return made


@pytest.mark.parametrize("odd", ["x", "w", "out", "bias"])
def test_arrays_begin_where_16_bytes_can_be_read(launches: list, odd: str) -> None:
    arrays = {
        name: images(shape, (number << 16) + (8 if name == odd else 0))
        for number, (name, shape) in enumerate(
            [("x", (1, 4, 4, 16)), ("w", (8, 1, 1, 16)), ("out", (1, 4, 4, 8)), ("bias", (8,))], 1
        )
    }
    with pytest.raises(ShapeError, match=rf"{odd} begins at address 0x\d0008.* give a copy"):
        af.cuda.conv2d(arrays["x"], arrays["w"], arrays["bias"], out=arrays["out"])
    assert not launches


def test_a_convolution_is_launched_on_the_callers_memory_and_stream(launches: list) -> None:
    x, w = images((2, 8, 8, 16)), images((32, 3, 3, 16), 1 << 16)
    bias, out = images((32,), 1 << 17), images((2, 4, 4, 32), 1 << 18)
    got = af.cuda.conv2d(
        x, w, bias, stride=2, padding=1, activation="relu", out=out, stream=SimpleNamespace(ptr=77)
    )
    assert got is out
    [([(plan, addresses)], stream)] = launches
    assert stream == 77
    assert plan.launches
    expected = {"input": 4096, "weights": 1 << 16, "bias": 1 << 17, "output": 1 << 18}
    assert expected.items() <= addresses.items()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"w": images((32, 3, 3, 8))}, ShapeError, "w has 8 channels in a group"),
        ({"w": images((32, 3, 3, 16), typestr="<f2")}, UnsupportedError, "x is fp32 and w is fp16"),
        ({"w": images((32, 3, 3, 16), device=1)}, ShapeError, "w is on device 1 and x on device 0"),
        ({"x": images((8, 8, 16))}, ShapeError, "x has shape .* needs four axes"),
        ({"out": images((2, 8, 8, 16))}, ShapeError, r"must be fp32 of shape \(2, 8, 8, 32\)"),
        ({"bias": images((16,))}, ShapeError, r"bias has shape \(16,\); it must be \(32,\)"),
        ({"padding": (1, 2, 3)}, ShapeError, "give one number, two or four"),
        ({"algorithm": "magic"}, UnsupportedError, "algorithm 'magic'"),
        ({"activation": "gelu"}, UnsupportedError, "gelu"),
    ],
)
def test_convolutions_that_cannot_be(launches, changes, error, message: str) -> None:
    usual = {
        "x": images((2, 8, 8, 16)),
        "w": images((32, 3, 3, 16)),
        "out": images((2, 8, 8, 32)),
        "padding": 1,
    }
    with pytest.raises(error, match=message):
        af.cuda.conv2d(**{**usual, **changes})
    assert launches == []


def test_launch_structures_have_the_drivers_sizes() -> None:
    assert ctypes.sizeof(libcuda._Attribute) == 72
    assert ctypes.sizeof(libcuda._Config) == 56


# CuPy's path, on a CuPy that is made up.


class RuntimeFault(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"fault {status}")
        self.status = status


class DriverFault(RuntimeFault):
    pass


class Exhausted(MemoryError):
    pass


def made_up_cupy(*, driver_version: int = 12040, is_broken: bool = False) -> SimpleNamespace:
    def mem_get_info() -> tuple[int, int]:
        if is_broken:
            raise RuntimeFault(700)
        return 1, 2

    runtime = SimpleNamespace(
        CUDARuntimeError=RuntimeFault,
        memGetInfo=mem_get_info,
        driverGetVersion=lambda: driver_version,
        runtimeGetVersion=lambda: 13000,
    )
    memory = SimpleNamespace(OutOfMemoryError=Exhausted)
    driver = SimpleNamespace(CUDADriverError=DriverFault)
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, memory=memory, driver=driver))


@pytest.mark.parametrize(
    ("fault", "cupy", "error", "message"),
    [
        (RuntimeFault(35), made_up_cupy(), DriverError, r"supports CUDA 12\.4.* with 13\.0"),
        (RuntimeFault(35), made_up_cupy(driver_version=0), NoDeviceError, "no NVIDIA driver"),
        (RuntimeFault(100), made_up_cupy(), NoDeviceError, "CUDA_VISIBLE_DEVICES"),
        (RuntimeFault(46), made_up_cupy(is_broken=True), NoDeviceError, "busy"),
        (RuntimeFault(802), made_up_cupy(is_broken=True), NoDeviceError, "fabricmanager"),
        (RuntimeFault(803), made_up_cupy(is_broken=True), DriverError, "different versions"),
        (RuntimeFault(804), made_up_cupy(is_broken=True), DriverError, "cuda-compat"),
        (RuntimeFault(2), made_up_cupy(), DeviceMemoryError, "use a smaller batch"),
        (Exhausted("full"), made_up_cupy(), DeviceMemoryError, "use a smaller batch"),
        (RuntimeFault(700), made_up_cupy(), BrokenContextError, "new process"),
        (DriverFault(719), made_up_cupy(), BrokenContextError, "new process"),
        (RuntimeFault(999), made_up_cupy(is_broken=True), BrokenContextError, "new process"),
        (RuntimeFault(1), made_up_cupy(), DeviceError, "doing it: fault 1"),
    ],
)
def test_faults_of_cupy_become_ours(fault, cupy, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught, translated(cupy, "doing it"):
        raise fault
    assert type(caught.value) is error


def test_a_kernel_keeps_the_most_shared_memory_that_a_program_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(libcuda, "allow_shared", lambda function, size, symbol: asked.append(size))
    own = cupy_driver.CupyDriver.__new__(cupy_driver.CupyDriver)
    own._functions = {"kernel": SimpleNamespace(kernel=SimpleNamespace(ptr=7))}
    own._shared = {}
    for size in (1000, 60000, 50000, 70000):
        assert own._function(SimpleNamespace(symbol="kernel", shared_bytes=size)) == 7
    assert asked == [60000, 70000]


def test_addresses_go_where_the_plan_says() -> None:
    parameters = bytes(range(64))
    pointers = [
        SimpleNamespace(offset=8, buffer="input", byte_offset=0),
        SimpleNamespace(offset=40, buffer="output", byte_offset=256),
    ]
    launch = SimpleNamespace(
        symbol="kernel", parameters=parameters, pointers=pointers, tensor_maps=[]
    )
    filled = bytes(cupy_driver._parameters(launch, {"input": 0x1122, "output": 0x10000}))
    assert int.from_bytes(filled[8:16], "little") == 0x1122
    assert int.from_bytes(filled[40:48], "little") == 0x10100
    kept = [*range(8), *range(16, 40), *range(48, 64)]
    assert [filled[i] for i in kept] == kept
    with pytest.raises(ShapeError, match="kernel needs output, and none was given"):
        cupy_driver._parameters(launch, {"input": 1})

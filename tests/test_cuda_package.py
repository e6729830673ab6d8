"""What the package says without a GPU, what it ships, and that its device headers compile."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import alphaflops as af
from alphaflops.cuda import arrays, cubins, cupy_driver, driver, energy, headers, libcuda, nvrtc
from alphaflops.cuda.arrays import as_device_array, empty_like_of, stream_of
from alphaflops.cuda.cupy_driver import translated
from alphaflops.errors import (
    BrokenContextError,
    DeviceError,
    DeviceMemoryError,
    DriverError,
    MissingExtraError,
    NoDeviceError,
    ShapeError,
    UnsupportedError,
)


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


without_gpu = pytest.mark.skipif(has_driver(), reason="there is an NVIDIA driver here")


@without_gpu
def test_every_call_says_what_is_missing() -> None:
    x = SimpleNamespace(
        __cuda_array_interface__={"shape": (1, 8, 8, 4), "typestr": "<f4", "data": (4096, False)}
    )
    w = SimpleNamespace(
        __cuda_array_interface__={"shape": (4, 3, 3, 4), "typestr": "<f4", "data": (8192, False)}
    )
    calls = (
        af.cuda.devices,
        af.cuda.open_driver,
        lambda: af.cuda.conv2d(x, w, out=x),
        lambda: af.measure(af.sample_shapes(2), backend="cuda"),
    )
    for call in calls:
        with pytest.raises((MissingExtraError, NoDeviceError)) as caught:
            call()
        assert "pip install" in str(caught.value) or "driver" in str(caught.value)


@without_gpu
def test_commands_say_what_is_missing() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alphaflops", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    probe = run("probe", "--backend", "cuda")
    assert probe.returncode == 2
    assert "driver" in probe.stderr or "pip install" in probe.stderr
    listed = run("devices", "--json")
    assert listed.returncode == 0
    assert '"gpus": []' in listed.stdout


def test_importing_touches_no_driver() -> None:
    code = (
        "import sys, alphaflops as af; af.cuda; import alphaflops.measuring.cuda_backend;"
        "maps = open('/proc/self/maps').read();"
        "print('libcuda' in maps, 'cupy' in sys.modules, 'torch' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.split() == ["False"] * 3


def test_neither_path_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_is_installed", lambda path: False)
    with pytest.raises(MissingExtraError, match=r"alphaflops\[cuda13\].*ALPHAFLOPS_CUDA=ON"):
        driver.open_driver()
    with pytest.raises(MissingExtraError, match="CuPy is not installed"):
        driver.open_driver("cupy")
    with pytest.raises(MissingExtraError, match=r"_cuda is not built"):
        driver.open_driver("native")


def test_the_headers_are_found_and_their_hash_is_of_their_text() -> None:
    names = headers.entry_headers()
    assert names
    assert "device.cuh" not in names
    assert all((headers.folder() / name).is_file() for name in names)
    assert len(headers.source_hash()) == 64


def test_every_planned_kernel_has_a_header() -> None:
    from alphaflops._cuda_plan import Target, conv_plans  # noqa: PLC0415

    shape = {"batch": 1, "c_in": 64, "c_out": 64, "h_in": 14, "w_in": 14}
    planned = {
        launch.header
        for dtype in ("fp32", "tf32", "fp16", "bf16", "int8")
        for window in ({}, {"k_h": 3, "k_w": 3}, {"k_h": 3, "k_w": 3, "groups": 64})
        for plan in conv_plans(shape | window, Target(90, True, 132, 227 << 10), dtype)
        for launch in plan.launches
    }
    assert planned
    assert planned <= set(headers.entry_headers())


# As far as templates are instantiated: nvcc goes on from there (check_cuda.py).
ARCHITECTURES = (75, 80, 86, 89, 90, 100)
#: With few kernels, so that they are quick to compile to the end.
QUICK = {"conv_general.cuh", "conv_reduce.cuh", "conv_turn_weights.cuh", "stream_layout.cuh"}


@pytest.fixture(scope="module")
def compiler() -> None:
    try:
        nvrtc.version()
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("compiler")
def test_every_header_compiles_at_run_time() -> None:
    def checked(turn: int) -> bytes:
        arch = ARCHITECTURES[turn % len(ARCHITECTURES)]
        options = nvrtc.options_for(arch, headers.folder(), kind="compute")
        header = names[turn // 2]  # for two architectures each
        source = f'#include "{header}"\n'
        return nvrtc.compile_source(source, f"{turn}.cu", [*options, "--fdevice-syntax-only"])

    names = headers.entry_headers()
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(checked, range(2 * len(names))))) >= 2


@pytest.mark.usefixtures("compiler")
def test_small_headers_compile_at_run_time() -> None:
    names = [name for name in headers.entry_headers() if name in QUICK]
    assert names
    for turn, header in enumerate(names):
        options = nvrtc.options_for(ARCHITECTURES[turn], headers.folder())
        code = nvrtc.compile_source(f'#include "{header}"\n', f"{header}.cu", options)
        assert code[:4] == b"\x7fELF"


@pytest.mark.usefixtures("compiler")
def test_source_that_does_not_compile_says_where() -> None:
    options = nvrtc.options_for(80, headers.folder())
    with pytest.raises(DeviceError, match=r"wrong\.cu.*(?s:.)*undefined"):
        nvrtc.compile_source("__global__ void f() { undefined(); }", "wrong.cu", options)


@pytest.mark.usefixtures("compiler")
def test_machine_code_is_kept(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    header = next(name for name in headers.entry_headers() if name in QUICK)
    first = cubins.cubin_of(header, 80)
    assert first.parent == tmp_path / "alphaflops" / "cubins"
    assert first.read_bytes()[:4] == b"\x7fELF"
    monkeypatch.setattr(nvrtc, "compile_source", lambda *_: pytest.fail("compiled again"))
    assert cubins.cubin_of(header, 80) == first
    assert list(first.parent.iterdir()) == [first]
    monkeypatch.setattr(cubins, "source_hash", lambda: "of other sources")
    monkeypatch.setattr(nvrtc, "compile_source", lambda *_: b"other")
    assert cubins.cubin_of(header, 80) != first


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


@pytest.mark.parametrize("odd", ["x", "w", "out"])
def test_arrays_begin_where_16_bytes_can_be_read(launches: list, odd: str) -> None:
    arrays = {
        name: images(shape, (number << 16) + (8 if name == odd else 0))
        for number, (name, shape) in enumerate(
            [("x", (1, 4, 4, 16)), ("w", (8, 1, 1, 16)), ("out", (1, 4, 4, 8))], 1
        )
    }
    with pytest.raises(ShapeError, match=rf"{odd} begins at address 0x\d0008.* give a copy"):
        af.cuda.conv2d(arrays["x"], arrays["w"], out=arrays["out"])
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


# Energy.


def test_energy_takes_off_nothing_and_says_what_idling_draws() -> None:
    now = [0.0]

    class Meter:
        def energy_j(self) -> float:
            return 50.0 * now[0] + 0.2 * len(calls)

    calls: list[int] = []

    def run() -> None:
        calls.append(1)
        now[0] += 0.001

    def sleep(seconds: float) -> None:
        now[0] += seconds

    got = energy.energy_of(run, Meter(), clock=lambda: now[0], sleep=sleep, window_s=1.0)
    assert got.idle_power_w == pytest.approx(50)
    assert got.call_j == pytest.approx(0.25)
    assert got.idle_j == pytest.approx(0.05)
    assert got.calls == pytest.approx(1000, abs=2)
    blind = SimpleNamespace(energy_j=lambda: float("nan"))
    with pytest.raises(MissingExtraError, match=r"alphaflops\[energy\]"):
        energy.energy_of(run, blind)
    with pytest.raises(ShapeError, match="must be positive"):
        energy.energy_of(run, Meter(), window_s=0)

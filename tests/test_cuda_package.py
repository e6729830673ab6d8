"""What the package says without a GPU, what it ships, and that its device headers compile."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import alphaflops as af
from alphaflops.cuda import cubins, driver, headers, nvrtc
from alphaflops.errors import DeviceError, MissingExtraError, NoDeviceError


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
def test_the_compiler_finds_its_parts_by_itself() -> None:
    program = "from alphaflops.cuda import nvrtc; nvrtc.compile_source('', 'empty.cu', [])"
    environment = {name: it for name, it in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


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

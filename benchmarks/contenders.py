"""What kernels.py times: our kernels, oneDNN's and PyTorch's behind one interface, in turns.

Builds the C++ side (contender.hpp) with CMake and fetches oneDNN with pip.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

REPOSITORY = Path(__file__).parents[1]
ONEDNN = "2023.2.0"
TURN_S = 3e-3


class Shape(NamedTuple):
    """A convolution of square images; its name counts as in 56²x64→64 k3 s1."""

    c_in: int
    size: int
    c_out: int
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def pad(self) -> int:
        return self.kernel // 2

    @property
    def out(self) -> int:
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        """Nominal: padding counted."""
        return self.out**2 * self.c_out * self.c_in // self.groups * self.kernel**2

    def __str__(self) -> str:
        channels = f"{self.c_in}" if self.groups > 1 else f"{self.c_in}→{self.c_out}"
        return f"{self.size}²x{channels} k{self.kernel} s{self.stride}"


class CShape(ctypes.Structure):
    """ContenderShape of contender.hpp."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("batch", "c_in", "size", "c_out", "kernel", "stride", "pad", "groups")
    ]


def fetch_onednn(folder: Path) -> Path | None:
    root = folder / f"onednn-{ONEDNN}"
    if not (root / "include").is_dir():
        names = [f"onednn{kind}-cpu-gomp=={ONEDNN}" for kind in ("", "-devel")]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        done = subprocess.run(
            [*pip, str(root), *names], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            print(f"oneDNN is left out, as pip said:\n{done.stderr}", file=sys.stderr)
            return None
        for wheel in root.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    _, _, inside = name.partition(".data/data/")
                    if inside.startswith(("lib/", "include/")) and not name.endswith("/"):
                        target = root / inside
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(archive.read(name))
    return root


def build(folder: Path) -> tuple[ctypes.CDLL, ctypes.CDLL | None]:
    onednn = fetch_onednn(folder)
    configure = [
        "cmake", "-S", str(REPOSITORY), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release",
        "-DALPHAFLOPS_BENCHMARKS=ON", f"-DALPHAFLOPS_ONEDNN={onednn or ''}",
    ]  # fmt: skip
    targets = ["native_conv", "onednn_conv"] if onednn else ["native_conv"]
    for command in (configure, ["cmake", "--build", str(folder), "-j2", "--target", *targets]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
    libraries = [ctypes.CDLL(str(folder / "benchmarks" / f"lib{name}.so")) for name in targets]
    for name, library in zip(("native", "onednn"), libraries, strict=False):
        getattr(library, f"{name}_create").restype = ctypes.c_void_p
        getattr(library, f"{name}_time").restype = ctypes.c_double
    for name in ("wall", "longest_part", "peak", "peak_at_once"):
        getattr(libraries[0], f"native_{name}").restype = ctypes.c_double
    return libraries[0], libraries[1] if onednn else None


class Data:
    """Random operands of a layer in one dtype, and what a contender should make of them."""

    def __init__(self, shape: Shape, dtype: str, rng: np.random.Generator) -> None:
        s = shape
        self.shape, self.dtype = shape, dtype
        x_size = (1, s.size, s.size, s.c_in)
        w_size = (s.c_out, s.c_in // s.groups, s.kernel, s.kernel)
        if dtype == "int8":
            self.x = rng.integers(0, 256, x_size, np.uint8)
            self.w = rng.integers(-128, 128, w_size, np.int8)
            self.bias = rng.integers(-1000, 1000, s.c_out, np.int32)
            return
        self.x, self.w, self.bias = (
            rng.standard_normal(size, np.float32) for size in (x_size, w_size, s.c_out)
        )
        if dtype == "bf16":  # cut off, which is as good as rounded here
            self.x, self.w = ((each.view(np.uint32) >> 16).astype(np.uint16)
                              for each in (self.x, self.w))  # fmt: skip

    def arguments(self) -> list[ctypes.c_void_p]:
        return [ctypes.c_void_p(each.ctypes.data) for each in (self.x, self.w, self.bias)]

    def empty(self) -> np.ndarray:
        s = self.shape
        return np.empty(
            (1, s.out, s.out, s.c_out), np.int32 if self.dtype == "int8" else np.float32
        )


class NoAlgorithmError(Exception):
    """A contender does not do a shape; the comparison goes on without it."""


class FromC:
    """A contender behind contender.hpp."""

    def __init__(
        self,
        library: ctypes.CDLL,
        name: str,
        data: Data,
        options: list[object],
        clock: str = "time",
    ) -> None:
        s = data.shape
        self.data, self.library, self.name = data, library, name
        self.owner: FromC | None = None  # of the handle
        c_shape = CShape(1, s.c_in, s.size, s.c_out, s.kernel, s.stride, s.pad, s.groups)
        create = getattr(library, f"{name}_create")
        handle = create(ctypes.byref(c_shape), data.dtype.encode(), *options, *data.arguments())
        if not handle:
            raise NoAlgorithmError(f"{name} has none for {data.shape}")
        self.handle = ctypes.c_void_p(handle)
        self.call = getattr(library, f"{name}_{clock}")

    def time(self, calls: int) -> float:
        return self.call(self.handle, calls)

    def output(self) -> np.ndarray:
        y = self.data.empty()
        getattr(self.library, f"{self.name}_read")(self.handle, ctypes.c_void_p(y.ctypes.data))
        return y

    def by(self, clock: str) -> FromC:
        """Return the same contender timed in another way."""
        other = copy.copy(self)
        other.owner = self
        other.call = getattr(self.library, f"{self.name}_{clock}")
        return other

    def __del__(self) -> None:
        if hasattr(self, "handle") and self.owner is None:
            getattr(self.library, f"{self.name}_destroy")(self.handle)


class FromTorch:
    """PyTorch, fp32; `how` is prepacked (mkldnn weights), nhwc or nchw."""

    def __init__(self, data: Data, how: str) -> None:
        s = data.shape
        last = torch.contiguous_format if how == "nchw" else torch.channels_last
        x = torch.from_numpy(data.x).permute(0, 3, 1, 2).contiguous(memory_format=last)
        w = torch.from_numpy(data.w).contiguous(memory_format=last)
        bias = torch.from_numpy(data.bias)
        pads, strides, ones = [s.pad] * 2, [s.stride] * 2, [1, 1]
        if how == "prepacked":
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                w, pads, strides, ones, s.groups, list(x.shape)
            )
            run = torch.ops.mkldnn._convolution_pointwise.default
            arguments = (x, packed, bias, pads, strides, ones, s.groups, "none", [], "")
        else:
            run = torch.conv2d
            arguments = (x, w, bias, strides, pads, ones, s.groups)
        self.call = functools.partial(run, *arguments)

    def time(self, calls: int) -> float:
        call = self.call
        start = time.thread_time()
        for _ in range(calls):
            call()
        return time.thread_time() - start

    def output(self) -> np.ndarray:
        return self.call().permute(0, 2, 3, 1).contiguous().numpy()


class Bench:
    """The two libraries, and what runs contenders in turns."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.native, self.onednn = build(folder)
        self.rounds = rounds
        self.rng = np.random.default_rng()

    def ours(
        self,
        data: Data,
        algorithm: str,
        isa: str = "avx512",
        threads: int = 1,
        clock: str = "time",
    ) -> FromC:
        options = [isa.encode(), algorithm.encode(), threads]
        return FromC(self.native, "native", data, options, clock)

    def peers(self, data: Data) -> dict[str, Callable[[], FromC | FromTorch]]:
        peers = {
            f"torch {how}": functools.partial(FromTorch, data, how)
            for how in ("prepacked", "nhwc", "nchw")
        }
        if self.onednn is not None:
            peers["oneDNN"] = functools.partial(FromC, self.onednn, "onednn", data, [])
        return peers

    def peak(self, dtype: str, isa: str) -> float:
        return self.native.native_peak(dtype.encode(), isa.encode())

    def two_at_once(self) -> float:
        """Multiply-adds of two threads side by side to those of one."""
        return self.native.native_peak_at_once(2) / self.native.native_peak_at_once(1)

    def measure(
        self, contenders: dict[str, FromC | FromTorch], *, before: Callable[[], float] | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Seconds a call [round] of each; what `before` gave around every turn [round, turn]."""
        calls = {}
        for name, contender in contenders.items():
            contender.time(2)
            once = min(contender.time(1) for _ in range(3))
            calls[name] = max(1, round(TURN_S / once))
        times: dict[str, list[float]] = {name: [] for name in contenders}
        around = []
        order = list(contenders)
        for _ in range(self.rounds):
            random.shuffle(order)
            values = [before()] if before else []
            for name in order:
                times[name].append(contenders[name].time(calls[name]) / calls[name])
                if before:
                    values.append(before())
            around.append(values)
        return {name: np.array(each) for name, each in times.items()}, np.array(around)


def check(contenders: dict[str, FromC | FromTorch], reference: str) -> None:
    contenders[reference].time(1)
    expected = contenders[reference].output().astype(np.float64)
    for name, contender in contenders.items():
        contender.time(1)
        error = np.linalg.norm(contender.output() - expected) / np.linalg.norm(expected)
        if not error < 1e-5:
            sys.exit(f"{name} is off by {error:.2g} from {reference}")

"""Arrays and streams of other libraries on hardware, and faults that stay."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import alphaflops as af
from alphaflops.cuda.driver import Driver

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_of_pytorch(driver: Driver, dtype: str) -> None:
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    x = torch.randn(2, 64, 17, 19, device="cuda", dtype=kind).to(memory_format=torch.channels_last)
    w = torch.randn(32, 64, 3, 3, device="cuda", dtype=kind).to(memory_format=torch.channels_last)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # the current stream is taken without being named
        y = af.cuda.conv2d(
            x.permute(0, 2, 3, 1), w.permute(0, 2, 3, 1), padding=1, stride=2, path=driver.path
        )
    stream.synchronize()
    expected = torch.nn.functional.conv2d(x.double(), w.double(), padding=1, stride=2)
    error = (y.permute(0, 3, 1, 2).double() - expected).norm() / expected.norm()
    assert y.dtype == kind
    assert error < (1e-5 if dtype == "float32" else 1e-2)


def test_arrays_of_cupy(driver: Driver) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    x = cupy.asarray(np.random.default_rng(0).standard_normal((2, 9, 9, 16), np.float32))
    w = cupy.ones((8, 1, 1, 16), cupy.float32)
    out = cupy.empty((2, 9, 9, 8), cupy.float32)
    with cupy.cuda.Stream() as stream:
        got = af.cuda.conv2d(x, w, out=out, path=driver.path)
        stream.synchronize()
    assert got is out
    expected = x.sum(axis=3, keepdims=True)
    assert float(abs(out - expected).max()) < 1e-4


_BROKEN = """
import alphaflops as af
from alphaflops._cuda_plan import conv_plans
from alphaflops.cuda.driver import open_driver
from alphaflops.errors import BrokenContextError, DeviceError

driver = open_driver({path!r})
(plan, *_) = conv_plans({{"batch": 1, "c_in": 16, "c_out": 16}}, driver.info().target)
nowhere = dict.fromkeys(("input", "weights", "output", "workspace"), 256)
program = driver.program([(plan, nowhere)])
for attempt in range(2):
    try:
        driver.hot([program], 1)
        driver.memory()
        print("nothing was raised")
    except BrokenContextError as error:
        print("start a new process" in str(error))
"""


def test_a_fault_that_stays_says_so(driver: Driver) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BROKEN.format(path=driver.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.split("\n")[:2] == ["True", "True"], done.stdout + done.stderr

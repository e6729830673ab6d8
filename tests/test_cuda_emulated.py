"""The host code of the native path on the processor: a made-up CUDA runtime runs its kernels there.

`ALPHAFLOPS_EMULATED_CUDA` names the module; `make test` builds it where the CUDA toolkit is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import alphaflops as af

ROOT = Path(__file__).parents[1]
MODULE = Path(
    os.environ.get("ALPHAFLOPS_EMULATED_CUDA")
    or ROOT / "build" / "dev" / "tests" / "cuda" / "emulated" / "_cuda.so"
)
EMULATED = ROOT / "tests" / "cuda" / "emulated"

pytestmark = pytest.mark.skipif(
    not MODULE.exists(),
    reason=f"{MODULE} is not built; it needs the CUDA toolkit and ALPHAFLOPS_PYTHON=ON",
)


def run(*arguments: object, **settings: str) -> str:
    """Run Python with the emulated module; return what it prints."""
    path = os.pathsep.join(filter(None, (str(EMULATED), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "ALPHAFLOPS_EMULATED_CUDA": str(MODULE),
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            **settings,
        },
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_networks_and_errors() -> None:
    networks = ROOT / "tests" / "gpu" / "test_networks_on_gpu.py"
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", EMULATED, networks, "-k", "not cupy")
    assert "20 deselected" in said  # networks by the other path


def test_what_is_held_against_float64_on_hardware() -> None:
    tests = [ROOT / "tests" / "gpu" / f"test_{kind}_on_gpu.py" for kind in ("conv", "sequences")]
    said = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests),
        # But for two that take as long as all others.
        *("-k", "native and not input_gradient and not fp16-attention"),
        ALPHAFLOPS_TEST_SHAPES="1",
    )
    assert "passed" in said
    assert "1 skipped" in said  # gradients in int8


def command(*arguments: object, arch: int = 90) -> str:
    """Type a command; plans are timed by the runtime's own clock, and only what is tiny runs."""
    settings = {"EMULATED_CUDA_MOST_THREADS": "64", "EMULATED_CUDA_ARCH": str(arch)}
    return run("-m", "alphaflops", *arguments, **settings)


@pytest.mark.parametrize("arch", [75, 90])
def test_probe(arch: int) -> None:
    said = command("probe", "--backend", "cuda", "--budget", "0.1", "--json", arch=arch)
    peaks = json.loads(said)
    assert (peaks["path"], peaks["device"]["name"]) == ("native", f"Made-up GPU sm_{arch}")
    assert ("bf16" in peaks["peak_ops_per_s"]) == (arch == 90)
    assert peaks["launch_device_s"] == pytest.approx(2.03e-6, rel=0.01)


@pytest.mark.parametrize("arch", [75])
def test_from_a_table_to_networks(tmp_path: Path, arch: int) -> None:
    shapes, times, profile = (tmp_path / name for name in ("shapes.csv", "times.csv", "gpu.json"))
    af.write_table(af.sample_shapes(40, seed=3), shapes)
    command("measure", shapes, "-o", times, "--backend", "cuda", "--budget", "60", arch=arch)
    table = af.read_table(times)
    assert len(table) == 40
    assert set(table["path"]) == {"native"}
    assert (table["time_s"] > 2e-6).all()
    command("fit", times, "-o", profile, "--form", "macs")
    said = command("validate", "squeezenet1_0", "-d", profile, "--budget", "1", "--json", arch=arch)
    (network,) = json.loads(said)["networks"]
    assert network["measured_s"] > 26 * 2e-6  # its convolutions

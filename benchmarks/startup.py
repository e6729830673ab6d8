"""What a user waits for: install, import, one estimate; and the size of the wheel.

    python benchmarks/startup.py [--install]

Times are medians with [minimum, maximum]. With --install a wheel is built from this checkout in a
new virtual environment, which needs a C++ compiler and a package index.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

import alphaflops as af
from alphaflops.measuring.device import describe_device

REPOSITORY = Path(__file__).parents[1]


def spread(samples: list[float], unit: str, scale: float) -> str:
    center, low, high = statistics.median(samples), min(samples), max(samples)
    return f"{center * scale:.3g} {unit} [{low * scale:.3g}, {high * scale:.3g}]"


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def import_seconds(statement: str) -> float:
    """Seconds that an import adds to a running interpreter, in a new process."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def install() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--quiet"]
        seconds = timed(lambda: subprocess.run([*pip, "install", str(REPOSITORY)], check=True))
        print(f"pip install . into a new environment: {seconds:.0f} s")
        command = [*pip, "wheel", "--no-deps", "--wheel-dir", folder, str(REPOSITORY)]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        print(f"wheel: {wheel.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    device = describe_device(None)
    print(f"device: {device['name']}, {device['isa']}")

    whole = [import_seconds("import alphaflops") for _ in range(15)]
    numpy = [import_seconds("import numpy") for _ in range(15)]
    print(f"import alphaflops: {spread(whole, 'ms', 1e3)}; numpy alone {spread(numpy, 'ms', 1e3)}")

    profile = af.load_profile("quadro-t2000")
    for name in ("resnet50", "densenet121"):
        graph = af.zoo.build(name)
        samples = [timed(lambda g=graph: af.estimate(g, profile)) for _ in range(200)]
        print(f"estimate({name}) from a built graph: {spread(samples, 'ms', 1e3)}")
    if options.install:
        install()


if __name__ == "__main__":
    main()

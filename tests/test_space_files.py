"""Codes from a file, costs to a file: nothing of either has to stay in memory."""

import subprocess
import sys

import numpy as np
import pytest

import alphaflops as af

MEASURED = """
import sys
import numpy as np, alphaflops as af
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
space = af.spaces.fbnet()
compiled = space.compile("quadro-t2000")
compiled.evaluate(space.sample(1_000, rng=0))
before = peak()
codes = np.memmap(sys.argv[1], np.uint8, "r").reshape(-1, space.positions)
out = np.memmap(sys.argv[2], [("time_s", "f8")], "w+", shape=(len(codes),))
compiled.evaluate(codes, ("time_s",), out=out)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_files_are_priced_in_little_memory(tmp_path):
    space = af.spaces.fbnet()
    block = space.sample(500_000, rng=0)
    with (tmp_path / "codes").open("wb") as file:
        for _ in range(8):
            block.tofile(file)
    command = [sys.executable, "-c", MEASURED, tmp_path / "codes", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size = sum((tmp_path / name).stat().st_size for name in ("codes", "out"))
    assert size == 8 * 500_000 * 30
    assert int(done.stdout) < size / 7  # either file stays out of memory
    costs = np.fromfile(tmp_path / "out").reshape(8, -1)
    expected = space.compile("quadro-t2000").evaluate(block)
    np.testing.assert_array_equal(costs, np.tile(expected, (8, 1)))

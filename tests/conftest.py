"""Which tests time things, and so run with nothing beside them: see `make test-python`.

And how one that only needs some samples gets them soon, however slow the machine is; PyTorch on one
thread; and what a C++ project needs to build against the installed package.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

ALONE = {
    "test_bench",
    "test_campaign",
    "test_probe",
    "test_reuse_measured",
    "test_torch_backend",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in ALONE:
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def five_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape of a campaign is settled with its fifth sample."""
    monkeypatch.setattr("alphaflops.measuring.readings.SETTLED", 1.0)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Threads of PyTorch that wait for each other on a busy machine take seconds."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cmake() -> str:
    found = shutil.which("cmake")
    if found is None:
        pytest.skip("cmake is not on PATH")
    return found


@pytest.fixture
def cmake_dir() -> str:
    """Where ``find_package`` finds the installed package."""
    asked = [sys.executable, "-m", "alphaflops", "--cmake-dir"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

"""Which tests time things, and so run with nothing beside them: see `make test-python`.

And how one that only needs some samples gets them soon, however slow the machine is.
"""

from __future__ import annotations

import pytest

ALONE = {
    "test_bench",
    "test_bench_resume",
    "test_campaign",
    "test_probe",
    "test_scenarios",
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

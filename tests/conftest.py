"""Which tests time things, and so run with nothing beside them: see `make test-python`."""

from __future__ import annotations

import pytest

ALONE = {
    "test_bench",
    "test_bench_resume",
    "test_campaign",
    "test_executor",
    "test_probe",
    "test_scenarios",
    "test_torch_backend",
    "test_torch_training",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in ALONE:
            item.add_marker(pytest.mark.alone)

"""Everything here runs on a GPU, by each way to it that is installed; without one it is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphaflops.cuda.driver import PATHS, Driver, open_driver
from alphaflops.errors import DeviceError, MissingExtraError


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session", params=PATHS)
def driver(request: pytest.FixtureRequest) -> Driver:
    try:
        return open_driver(request.param)
    except (DeviceError, MissingExtraError) as error:
        pytest.skip(f"{request.param}: {error}")

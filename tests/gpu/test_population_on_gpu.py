"""Populations priced on hardware beside the processor's prices of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import alphaflops as af
from alphaflops.cuda.driver import open_driver
from alphaflops.errors import DeviceError, MissingExtraError, ModelError

METRICS = ("time_s", "macs", "params", "peak_memory_bytes")


@pytest.fixture(scope="module")
def cupy() -> Any:
    module = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        open_driver("cupy")
    except (DeviceError, MissingExtraError) as error:
        pytest.skip(str(error))
    return module


@pytest.mark.parametrize("name", ["fbnet", "nasbench201", "ofa"])
@pytest.mark.parametrize("metrics", [METRICS[:1], METRICS])
def test_prices_are_those_of_the_processor(cupy: Any, name: str, metrics: tuple[str, ...]) -> None:
    compiled = getattr(af.spaces, name)().compile("quadro-t2000")
    for count in (1, 31, 50_001):
        codes = compiled.space.sample(count, rng=count)
        priced = compiled.evaluate(cupy.asarray(codes), metrics)
        expected = compiled.evaluate(codes, metrics)
        for metric in metrics:
            np.testing.assert_array_equal(priced[metric].get(), expected[metric])


def test_a_bad_code_is_named_with_its_row(cupy: Any) -> None:
    compiled = af.spaces.fbnet().compile("quadro-t2000")
    codes = compiled.space.sample(1000, rng=0)
    codes[777, 3] = 250
    with pytest.raises(ModelError, match="code 777 has"):
        compiled.evaluate(cupy.asarray(codes), "time_s")

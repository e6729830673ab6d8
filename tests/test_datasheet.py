"""Profiles from a data sheet."""

from __future__ import annotations

import numpy as np
import pytest

import alphaflops as af
from alphaflops.errors import ProfileError


def test_a_data_sheet_prices_everything():
    profile = af.from_datasheet("x", peak_flops=10e12, bandwidth=400e9, tdp=70)
    for name in af.zoo.names():
        report = af.estimate(name, profile, strict=True)
        low, high = report.time_interval_s
        assert high / low > 5
        assert report.energy_j == pytest.approx(70 * report.time_s)
        assert report.time_s > 2 * report.macs / 10e12
    assert any("nothing was measured" in text for text in profile.assumptions)


def test_a_faster_data_sheet_is_faster():
    slow = af.from_datasheet("slow", peak_flops=1e12, bandwidth=100e9)
    fast = af.from_datasheet("fast", peak_flops=10e12, bandwidth=1000e9)
    more_cores = af.from_datasheet("wide", peak_flops=1e12, bandwidth=100e9, cores=10_000)
    slow_s, fast_s, wide_s = (af.estimate("resnet50", p).time_s for p in (slow, fast, more_cores))
    assert slow_s > 3 * fast_s
    assert wide_s > slow_s  # the same peak spread over more cores is harder to reach


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"peak_flops": 11.3}, "floating-point operations a second"),
        ({"bandwidth": 484}, "bytes a second"),
        ({"peak_flops": np.nan}, "peak_flops is nan"),
        ({"bandwidth": -1}, "bandwidth is -1"),
        ({"tdp": 0}, "tdp is 0"),
        ({"cores": -3}, "cores is -3"),
        ({"dtype": "fp7"}, "fp7"),
    ],
)
def test_what_no_data_sheet_says(given, words):
    with pytest.raises(ProfileError, match=words):
        af.from_datasheet("x", **{"peak_flops": 1e12, "bandwidth": 1e11, **given})

"""Activations in the launch of a product: lowered, priced, and found from what they take alone."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import shapes, timed, with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.fitting import fit

SILU_S, GELU_S = 3e-10, 1.1e-9
RELU = {
    "seconds_per_byte_read": 4e-12,
    "seconds_per_byte_written": 5e-12,
    "floor_s": 2e-7,
    "sharpness": 3.0,
}


def network(activation):
    """Return a convolution of 6 channels to 16, with a norm and an activation behind it."""
    graph = af.Graph("one")
    x = graph.input((2, 6, 10, 12))
    x = graph.conv2d(x, 16, 3, padding=1, bias=False)
    x = graph.batch_norm(x)
    if activation:
        graph.activation(x, activation)
    return graph


def profile(**more):
    alpha = {"seconds_per_mac": 1e-10, "beta": 0.1, "gamma": 0.5}
    data = {
        "format": "alphaflops-profile", "version": 1, "name": "test", "interval_level": 0.9,
        "provenance": {"backend": "none"},
        "out_of_scope": ["norm", "elementwise"],
        "models": [
            {
                "kind": "conv_spatial", "pass": "forward", "dtype": "fp32", "form": "alpha",
                "parameters": alpha, "interval": {"lower_factor": 0.9, "upper_factor": 1.2},
            }
        ],
        **more,
    }  # fmt: skip
    return af.Profile.from_dict(data)


def test_what_is_folded_is_named():
    for activation in ("", "relu", "silu", "gelu"):
        fused = _core.lower(network(activation), "fused")
        assert [_core.ACTIVATIONS[i] for i in fused.epilogue] == [activation or "none"]
        assert not _core.lower(network(activation), "eager").epilogue.any()
        assert fused.take(np.array([0, 0])).epilogue.tolist() == fused.epilogue.tolist() * 2


def test_an_epilogue_by_hand():
    silu = {"activation": "silu", "dtype": "fp32", "seconds_per_element": SILU_S}
    half = {"activation": "silu", "dtype": "fp16", "seconds_per_element": 1.0}
    plain = af.estimate(network("silu"), profile())
    both = af.estimate(network("silu"), profile(epilogues=[silu, half]))
    extra = SILU_S * 2 * 16 * 10 * 12
    assert both.time_s == pytest.approx(plain.time_s + extra, rel=1e-12)
    for own, bare in zip(both.time_interval_s, plain.time_interval_s, strict=True):
        assert own == pytest.approx(bare + extra, rel=1e-12)
    relu = af.estimate(network("relu"), profile(epilogues=[silu]))
    assert relu.time_s == plain.time_s
    eager = af.estimate(network("silu"), profile(epilogues=[silu]), mode="eager")
    assert eager.time_s == plain.time_s  # its launch of its own is out of scope here


def table(noise=0.0, ops=("relu", "silu", "gelu")):
    """Return a device on which an activation hides behind the bytes of large tensors."""
    rows = timed(shapes(90, 1, ops=ops), {"elementwise": RELU, "transcendental": RELU})
    work = af.table.work_table(rows)
    seconds = np.select(
        [rows["op"] == "silu", rows["op"] == "gelu"], [SILU_S + 3.6e-11, GELU_S + 3.6e-11], 0.0
    )
    time_s = np.maximum(rows["time_s"], 2e-7 + seconds * work.elements_written)
    z = np.random.default_rng(3).normal(size=len(rows))
    return with_column(rows, "time_s", time_s * np.exp(noise * z))


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_what_activations_take_alone_tells_what_they_add(noise):
    found = fit(table(noise)).profile.data["epilogues"]
    seconds = {each["activation"]: each["seconds_per_element"] for each in found}
    expected = {"silu": SILU_S, "gelu": GELU_S}
    assert seconds == {k: pytest.approx(v, rel=0.1 + 3 * noise) for k, v in expected.items()}
    assert {each["dtype"] for each in found} == {"fp32"}


def test_what_hides_behind_its_bytes_adds_nothing():
    rows = timed(shapes(90, 1, ops=("relu", "silu")), {"elementwise": RELU, "transcendental": RELU})
    found = fit(rows).profile.data.get("epilogues", [])
    assert all(each["seconds_per_element"] < 4e-12 for each in found)


def test_where_nothing_tells_nothing_is_said():
    assert "epilogues" not in fit(table(ops=("silu", "gelu"))).profile.data
    eager = with_column(table(), "mode", np.full(90, "eager"))
    assert "epilogues" not in fit(eager).profile.data

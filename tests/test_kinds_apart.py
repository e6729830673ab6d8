"""Transposed convolutions, those of volumes, and recurrences: rows, kinds and prices."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import timed

import alphaflops as af
from alphaflops import _core
from alphaflops.adapting.networks import networks_of
from alphaflops.errors import TableError
from alphaflops.fitting import fit
from alphaflops.measuring.backends import named
from alphaflops.measuring.families_images import transposed, volume
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import Frames, Shape, to_table
from alphaflops.profiles import Profile
from alphaflops.table import work_table

torch = pytest.importorskip("torch")
ALPHA = {"seconds_per_mac": 1e-10, "beta": 0.05, "gamma": 0.8}
RATES = {"conv_spatial": 1e-10, "conv_transposed": 3e-10, "conv_3d": 7e-10, "linear": 1e-10,
         "recurrent": 1e-10, "lstm": 4e-10}  # fmt: skip
COUNTS = ("macs", "flops", "params", "activations_read", "weights_read", "elements_written")
SIZES = ("batch", "groups", "c_in", "c_out", "spatial", "width", "kernel_volume", "stride")


def drawn(family, rows):
    random = np.random.default_rng(5)
    return [family(random) for _ in range(rows)]


def kinds(work):
    return [_core.KINDS[kind] for kind in work.kind]


def module_of(shape):
    if shape.op == "conv3d":
        frames, k, s, p = shape.frames, shape.kernel, shape.stride, shape.pad
        of = torch.nn.Conv3d(
            *(shape.c_in, shape.c_out, (frames.kernel, k, k), (frames.stride, s, s)),
            padding=(frames.pad, p, p),
            bias=False,
        )
        return of, torch.empty(shape.batch, shape.c_in, frames.extent, shape.size, shape.size)
    of = torch.nn.ConvTranspose2d(
        shape.c_in, shape.c_out, shape.kernel, shape.stride, shape.pad, bias=False
    )
    return of, torch.empty(shape.batch, shape.c_in, shape.size, shape.size)


@pytest.mark.parametrize("family", [transposed, volume])
def test_a_row_is_the_module(family):
    shapes = drawn(family, 40)
    rows = work_table(to_table(shapes))
    assert set(kinds(rows)) == {"conv_transposed" if family is transposed else "conv_3d"}
    for i, shape in enumerate(shapes):
        with torch.device("meta"):
            module, x = module_of(shape)
        graph = af.from_torch(module, x)
        work = af.lower(graph, "eager")
        for column in (*COUNTS, *SIZES):
            assert getattr(rows, column)[i] == getattr(work, column)[0], (shape, column)
        assert shape.macs == work.macs[0]
        largest = max(int(np.prod(graph.shape(node))) for node in range(len(graph)))
        assert shape.elements == largest


def test_kinds_of_modules():
    nn, image = torch.nn, torch.empty(1, 4, 5, 6)
    tokens, token = torch.empty(2, 5, 4), torch.empty(2, 1, 4)
    for module, x, kind in (
        (nn.ConvTranspose1d(4, 8, 3), image[:, :, 0], "conv_transposed"),
        (nn.ConvTranspose2d(4, 8, 1, groups=4), image, "conv_transposed"),
        (nn.ConvTranspose3d(4, 8, 3), image[:, :, None], "conv_transposed"),
        (nn.Conv3d(4, 8, 1), image[:, :, None], "conv_3d"),
        (nn.Conv3d(4, 8, 3, padding=1, groups=4), image[:, :, None], "conv_3d"),
        (nn.Conv1d(4, 8, 3), image[:, :, 0], "conv_spatial"),
        (nn.LSTM(4, 8, batch_first=True), tokens, "lstm"),
        (nn.LSTM(4, 8, batch_first=True), token, "recurrent"),
        (nn.GRU(4, 8, batch_first=True), tokens, "recurrent"),
        (nn.RNN(4, 8, batch_first=True), tokens, "recurrent"),
    ):
        work = af.lower(af.from_torch(module, x), "eager")
        assert np.array(kinds(work))[work.macs > 0].tolist() == [kind], module


def profile(*models, per_step=(), reuse=None):
    data = {
        "format": "alphaflops-profile",
        "version": 1,
        "name": "test",
        "provenance": {"backend": "none", "mode": "eager"},
        "models": [
            {"kind": kind, "pass": "forward", "dtype": "fp32", "form": "alpha",
             "parameters": {**ALPHA, "seconds_per_mac": RATES[kind]}, "per_step": kind in per_step}
            for kind in models
        ],
    }  # fmt: skip
    if reuse is not None:
        data["weight_reuse"] = reuse
    return Profile.from_dict(data)


def price(shapes, *models, **more):
    return _core.predict(work_table(to_table(shapes)), profile(*models, **more).core).time_s


def test_an_output_extent_is_the_outputs_padding():
    table = {"op": "conv_transpose2d", "batch": 1, "c_in": 4, "h_in": 5, "w_in": 5, "c_out": 6,
             "k_h": 3, "k_w": 3, "stride_h": 2, "stride_w": 2, "pad_h": 1, "pad_w": 1}  # fmt: skip
    plain, padded = work_table(table), work_table(table | {"h_out": 10, "w_out": 10})
    assert plain.elements_written[0] == 6 * 9 * 9
    assert padded.elements_written[0] == 6 * 10 * 10
    assert padded.macs[0] == plain.macs[0]
    for wrong, why in (
        (11, "output padding is 2"),
        (8, "extent is 8; without output padding it is 9"),
    ):
        with pytest.raises(TableError, match=f"row 1: conv_transpose2d: .*{why}"):
            work_table(table | {"h_out": wrong})
    with pytest.raises(TableError, match=r"row 1: conv3d: no padding of a 5 x 5 .* it is 3 x 3"):
        work_table(table | {"op": "conv3d", "h_out": 4, "w_out": 3})


def test_others_stand_in_where_none_was_timed():
    shapes = [Shape("conv_transpose2d", 16, 8, 8, 4, 2, 1),
              Shape("conv3d", 8, 9, 16, 3, 1, 1, frames=Frames(4, 3, 1, 1)),
              Shape("lstm", 64, 32, 128), Shape("gru", 64, 32, 128)]  # fmt: skip
    stood_in = price(shapes, "conv_spatial", "recurrent")
    own = price(shapes, "conv_transposed", "conv_3d", "lstm", "recurrent")
    np.testing.assert_allclose(own / stood_in, [3.0, 7.0, 4.0, 1.0])
    np.testing.assert_array_equal(price(shapes, "conv_spatial", "linear")[:2], stood_in[:2])
    with pytest.raises(af.errors.ProfileError, match="does not price operator kind 'conv_3d'"):
        price(shapes[1:2], "linear")


@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_tokens_wait_for_one_another(op):
    """The batch's rows are all that a device has at once; a step of a step has them as well."""
    kind = "lstm" if op == "lstm" else "recurrent"
    shape = Shape(op, 64, 32, 128, batch=4)
    rows_at_once = 4
    alpha = ((1 + 0.05 * (rows_at_once - 1)) / rows_at_once) ** 0.8  # S_K is 1
    expected = RATES[kind] * alpha * shape.macs
    assert price([shape], kind)[0] == pytest.approx(expected)
    assert price([shape], kind, per_step=(kind,))[0] == pytest.approx(expected)
    # A linear layer that stands in has all tokens.
    rows = 4 * 32
    alpha = ((1 + 0.05 * (rows - 1)) / rows) ** 0.8
    assert price([shape], "linear")[0] == pytest.approx(1e-10 * alpha * shape.macs)


def test_weights_in_a_cache_stand_in_too():
    """But for those of a recurrence, which its tokens use again and again."""
    shapes = [Shape("conv_transpose2d", 16, 8, 8, 4, 2, 1), Shape("lstm", 64, 32, 128)]
    reuse = {"distance_bytes": [1e6, 1e7], "share": [0.5, 1.0], "half_rows": {"conv_spatial": 64.0}}
    priced = profile("conv_spatial", "linear", reuse=reuse).core
    work = work_table(to_table(shapes))
    gained = (
        _core.predict(work, priced, reuse_bytes=0.0).time_s / _core.predict(work, priced).time_s
    )
    np.testing.assert_allclose(gained, [1 - 0.5 * 64 / (64 + 8 * 8 - 1), 1.0])


def test_adapting_prices_them_as_their_stand_ins():
    graph = af.Graph("decoder")
    x = graph.conv(graph.input((1, 8, 9, 9)), 4, 4, 2, 1, transposed=True)
    graph.relu(x)
    assert networks_of([graph], "eager").kinds.tolist() == ["conv_spatial", "elementwise"]


def test_a_fit_tells_them_apart():
    shapes = sample_shapes(400, mode="eager", seed=2)
    shapes = shapes[np.isin(shapes["op"], ["conv2d", "conv_transpose2d", "conv3d", "lstm", "gru"])]
    rate = {"beta": 0.0, "gamma": 0.0}
    slower = {"conv_transposed": 3.0, "conv_3d": 7.0, "lstm": 2.0, "recurrent": 5.0}
    device = {
        kind: {"seconds_per_mac": 2e-11 * slower.get(kind, 1.0), **rate}
        for kind in ("conv_1x1", "conv_spatial", "conv_grouped", *slower)
    }
    fitted = fit(timed(shapes, device), form="macs").forms["macs"]
    for kind, times in slower.items():
        found = fitted.parameters[kind]
        assert found["seconds_per_mac"] == pytest.approx(2e-11 * times, rel=1e-3), kind
    model = next(m for m in fitted.profile.data["models"] if m["kind"] == "conv_transposed")
    assert model["operators"] == ["conv_transpose1d", "conv_transpose2d"]


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_pytorch_runs_them(layout):
    shapes = [Shape("conv_transpose2d", 16, 8, 8, 4, 2, 1),
              Shape("conv3d", 8, 9, 16, 3, 2, 1, frames=Frames(4, 3, 1, 1))]  # fmt: skip
    backend = named("torch", threads=1, layout=layout, on="cpu")
    measured = af.measure(to_table(shapes), backend=backend, budget_s=5)
    assert measured["op"].tolist() == ["conv_transpose2d", "conv3d"]
    assert (measured["time_s"] > 0).all()


@pytest.mark.parametrize("op", ["conv_transpose2d", "conv3d"])
def test_native_kernels_have_none_of_them(op):
    with pytest.raises(af.errors.UnsupportedError, match=op):
        af.measure(to_table([Shape(op, 8, 9, 16, 3, 1, 1)]), backend="native", budget_s=1)

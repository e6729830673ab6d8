"""Large tensors on a processor: their rows in a calibration, and the price of fresh memory."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import numpy as np
import pytest
from measurements import shapes, timed, with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError
from alphaflops.fitting import fit
from alphaflops.fitting.forms import MULTIPLYING, rows_of
from alphaflops.fitting.fresh import FROM_BYTES
from alphaflops.measuring.batches import with_heavy, with_large
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import graphs_of, largest_bytes
from alphaflops.profiles import Profile
from alphaflops.scenarios.calibrate import POINTS
from alphaflops.table import work_table

MIB = 2.0**20
RATES = {"seconds_per_byte_read": 2e-11, "seconds_per_byte_written": 3e-11, "floor_s": 1e-6}
CONV = {"seconds_per_mac": 2e-11, "beta": 0.02, "gamma": 0.9, "floor_s": 2e-5, "sharpness": 2.0}
DEVICE = {"norm": RATES, "elementwise": RATES, "pool": RATES, "conv_1x1": CONV}
CLEARED = 4e-10  # s a byte: what clearing and mapping takes here
GIVEN_BACK = 5e-11


def a_model(fresh, kind="norm"):
    return {"kind": kind, "pass": "forward", "dtype": "fp32", "form": "traffic",
            "parameters": RATES, "fresh_memory": fresh}  # fmt: skip


def a_profile(*models):
    return Profile.from_dict(
        {
            "format": "alphaflops-profile",
            "version": 1,
            "name": "test",
            "provenance": {"backend": "torch", "mode": "eager"},
            "models": list(models),
        }
    )


def of(op, batch):
    """Return the work of an operator on images of 1 MiB."""
    graph = af.Graph(op)
    x = graph.input((batch, 64, 64, 64))
    graph.batch_norm(x) if op == "batch_norm" else graph.activation(x, op)
    return _core.lower(graph, "eager")


def test_bytes_in_fresh_memory_cost_more() -> None:
    fresh = {"from_bytes": 2.0**25, "seconds_per_byte_read": 1e-10,
             "seconds_per_byte_written": 4e-10, "in_place": ["relu"]}  # fmt: skip
    profile = a_profile(a_model(fresh), a_model(fresh, "elementwise")).core
    for op, batch, over in (
        ("batch_norm", 31, 0.0),
        ("batch_norm", 32, 5e-10),
        ("batch_norm", 70, 5e-10),
        ("sigmoid", 32, 5e-10),
        ("relu", 32, 0.0),
    ):
        nbytes = batch * MIB
        weights = 4 * 4 * 64 * RATES["seconds_per_byte_read"] * (op == "batch_norm")
        plain = RATES["floor_s"] + 5e-11 * nbytes + weights
        got = _core.predict(of(op, batch), profile).time_s
        assert got.tolist() == pytest.approx([plain + over * nbytes], rel=1e-5), (op, batch)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("from_bytes", ..., '"from_bytes" is missing'),
        ("from_bytes", 0, '"from_bytes" is 0'),
        ("seconds_per_byte_read", -1, '"seconds_per_byte_read" is -1'),
        ("in_place", "relu", "in_place: it must be an array of names"),
    ],
)
def test_a_malformed_price_is_named(field, value, message) -> None:
    fresh = {"from_bytes": 2.0**25}
    fresh = {k: v for k, v in (fresh | {field: value}).items() if v is not ...}
    with pytest.raises(ProfileError, match=rf"models\[0\]\.fresh_memory.*{message}"):
        a_profile(a_model(fresh))


def measured(seed=1, *, backend="torch"):
    """Return rows of a device with fresh memory, as PyTorch on a processor would have them."""
    ops = ("batch_norm", "add", "relu", "max_pool", "conv2d")
    table = shapes(400, seed, ops=ops, kernels=(1,))
    pools = table["op"] == "max_pool"
    for column in ("k_h", "k_w", "stride_h", "stride_w"):
        table[column][pools] = 2
    table["h_in"] = table["w_in"] = np.clip(table["h_in"], 7, 64)
    table["batch"][::3] *= 24
    table = table[work_table(table).macs < 2e9]
    table = timed(table, DEVICE, noise=0.03)
    rows = rows_of(work_table(table))
    own = rows.op != "relu"
    written = own & (rows.bytes_written >= FROM_BYTES)
    read = own & (rows.op != "add") & (rows.bytes_read - rows.weight_bytes >= FROM_BYTES)
    extra = CLEARED * rows.bytes_written * written + GIVEN_BACK * rows.bytes_read * read
    assert written.sum() > 12
    table["time_s"] += extra
    for name, value in {"backend": backend, "on": "cpu", "mode": "eager"}.items():
        table = with_column(table, name, np.full(len(table), value))
    return table, written


@pytest.fixture(scope="module")
def fitted():
    return fit(measured()[0])


def test_a_fit_finds_what_fresh_memory_costs(fitted) -> None:
    models = {model["kind"]: model for model in fitted.profile.data["models"]}
    for kind in ("norm", "elementwise"):
        fresh = models[kind]["fresh_memory"]
        both = fresh["seconds_per_byte_read"] + fresh["seconds_per_byte_written"]
        wanted = CLEARED + GIVEN_BACK * (kind == "norm")
        assert both == pytest.approx(wanted, rel=0.15), kind
        assert fresh["from_bytes"] == FROM_BYTES
        assert "relu" in fresh["in_place"]
    unseen, written = measured(2)
    rows = rows_of(work_table(unseen))
    predicted = _core.predict(work_table(unseen), fitted.profile.core).time_s
    error = np.abs(predicted / unseen["time_s"] - 1)
    for own in (written, ~written):
        assert np.median(error[own & np.isin(rows.kind, list(DEVICE))]) < 0.06


def test_so_do_weights_that_convolutions_sort() -> None:
    table, _ = measured()
    rows = rows_of(work_table(table))
    wide = table[rows.kind == "conv_1x1"][:40].copy()
    wide["batch"], wide["h_in"], wide["w_in"] = 1, 7, 7
    wide["c_in"] = np.linspace(512, 6144, 40).astype(int)
    wide["c_out"] = 2048
    weights = 4.0 * wide["c_in"] * wide["c_out"]
    assert 10 < (weights >= FROM_BYTES).sum() < 35
    wide["time_s"] = timed(wide, DEVICE)["time_s"] + CLEARED * weights * (weights >= FROM_BYTES)
    found = fit(np.concatenate([table, wide]), form="alpha-floor").profile.data["models"]
    prices = {model["kind"]: model["fresh_memory"]["seconds_per_weight_byte"] for model in found}
    assert prices["conv_1x1"] == pytest.approx(CLEARED, rel=0.15)
    assert prices["norm"] == prices["elementwise"] == 0.0


def test_a_kind_whose_rows_all_lie_there_has_no_price_on_top() -> None:
    table, _ = measured()
    rows = rows_of(work_table(table))
    large = (rows.kind == "norm") & (rows.bytes_written >= FROM_BYTES)
    assert large.sum() >= 5
    some = table[(rows.kind != "norm") | large]
    profile = fit(some, form="alpha").profile
    models = {model["kind"]: model for model in profile.data["models"]}
    assert "fresh_memory" not in models["norm"]
    assert models["elementwise"]["fresh_memory"]["seconds_per_byte_written"] > 0
    own = table[large]
    predicted = _core.predict(work_table(own), profile.core).time_s
    assert np.median(np.abs(predicted / own["time_s"] - 1)) < 0.15


def test_gradients_have_no_price_of_what_they_read() -> None:
    table, _ = measured()
    rows = rows_of(work_table(table))
    table = table[rows.kind == "norm"]
    table = with_column(table, "pass", np.full(len(table), "input_gradient"))
    table["training"] = 1
    model = fit(table, form="alpha").profile.data["models"][0]
    assert model["pass"] == "input_gradient"
    assert model["fresh_memory"]["seconds_per_byte_read"] == 0.0
    assert model["fresh_memory"]["in_place"] == []


def test_forms_that_others_published_have_no_such_price(fitted) -> None:
    for form in ("macs", "published"):
        models = fitted.forms[form].profile.data["models"]
        assert not any("fresh_memory" in m for m in models if m["kind"] in MULTIPLYING)


def test_other_backends_have_none() -> None:
    table = measured(backend="other")[0]
    assert not any("fresh_memory" in m for m in fit(table, form="alpha").profile.data["models"])


def test_rows_that_lie_there_do_not_bend_the_form(fitted) -> None:
    """The equation is that of the other rows alone."""
    table = measured()[0]
    rows = rows_of(work_table(table))
    large = np.maximum(rows.bytes_written, rows.bytes_read - rows.weight_bytes) >= FROM_BYTES
    alone = fit(table[~large | (rows.op == "relu")], form="tiled").forms["tiled"].profile.data
    both = fitted.forms["tiled"].profile.data
    small = of("batch_norm", 4)
    times = []
    for data in (alone, both):
        times.append(_core.predict(small, Profile.from_dict(data).core).time_s[0])
    assert times[1] == pytest.approx(times[0], rel=0.03)


@pytest.mark.parametrize("mode", ["eager", "fused_relu"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_designs_have_large_tensors_as_well(mode: str, seed: int, dtype: str) -> None:
    design = sample_shapes(600, seed=seed, mode=mode)
    design["dtype"] = dtype
    table = with_large(design, seed=seed)
    assert np.array_equal(table[: len(design)], design)
    more = table[len(design) :]
    work = work_table(more)
    size = 2 if dtype == "bf16" else 4
    largest = np.array([largest_bytes(graph) for graph in graphs_of(more)], float)
    assert 0.08 * len(design) < len(more) < 0.25 * len(design)
    assert largest.max() <= 80 * MIB, "up to an image more than 64"
    assert work.macs.max() <= 1e9
    assert (largest >= 4 * MIB * 0.5).mean() > 0.9
    written = {k: [] for k in ("norm", "elementwise", "conv_1x1", "copy")}
    for kind, nbytes in zip(work.kind, size * work.elements_written, strict=True):
        written.setdefault(_core.KINDS[kind], []).append(nbytes)
    assert max(written["norm"]) >= 32 * MIB
    if mode == "eager":
        assert max(written["elementwise"]) >= 32 * MIB
    assert "call" not in more["op"].tolist()
    names = [name for name in design.dtype.names or () if name != "batch"]
    assert np.isin(more[names], design[names]).all(), "the same operators, but for the batch"


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_designs_have_convolutions_of_heavy_weights(seed: int, dtype: str) -> None:
    design = sample_shapes(POINTS["eager"], seed=seed, mode="eager")
    design["dtype"] = dtype
    table = with_heavy(design, seed=seed)
    assert np.array_equal(table[: len(design)], design)
    work = work_table(more := table[len(design) :])
    kinds = [_core.KINDS[kind] for kind in work.kind]
    assert kinds == ["conv_1x1"] * 3 + ["conv_spatial"] * 3
    nbytes = (2 if dtype == "bf16" else 4) * work.weights_read
    assert (nbytes >= 32 * MIB).all()
    assert (nbytes <= 100 * MIB).all()
    assert work.macs.max() <= 2.2e9
    assert more["h_in"].min() >= 7
    names = [name for name in design.dtype.names or () if name not in {"c_in", "c_out"}]
    assert np.isin(more[names], design[names]).all(), "the same operators, but for channels"


def test_a_design_without_convolutions_has_no_heavy_weights() -> None:
    design = sample_shapes(100, mode="eager")
    design = design[design["op"] != "conv2d"]
    assert len(with_heavy(design)) == len(design)


def test_gradients_of_large_tensors_are_of_the_same_batch() -> None:
    design = sample_shapes(150, mode="eager", training=True)
    more = with_large(design)[len(design) :]
    assert set(more["pass"].tolist()) == {"forward", "input_gradient", "weight_gradient"}
    names = [name for name in more.dtype.names or () if name != "pass"]
    _, of_shape = np.unique(more[names], return_inverse=True)
    of_shape = of_shape.reshape(-1)
    convs = [i for i in set(of_shape.tolist()) if (more["op"][of_shape == i] == "conv2d").all()]
    assert convs
    for i in convs:
        assert (of_shape == i).sum() % 3 == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other heaps stay as they are")
@pytest.mark.usefixtures("one_torch_thread")
def test_room_is_made_for_tensors_of_twenty_megabytes() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from alphaflops.measuring.torch_heap import Heap  # noqa: PLC0415

    heap = Heap()

    def share_of_new_pages(size: int, count: int = 3) -> float:
        """Return it of so many tensors' pages."""
        before = new_pages()
        tensors = [torch.ones(size, dtype=torch.uint8) for _ in range(count)]
        share = (new_pages() - before) / (sum(map(len, tensors)) / resource.getpagesize())
        del tensors
        return share

    try:
        for _ in range(3):
            heap.make_room(20 << 20)
            assert share_of_new_pages(20 << 20) < 0.05
            assert share_of_new_pages(20 << 20) < 0.05
        before = new_pages()
        heap.make_room(400 << 20)  # the system's: nothing is held for it
        assert new_pages() - before < 100
        heap.make_room(20 << 20)  # which leaves more free than is asked for here
        heap.make_room(36 << 20)
        huge = Path("/sys/kernel/mm/transparent_hugepage/enabled")
        if not (huge.is_file() and "[always]" in huge.read_text()):  # one fault for 2 MiB
            assert share_of_new_pages(36 << 20, 1) > 0.95
    finally:
        heap.let_go()


def new_pages() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

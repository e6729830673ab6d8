"""Fitting: known parameters come back, intervals cover, fallbacks say so, bad input is named."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measurements import ALPHA_FLOOR, published, shapes, timed, with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import Error, TableError, UnsupportedError
from alphaflops.fitting import evaluate, fit
from alphaflops.fitting.forms import MOVING, PUBLISHED, WEIGHTED, rows_of
from alphaflops.fitting.solve import FORMS, fit_forms
from alphaflops.table import work_table, write_table

TRAFFIC = {
    "seconds_per_byte_read": 6e-11,
    "seconds_per_byte_written": 2e-11,
    "floor_s": 4e-6,
    "sharpness": 2.0,
}


@pytest.fixture(scope="module")
def noisy():
    """300 rows of an alpha-floor device, 5 % noise, and the fit to them."""
    table = timed(shapes(300, 1), ALPHA_FLOOR, noise=0.05)
    return table, fit(table)


def test_known_parameters_come_back_without_noise():
    found = fit(timed(shapes(300, 1), ALPHA_FLOOR), form="alpha-floor").parameters
    for kind, parameters in ALPHA_FLOOR.items():
        assert found[kind] == {n: pytest.approx(v, rel=0.01) for n, v in parameters.items()}


def test_known_parameters_lie_within_their_errors(noisy):
    _, fitted = noisy
    assert fitted.selected == "alpha-floor"
    standard_errors = fitted.forms["alpha-floor"].standard_errors
    for kind, parameters in ALPHA_FLOOR.items():
        for name, value in parameters.items():
            off = abs(fitted.parameters[kind][name] - value)
            assert off < 3.5 * standard_errors[kind][name], (kind, name)
        assert standard_errors[kind]["gamma"] < 0.2


def test_standard_errors_have_the_right_size():
    table = shapes(200, 2, kernels=(1,))
    found, stated = [], []
    for seed in range(40):
        noisy_s = timed(table, ALPHA_FLOOR, noise=0.05, seed=seed)["time_s"]
        forms, _ = fit_forms(rows_of(work_table(table)), noisy_s, rich=False)
        fitted = forms["alpha-floor"]["conv_1x1"]
        found.append(list(fitted.parameters.values()))
        stated.append(list(fitted.standard_errors.values()))
    np.testing.assert_allclose(np.mean(stated, axis=0) / np.std(found, axis=0), 1, atol=0.35)


def test_outliers_do_not_bend_the_fit():
    table = timed(shapes(300, 1), ALPHA_FLOOR, noise=0.02)
    time_s = table["time_s"].copy()
    time_s[::15] *= 20
    found = fit(with_column(table, "time_s", time_s), form="alpha-floor").parameters
    assert found["conv_1x1"]["gamma"] == pytest.approx(0.9, abs=0.1)
    assert found["conv_spatial"]["floor_s"] == pytest.approx(4e-5, rel=0.15)


def test_a_device_of_plain_macs_selects_macs():
    plain = {"seconds_per_mac": 1e-11, "beta": 0.0, "gamma": 0.0}
    table = timed(shapes(200, 1), dict.fromkeys(ALPHA_FLOOR, plain), noise=0.1)
    fitted = fit(table)
    assert fitted.selected == "macs"
    assert fitted.parameters["conv_1x1"]["seconds_per_mac"] == pytest.approx(1e-11, rel=0.05)


def test_the_published_form_keeps_beta_and_gamma():
    form = fit(timed(shapes(100, 1), ALPHA_FLOOR, noise=0.05)).forms["published"]
    rates = {p["seconds_per_mac"] for p in form.parameters.values()}
    assert len(rates) == 1
    for kind, (beta, gamma) in ((kind, PUBLISHED[kind]) for kind in WEIGHTED):
        assert (form.parameters[kind]["beta"], form.parameters[kind]["gamma"]) == (beta, gamma)


def test_traffic_comes_back():
    table = timed(shapes(200, 1, ops=("max_pool",)), {"pool": TRAFFIC}, noise=0.01)
    fitted = fit(table)
    found = fitted.parameters["pool"]
    assert found["floor_s"] == pytest.approx(4e-6, rel=0.1)
    assert fitted.errors.mape < 0.012
    # A pool reads as much as it writes here, so only the sum of the rates is determined.
    both = found["seconds_per_byte_read"] + found["seconds_per_byte_written"]
    assert both == pytest.approx(8e-11, rel=0.03)
    assert np.isnan(fitted.baseline.mape)


def test_transcendental_functions_have_a_price_of_their_own():
    """GELU and ReLU move the same bytes; one takes six times the other per element."""
    dear = {**{n: 6 * v for n, v in TRAFFIC.items()}, "floor_s": 4e-6, "sharpness": 2.0}
    device = {"elementwise": TRAFFIC, "transcendental": dear}
    table = timed(shapes(120, 1, ops=("relu", "gelu", "silu")), device, noise=0.01)
    profile = fit(table).profile
    for op in ("relu", "gelu", "silu"):
        fresh = timed(shapes(60, 2, ops=(op,)), device)
        predicted = _core.predict(work_table(fresh), profile.core).time_s
        np.testing.assert_allclose(predicted, fresh["time_s"], rtol=0.05)


def test_what_stands_in_is_not_out_of_scope():
    table = timed(
        shapes(40, 1, ops=("relu", "max_pool")), {"elementwise": TRAFFIC, "pool": TRAFFIC}
    )
    profile = fit(table).profile
    assert profile.data["out_of_scope"] == ["norm", "softmax", "copy"]
    relu, gelu = (work_table(shapes(5, 3, ops=(op,))) for op in ("relu", "gelu"))
    times = [_core.predict(work, profile.core).time_s for work in (relu, gelu)]
    np.testing.assert_array_equal(*times)


def test_kinds_without_rows(noisy):
    _, fitted = noisy
    data = fitted.profile.data
    models = {m["kind"]: m for m in data["models"]}
    for kind, donor in (("linear", "conv_1x1"), ("conv_grouped", "conv_spatial")):
        assert models[kind]["parameters"] == models[donor]["parameters"]
        own, lent = models[donor]["interval"], models[kind]["interval"]
        assert lent == {k: pytest.approx(v**2) for k, v in own.items()}
        assert any(text.startswith(f"{kind}: no rows") for text in data["assumptions"])
    assert data["out_of_scope"] == list(MOVING)


@pytest.mark.parametrize(
    ("rows", "used"), [(8, "alpha-floor"), (7, "alpha"), (5, "alpha"), (4, "macs"), (1, "macs")]
)
def test_few_rows_fall_back(rows, used):
    table = timed(shapes(rows, 3, kernels=(3,)), ALPHA_FLOOR)
    fitted = fit(table, form="alpha-floor")
    parameters = fitted.parameters["conv_spatial"]
    assert ("floor_s" in parameters) == (used == "alpha-floor")
    assert (parameters["gamma"] == 0) == (used == "macs")
    said = f"conv_spatial: {rows} row{'s' * (rows > 1)}, too few for alpha-floor (8)"
    notes = fitted.profile.assumptions
    assert any(n.startswith(said) and n.endswith(used) for n in notes) == (used != "alpha-floor")


def test_one_row_is_priced_and_has_no_errors():
    table = timed(shapes(1, 3, kernels=(1,)), ALPHA_FLOOR)
    fitted = fit(table)
    assert fitted.selected == "macs"
    assert fitted.errors.n == 0
    assert fitted.to_json()["forms"]["macs"]["cv"]["mape"] is None
    assert fitted.profile.core.interval_level == 0
    predicted = _core.predict(work_table(table), fitted.profile.core)
    assert predicted.time_s[0] == pytest.approx(table["time_s"][0])


def test_few_rows_that_move_data_have_one_rate():
    table = timed(shapes(2, 3, ops=("relu",)), {"elementwise": TRAFFIC})
    fitted = fit(table)
    found = fitted.parameters["elementwise"]
    assert found["seconds_per_byte_read"] == found["seconds_per_byte_written"]
    assert any("one rate" in text for text in fitted.profile.assumptions)


def test_a_lone_row_of_a_kind_is_named_as_not_validated():
    table = np.concatenate([shapes(1, 4, kernels=(1,)), shapes(59, 4, kernels=(3,))])
    fitted = fit(timed(table, ALPHA_FLOOR, noise=0.05))
    assert fitted.errors.n == 59
    assert "1 rows could not be cross-validated" in fitted.profile.assumptions[-1]
    assert fitted.profile.data["errors"]["conv_1x1"]["mape"] is None


def test_depthwise_rows_are_fitted_by_themselves():
    device = {**ALPHA_FLOOR, "conv_grouped": {**ALPHA_FLOOR["conv_1x1"], "floor_s": 1e-5}}
    table = np.concatenate([shapes(80, 1), shapes(80, 2, kernels=(3,), groups=True)])
    fitted = fit(timed(table, device, noise=0.02), form="alpha-floor")
    assert fitted.parameters["conv_grouped"]["floor_s"] == pytest.approx(1e-5, rel=0.2)
    assert not any("conv_grouped" in text for text in fitted.profile.assumptions)


def test_intervals_cover_rows_never_seen(noisy):
    _, fitted = noisy
    fresh = timed(shapes(3000, 11), ALPHA_FLOOR, noise=0.05, seed=5)
    assert evaluate(fitted, fresh).coverage_90 == pytest.approx(0.9, abs=0.04)
    assert fitted.errors.coverage_90 == pytest.approx(0.9, abs=0.04)
    assert evaluate(fitted, fresh) == evaluate(fitted.profile, fresh)


def test_seed_and_order():
    table = timed(shapes(120, 1), ALPHA_FLOOR, noise=0.1)
    first, second = fit(table, seed=3), fit(table, seed=3)
    assert first.to_json()["forms"] == second.to_json()["forms"]
    other = fit(table[::-1], seed=4)
    for kind, parameters in first.parameters.items():
        assert other.parameters[kind]["gamma"] == pytest.approx(parameters["gamma"], rel=1e-3)


@pytest.mark.parametrize("column", ["device", "backend", "dtype"])
def test_mixed_tables_are_refused(column):
    table = timed(shapes(20, 1), ALPHA_FLOOR)
    values = ["fp32", "fp16"] if column == "dtype" else ["one", "two"]
    mixed = with_column(table, column, np.resize(values, 20))
    with pytest.raises(TableError, match=rf"column '{column}' mixes '\w+', '\w+'"):
        fit(mixed)


def test_bad_arguments_are_named():
    table = timed(shapes(20, 1), ALPHA_FLOOR)
    with pytest.raises(UnsupportedError, match="form 'cubic' is not known; use one of macs"):
        fit(table, form="cubic")
    with pytest.raises(TableError, match="group column 'run' not found; the table has"):
        fit(table, groups="run")
    with pytest.raises(TableError, match="one group only in dtype"):
        fit(table, groups=["dtype"])
    with pytest.raises(TableError, match="none named"):
        fit(table, groups=[])
    with pytest.raises(TableError, match="column 'time_s' missing"):
        fit(shapes(3))
    with pytest.raises(TableError, match="structured array"):
        fit("times.csv")


def test_evaluate_counts_what_it_prices(noisy):
    _, fitted = noisy
    convs = timed(shapes(20, 8), ALPHA_FLOOR)
    relus = timed(shapes(5, 8, ops=("relu",)), {"elementwise": TRAFFIC})
    assert evaluate(fitted, np.concatenate([convs, relus]).astype(convs.dtype)).n == 20
    with pytest.raises(TableError, match="prices none of its 5 rows"):
        evaluate(fitted, relus)


def test_json_and_text(noisy, tmp_path):
    table, _ = noisy
    held_out = timed(shapes(50, 21), ALPHA_FLOOR, noise=0.05, seed=9)
    fitted = fit(table, name="card", device="Card 1", test=held_out)
    document = json.loads(json.dumps(fitted.to_json(), allow_nan=False))
    assert set(document) == {"selected", "forms", "profile"}
    assert list(document["forms"]) == list(FORMS)
    for form in document["forms"].values():
        assert set(form) == {"parameters", "cv", "test"}
        assert set(form["cv"]) == set(form["test"]) == {
            "mape", "mdape", "within_10pct", "spearman", "coverage_90", "n"
        }  # fmt: skip
        assert form["test"]["n"] == 50
    text = str(fitted)
    assert text.startswith("card: alpha-floor, 300 rows, 5-fold over shapes")
    assert "alpha-floor *" in text
    assert "on the test table" in text
    assert "MACs x constant" in text
    assert "±" in text
    fitted.profile.save(tmp_path / "card.json")
    again = af.load_profile(tmp_path / "card.json")
    assert again.device_name == "Card 1"
    assert again.data["provenance"]["points"] == 300
    assert evaluate(again, held_out) == fitted.forms["alpha-floor"].test


@pytest.mark.parametrize("form", ["alpha", "tiled"])
def test_every_kind_has_its_parameters_once(form):
    drawn = af.sample_shapes(200)
    work = work_table(drawn)
    moved = work.activations_read + work.weights_read + work.elements_written
    table = with_column(drawn, "time_s", 1e-6 + 2e-11 * work.macs + 1e-10 * moved)
    fitted = fit(table, form=form)
    tables = str(fitted).split("\n\n")[2:]
    first_words = [line.split()[0] for part in tables for line in part.splitlines()]
    for kind in fitted.parameters:
        assert first_words.count(kind) == 1
    headings = [line for part in tables for line in part.splitlines() if line.startswith("kind ")]
    assert "beta" in headings[0]
    assert "beta" not in headings[-1]
    assert ("priced by tiles" in str(fitted)) == (form == "tiled")


def test_energy_gives_power():
    table = timed(shapes(50, 1), ALPHA_FLOOR)
    joules = np.where(np.arange(50) < 10, np.nan, 40 * table["time_s"])
    profile = fit(with_column(table, "energy_j", joules)).profile
    assert profile.core.power_w == pytest.approx(40)


@pytest.mark.filterwarnings("ignore:table. :UserWarning")
@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 99),
    st.lists(st.floats(1e-12, 1e6), min_size=12, max_size=12),
    st.sampled_from([("conv2d",), ("conv2d", "linear", "relu"), ("add", "softmax")]),
)
def test_any_times_give_a_fit_or_an_error(rows, seed, times, ops):
    table = with_column(shapes(rows, seed, ops=ops), "time_s", np.array(times[:rows]))
    try:
        fitted = fit(table)
    except Error:
        return
    prediction = _core.predict(work_table(table), fitted.profile.core)
    assert (prediction.time_s > 0).all()


@pytest.mark.alone
def test_fitting_is_fast(noisy):
    table, _ = noisy
    start = time.process_time()
    fit(table)
    assert time.process_time() - start < 3


def test_the_papers_data_leaving_each_line_out():
    fitted = fit(published("conv_quadro_t2000.csv"), groups=("experiment", "line"))
    assert fitted.selected in {"roofline-alpha", "tiled", "hybrid"}
    assert fitted.errors.n == 721
    assert fitted.errors.mape <= 0.08
    assert fitted.forms["alpha-floor"].cv.mape <= 0.144
    assert fitted.forms["alpha-floor"].cv.mdape <= 0.092
    assert fitted.forms["alpha"].cv.mape <= 0.217
    assert fitted.baseline.mape > 1
    assert 0.85 <= fitted.errors.coverage_90 <= 0.95


@pytest.mark.parametrize("name", ["conv_tesla_t4.csv", "conv_gtx_1080ti.csv"])
def test_other_devices_cover_on_held_out_rows(name):
    table = published(name)
    order = np.random.default_rng(0).permutation(len(table))
    fitted = fit(table[order[:300]], test=table[order[300:]])
    assert fitted.selected in ("tiled", "hybrid")
    tested = fitted.forms[fitted.selected].test
    assert tested.mape < 0.14
    for form in ("alpha-floor", fitted.selected):
        assert fitted.forms[form].test.coverage_90 == pytest.approx(0.9, abs=0.04)
    assert fitted.forms["alpha-floor"].test.mape < fitted.forms["macs"].test.mape


def test_the_command_reads_what_fit_takes(tmp_path):
    table = timed(shapes(30, 1), ALPHA_FLOOR, noise=0.05)
    write_table(table, tmp_path / "t.csv")
    again = af.read_table(tmp_path / "t.csv")
    assert fit(again).to_json()["forms"] == fit(table).to_json()["forms"]

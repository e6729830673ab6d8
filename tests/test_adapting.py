"""Profiles from whole networks: truth comes back, bad rows are named, priors help or go."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from adapting_devices import (
    CODES,
    FEW,
    GPU,
    ONE_THREAD,
    PHONE,
    REST,
    SPACE,
    device,
    times,
)

import alphaflops as af
from alphaflops.adapting.networks import networks_of
from alphaflops.adapting.prior import ignorant
from alphaflops.adapting.profiles import profile_of
from alphaflops.adapting.solver import Pricing, solve
from alphaflops.errors import ModelError, ProfileError, TableError, UnsupportedError


@pytest.fixture(scope="module")
def phone():
    """Times of 160 networks with 2 % noise, and a profile from the first 12."""
    measured = times(PHONE, noise=0.02)
    return measured, af.adapt(SPACE, CODES[FEW], measured[FEW], name="mine")


@pytest.mark.parametrize("truth", [PHONE, GPU, ONE_THREAD], ids=lambda p: p.name)
def test_twelve_networks_predict_the_rest(truth):
    exact = times(truth)
    noisy = times(truth, noise=0.02)
    found = af.adapt(SPACE, CODES[FEW], noisy[FEW])
    errors, outliers = found.evaluate((SPACE, CODES[REST]), exact[REST])
    assert errors.mape < 0.04
    assert errors.spearman > 0.93
    assert outliers == []
    assert found.errors.mape < 0.08


def test_a_hundred_networks_tell_more_than_twelve(phone):
    measured, few = phone
    rest = np.arange(100, 160)
    many = af.adapt(SPACE, CODES[:100], measured[:100])
    exact = times(PHONE, CODES[rest])
    of_many, _ = many.evaluate((SPACE, CODES[rest]), exact)
    of_few, _ = few.evaluate((SPACE, CODES[rest]), exact)
    assert of_many.mape < 0.01
    assert of_many.mape < of_few.mape
    seen, _ = many.evaluate((SPACE, CODES[rest]), measured[rest])
    assert 0.8 <= seen.coverage_90 < 1.0
    assert 0.85 <= many.errors.coverage_90 <= 0.95


def test_the_profile_is_one_like_any_other(phone, tmp_path):
    _, found = phone
    path = tmp_path / "phone.json"
    found.profile.save(path)
    again = af.load_profile(path)
    graphs = [SPACE.graph(code) for code in CODES[REST][:20]]
    reports = [af.estimate(graph, again) for graph in graphs]
    np.testing.assert_allclose(
        [report.time_s for report in reports], found.predict_s(graphs), rtol=1e-12
    )
    low, high = reports[0].time_interval_s
    assert low < reports[0].time_s < high
    resnet = af.estimate("resnet18", again)
    assert resnet.time_s == pytest.approx(af.estimate("resnet18", PHONE).time_s, rel=1.0)
    assert not resnet.unpriced


def test_the_core_prices_what_the_solver_fitted():
    networks = networks_of((SPACE, CODES[:30]), "fused")
    measured = times(GPU)[:30]
    prior = ignorant(networks, measured)
    phi = solve(networks, measured, prior).phi
    head = {"name": "x", "provenance": {"backend": "none"}}
    core = profile_of(phi, {}, networks, {}, head).core
    totals = [af._core.predict(table, core).total_time_s for table in networks.tables]
    np.testing.assert_allclose(Pricing(networks, prior).seconds(phi), totals, rtol=1e-9)


def test_derivatives_are_those_of_the_seconds():
    networks = networks_of((SPACE, CODES[:8]), "eager")
    prior = ignorant(networks, times(PHONE)[:8])
    pricing = Pricing(networks, prior)
    rng = np.random.default_rng(0)
    phi = prior.mean + prior.spread @ rng.normal(0, 0.3, prior.spread.shape[1])
    direction = rng.standard_normal(len(phi))
    step = 1e-6 * direction
    numeric = (pricing.seconds(phi + step) - pricing.seconds(phi - step)) / 2e-6
    np.testing.assert_allclose(pricing.derivatives(phi) @ direction, numeric, rtol=1e-4)


@pytest.mark.parametrize("bad", [1e-9, 1e-5, 5.0])
def test_a_corrupt_time_is_named_and_does_not_count(phone, bad):
    measured, clean = phone
    spoiled = measured[FEW].copy()
    spoiled[4] = bad
    found = af.adapt(SPACE, CODES[FEW], spoiled)
    assert [outlier.row for outlier in found.outliers] == [5]
    assert SPACE.encode(CODES[4]) in str(found)
    errors, _ = found.evaluate((SPACE, CODES[REST]), measured[REST])
    best, _ = clean.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < best.mape + 0.02
    assert found.errors.n == len(FEW) - 1


def test_times_that_are_none_are_named_and_do_not_count(phone):
    measured, _ = phone
    spoiled = measured[:16].copy()
    spoiled[[2, 5, 7, 11]] = 0.0, -1.0, np.nan, np.inf
    found = af.adapt(SPACE, CODES[:16], spoiled)
    assert [outlier.row for outlier in found.outliers] == [3, 6, 8, 12]
    assert SPACE.encode(CODES[7]) in str(found)
    assert found.errors.n == 12
    errors, _ = found.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < 0.06


def test_two_corrupt_times_of_ten(phone):
    measured, _ = phone
    spoiled = measured[:10].copy()
    spoiled[[1, 7]] = 2e-7, 3e-6
    found = af.adapt(SPACE, CODES[:10], spoiled)
    assert [outlier.row for outlier in found.outliers] == [2, 8]
    errors, _ = found.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < 0.06


def test_a_time_in_milliseconds_is_said_to_be_one(phone):
    measured, _ = phone
    spoiled = measured[FEW].copy()
    spoiled[0] *= 1000
    (outlier,) = af.adapt(SPACE, CODES[FEW], spoiled).outliers
    assert "about 1000 times too long" in str(outlier)


def test_corrupt_times_of_a_test_are_named_and_left_out(phone):
    measured, found = phone
    spoiled = measured[REST].copy()
    spoiled[[3, 9]] = 1e-6, np.nan
    errors, outliers = found.evaluate((SPACE, CODES[REST]), spoiled)
    assert [outlier.row for outlier in outliers] == [4, 10]
    assert errors.n == len(REST) - 2
    assert errors.mape < 0.05


def test_a_wrong_prediction_is_no_outlier(phone):
    measured, found = phone
    errors, outliers = found.evaluate((SPACE, CODES[REST]), 2 * measured[REST])
    assert outliers == []
    assert errors.mape == pytest.approx(0.5, abs=0.05)


def test_units_off_by_a_thousand_are_said(phone):
    measured, _ = phone
    short = af.adapt(SPACE, CODES[FEW], times(ONE_THREAD)[FEW] / 1e3)
    assert any("1000 times too short" in note for note in short.notes)
    long = af.adapt(SPACE, CODES[FEW], measured[FEW] * 1e3)
    assert any("milliseconds" in note for note in long.notes)
    with pytest.raises(TableError, match="more than any device"):
        af.adapt(SPACE, CODES[FEW], measured[FEW] / 1e9)
    with pytest.raises(TableError, match="less than any device"):
        af.adapt(SPACE, CODES[FEW], measured[FEW] * 1e6)


def test_good_units_are_not_doubted(phone):
    assert not any("imply" in note for note in phone[1].notes)


def test_contradicting_times_of_one_network_are_named(phone):
    measured, _ = phone
    codes = np.concatenate([CODES[FEW], CODES[:1]])
    twice = np.append(measured[FEW], 3 * measured[0])
    found = af.adapt(SPACE, codes, twice)
    assert any("was timed 2 times" in note for note in found.notes)
    assert [outlier.row for outlier in found.outliers] == [13]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_fewer_networks_than_parameters(n):
    measured = times(PHONE, noise=0.01)
    found = af.adapt(SPACE, CODES[:n], measured[:n])
    errors, _ = found.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < 0.6
    assert found.errors.n == (n if n > 1 else 0)
    assert any("tell little" in note for note in found.notes) == (n < 5)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_profile_of_the_device_makes_three_networks_enough():
    measured = times(ONE_THREAD, noise=0.02)
    without = af.adapt(SPACE, CODES[:3], measured[:3])
    leaning = af.adapt(SPACE, CODES[:3], measured[:3], prior=ONE_THREAD)
    of_without, _ = without.evaluate((SPACE, CODES[REST]), measured[REST])
    of_leaning, _ = leaning.evaluate((SPACE, CODES[REST]), measured[REST])
    assert of_leaning.mape < min(0.04, of_without.mape)
    assert leaning.profile.data["provenance"]["prior"] == "one-thread"


def test_a_prior_gives_the_shape_and_not_the_speed():
    twice_as_slow = 2 * times(GPU, noise=0.01)
    found = af.adapt(SPACE, CODES[:4], twice_as_slow[:4], prior=[GPU])
    errors, _ = found.evaluate((SPACE, CODES[REST]), twice_as_slow[REST])
    assert errors.mape < 0.03


def test_a_prior_that_the_times_contradict_is_dropped():
    measured = times(PHONE, noise=0.01)
    found = af.adapt(SPACE, CODES[:20], measured[:20], prior=GPU)
    assert found.profile.data["provenance"]["prior"] == "none"
    assert any("without" in note for note in found.notes)
    errors, _ = found.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < 0.04


def test_of_several_priors_the_device_is_recognised():
    measured = times(ONE_THREAD, noise=0.02)
    found = af.adapt(SPACE, CODES[:10], measured[:10], prior=[PHONE, GPU, ONE_THREAD])
    assert found.profile.data["provenance"]["prior"] == "one-thread"


def test_alphas_shape_comes_from_the_prior():
    data = GPU.data
    for model in data["models"]:
        if model["kind"] == "conv_1x1":
            model["parameters"] |= {"beta": 0.02, "gamma": 0.6}
    bent = af.Profile.from_dict(data)
    measured = times(bent, noise=0.01)
    leaning = af.adapt(SPACE, CODES[FEW], measured[FEW], prior=bent)
    models = {model["kind"]: model["parameters"] for model in leaning.profile.data["models"]}
    assert (models["conv_1x1"]["beta"], models["conv_1x1"]["gamma"]) == (0.02, 0.6)
    assert models["conv_grouped"]["gamma"] == 0.0
    errors, _ = leaning.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < 0.03


def test_a_data_sheet_is_a_prior():
    sheet = af.from_datasheet("gpu", peak_flops=11e12, bandwidth=480e9, cores=3584)
    measured = times(GPU, noise=0.01)
    found = af.adapt(SPACE, CODES[FEW], measured[FEW], prior=sheet)
    errors, _ = found.evaluate((SPACE, CODES[REST]), measured[REST])
    assert errors.mape < 0.03
    plain = np.array([af.estimate(SPACE.graph(code), sheet).time_s for code in CODES[REST]])
    assert errors.mape < np.abs(plain / measured[REST] - 1).mean()


def test_graphs_do_as_well_as_codes(phone):
    measured, found = phone
    graphs = [SPACE.graph(code) for code in CODES[FEW]]
    same = af.adapt(graphs, measured[FEW], name="mine")
    assert same.profile.data["models"] == found.profile.data["models"]

    pair = af.adapt((SPACE, [SPACE.encode(c) for c in CODES[FEW]]), measured[FEW], name="mine")
    assert pair.profile.data["models"] == found.profile.data["models"]


def test_networks_of_the_zoo():
    graphs = [
        af.zoo.build(name, image_size=size)
        for name in ("resnet18", "mobilenet_v2", "densenet121")
        for size in (96, 160, 224)
    ]
    measured = [af.estimate(graph, ONE_THREAD).time_s for graph in graphs]
    found = af.adapt(graphs, measured)
    vgg = af.zoo.build("resnet50", image_size=128)
    assert found.predict_s([vgg])[0] == pytest.approx(af.estimate(vgg, ONE_THREAD).time_s, rel=0.25)


def test_batch_and_mode_are_kept():
    found = af.adapt(SPACE, CODES[:5], times(GPU)[:5], mode="eager", batch=32)
    assert found.profile.data["provenance"]["mode"] == "eager"
    many = networks_of((SPACE, CODES[:5]), "eager", 32)
    assert set(many.work.batch.tolist()) == {32}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([], []), ModelError, "no networks were given"),
        ((["resnet18"], [1.0]), ModelError, "network 0 is a str"),
        (((SPACE, CODES[:3]), [0.01, 0.02]), TableError, "3 networks and times of shape"),
        ((SPACE, CODES[:2], ["a", "b"]), TableError, "must be numbers"),
        ((SPACE, CODES[:2], [0.0, -1.0]), TableError, "none of 2 times"),
        ((SPACE, CODES[:2]), TableError, "adapt takes networks and times"),
        ((SPACE, CODES[:2] + 9, [0.1, 0.1]), ModelError, "choices run from 0 to 8"),
    ],
)
def test_what_cannot_be_fitted(arguments, error, words):
    with pytest.raises(error, match=words):
        af.adapt(*arguments)


def test_mixed_dtypes_and_unknown_operators_are_refused():
    graphs = [SPACE.graph(CODES[0]), SPACE.graph(CODES[1], dtype="fp16")]
    with pytest.raises(UnsupportedError, match="mix element types fp16, fp32"):
        af.adapt(graphs, [0.01, 0.01])
    odd = af.Graph("odd")
    odd.unknown([odd.input([1, 3, 8, 8])], "Magic", [1, 3, 8, 8])
    with pytest.raises(UnsupportedError, match="odd has operators that cannot be counted"):
        af.adapt([odd], [0.01])


def test_a_prior_of_another_dtype_is_refused():
    half = device("half", mac_s=1e-10, byte_s=1e-10, launch_s=1e-6, dtype="fp16")
    with pytest.raises(ProfileError, match="in fp32"):
        af.adapt(SPACE, CODES[:3], times(PHONE)[:3], prior=half)


def test_two_runs_agree(phone):
    measured, found = phone
    again = af.adapt(SPACE, CODES[FEW], measured[FEW], name="mine")
    assert again.profile.data["models"] == found.profile.data["models"]


@pytest.mark.parametrize(
    ("name", "rank"),
    [("pixel3_s", 0.975), ("gold_6240_s", 0.80), ("1080ti_32_s", 0.80), ("titanx_64_s", 0.80)],
)
def test_ten_published_networks(name, rank):
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("ALPHAFLOPS_DATA", beside)) / "fbnet_latency.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there; set ALPHAFLOPS_DATA to the folder that has it")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))[:600]
    codes = np.stack([SPACE.decode(row["arch"]) for row in rows])
    measured = np.array([float(row[name]) for row in rows])
    found = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(rows))
        few, rest = order[:10], order[10:]
        result = af.adapt(SPACE, codes[few], measured[few])
        found.append(result.evaluate((SPACE, codes[rest]), measured[rest])[0])
    assert np.mean([errors.spearman for errors in found]) >= rank
    assert np.mean([errors.mape for errors in found]) <= 0.06

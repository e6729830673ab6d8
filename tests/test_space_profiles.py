"""Profiles that a space is compiled for: names, paths, modes, and what is said of them."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from costs import tiled
from space_profiles import FAST, SLOW, device

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ModelError, OverflowError, ProfileError, UnsupportedError
from alphaflops.spaces import SearchSpace

FBNET = af.spaces.fbnet()
EAGER = device("eager", seed=3, provenance={"backend": "made up", "mode": "eager"})
KINDS = ("conv_1x1", "conv_spatial", "conv_grouped", "linear")
SHORT = af.spaces.transformer(33, layers=2, widths=(64, 96), heads=(1, 3))


def measured_at_batch_1():
    """A profile whose convolutions of one image were measured, of any other size."""
    document = FAST.data
    for model in document["models"]:
        if model["kind"] in {"conv_1x1", "conv_spatial"}:
            many = _core.BOUNDED_TRAITS - 1
            model["domain"] = {"low": [-1.0] + [-99.0] * many, "high": [0.1] + [99.0] * many}
    return af.Profile.from_dict(document)


# Modes


def test_profiles_of_two_modes_are_refused_unless_one_is_given():
    said = (
        r"'fast' in fused, 'eager' in eager; compile the space for each by itself, or give a mode"
    )
    with pytest.raises(ModelError, match=said):
        FBNET.compile([FAST, EAGER])
    codes = FBNET.sample(5, 1)
    both = FBNET.compile([FAST, EAGER], mode="eager").evaluate(codes)
    np.testing.assert_array_equal(both[:, 1], FBNET.compile(EAGER).evaluate(codes))
    assert FBNET.compile([EAGER, EAGER]).mode == "eager"


# Names and paths


def test_a_path_object_is_a_profile_everywhere(tmp_path):
    path = tmp_path / "mine.json"
    FAST.save(path)
    codes = FBNET.sample(3, 1)
    want = FBNET.compile(FAST).evaluate(codes)
    np.testing.assert_array_equal(FBNET.compile(path).evaluate(codes), want)
    several = FBNET.compile([path, str(path), FAST]).evaluate(codes)
    np.testing.assert_array_equal(several, np.tile(want[:, np.newaxis], 3))
    graph = FBNET.graph(codes[0])
    assert af.estimate(graph, path).time_s == af.estimate(graph, FAST).time_s
    columns = {name: [4] for name in _core.LAUNCH_COLUMNS}
    assert af.predict_rows(path, "linear", columns) == af.predict_rows(FAST, "linear", columns)
    assert af.estimate(Path("resnet18"), path).macs == af.estimate("resnet18", FAST).macs


@pytest.mark.parametrize("wrong", [3, None, b"mine.json"])
def test_what_is_no_profile(wrong):
    for use in (FBNET.compile, lambda p: af.estimate("resnet18", p), af.load_profile):
        with pytest.raises(ProfileError, match=r"is no profile; give a Profile, a shipped"):
            use(wrong)


# Notes


def test_notes_say_what_stands_in_and_what_costs_nothing():
    assert SHORT.compile(FAST).notes == ()
    lacking = device("lacking", without=("attention", "norm"), out_of_scope=["norm"])
    compiled = SHORT.compile(lacking)
    assert compiled.notes[0] == "not priced: norm"
    (note,) = [n for n in compiled.notes if "attention" in n]
    assert note in af.estimate(SHORT.graph(SHORT.sample(1, 0)[0]), lacking).notes
    assert compiled.notes is compiled.notes
    both = SHORT.compile([FAST, lacking]).notes
    assert both == tuple(f"profile 'lacking': {n}" for n in compiled.notes)


def test_kinds_that_some_networks_lack_are_one_note():
    lacking = device("lacking", without=("attention", "reduce"))
    space = SearchSpace("two")
    space.image(4, 8, 8)

    def attend(graph, x):
        return graph.attention(x, x, x)

    choices = {"attend": attend, "reduce": lambda graph, x: graph.reduce(x, "sum", [1])}
    space.choose("part", choices)
    notes = space.compile(lacking).notes
    assert len(notes) == 1
    assert {"attention", "reduce"} <= set(re.split(r"\W+", notes[0]))


def test_forms_without_an_alpha_have_no_alpha_flops():
    document = FAST.data
    for model in document["models"]:
        if model["kind"] == "conv_spatial":
            model |= {"form": "tiled", "parameters": tiled({})}
    some = af.Profile.from_dict(document)
    graph = FBNET.graph(FBNET.sample(1, 0)[0])
    report = af.estimate(graph, some)
    assert math.isnan(report.alpha_flops)
    assert json.loads(report.to_json())["alpha_flops"] is None
    assert "no α-FLOPs: the profile's form has no α; fit another with --form alpha" in report.notes
    assert not any("α-FLOPs" in note for note in af.estimate(graph, FAST).notes)
    compiled = FBNET.compile([some, FAST])
    values = compiled.evaluate(FBNET.sample(3, 0), "alpha_flops")
    assert np.isnan(values[:, 0]).all()
    assert (values[:, 1] > 0).all()
    with pytest.raises(UnsupportedError, match="bounds of alpha_flops are not to be had"):
        compiled.bounds("alpha_flops")
    assert compiled.bounds("alpha_flops", 1).least > 0


# Weights in a cache


def reusing(**how):
    known = {"half_rows": dict.fromkeys(KINDS, 50.0), **how}
    return device("reusing", weight_reuse=known)


ALIKE = reusing(distance_bytes=[1e12], share=[0.2])
UNLIKE = reusing(distance_bytes=[1e5, 1e8], share=[0.1, 1.0], keep_s=1.0)


@pytest.mark.parametrize("space", [FBNET, SHORT, af.spaces.nasbench201()], ids=lambda s: s.name)
def test_weights_in_a_cache_that_gain_alike_are_priced_to_the_last_digit(space):
    compiled = space.compile(ALIKE)
    codes = np.concatenate([space.sample(5, 0), [compiled.bounds().cheapest]])
    metrics = ("time_s", "time_lo_s", "time_hi_s")
    reports = [af.estimate(space.graph(code), ALIKE) for code in codes]
    own = [(report.time_s, *report.time_interval_s) for report in reports]
    found = compiled.evaluate(codes, metrics).tolist()
    np.testing.assert_allclose(found, own, rtol=1e-9)


def test_weights_in_a_cache_gain_more_in_small_networks_of_a_space():
    compiled, cold = FBNET.compile(UNLIKE), FBNET.compile(UNLIKE, reuse_bytes=math.inf)
    fastest, slowest = compiled.bounds()[2:]
    coins = np.random.default_rng(0).random((30, len(fastest)))
    tilted = np.where(coins < 0.5, fastest, FBNET.sample(30, 1))
    codes = np.concatenate([[fastest, slowest], FBNET.sample(30, 0), tilted])
    own = np.array([af.estimate(FBNET.graph(code), UNLIKE).time_s for code in codes])
    gains = 1 - own / cold.evaluate(codes)
    assert gains[0] > 2 * gains[1]
    np.testing.assert_allclose(compiled.evaluate(codes), own, rtol=0.04)
    shared = FBNET.compile(UNLIKE, reuse_bytes=3e6).evaluate(codes)
    own = [af.estimate(FBNET.graph(c), UNLIKE, reuse_bytes=3e6).time_s for c in codes]
    np.testing.assert_allclose(shared, own, rtol=0.01)


def test_notes_say_how_far_sums_are_from_what_a_cache_is_worth():
    said = "weights in a cache: "
    compiled = FBNET.compile(UNLIKE)
    (note,) = (note for note in compiled.notes if said in note)
    low, high = (float(part) for part in re.findall(r"([+-]\d+\.\d)%", note))
    assert -4 < low < high < 4
    code = compiled.bounds().cheapest
    own = af.estimate(FBNET.graph(code), UNLIKE).time_s
    off = 100 * (compiled.evaluate(code[np.newaxis])[0] / own - 1)
    assert low - 0.05 <= off <= high + 0.05
    for profile, distance in ((UNLIKE, math.inf), (ALIKE, None), (FAST, None)):
        notes = FBNET.compile(profile, reuse_bytes=distance).notes
        assert not any(said in note for note in notes)


@pytest.mark.parametrize("profile", [FAST, UNLIKE])
def test_notes_of_networks_that_launch_nothing(profile):
    space = SearchSpace("still")
    space.image(3, 8, 8)
    space.choose("a", {"same": lambda _, x: x, "flat": lambda graph, x: graph.flatten(x)})
    assert space.compile(profile).notes == ()


def test_notes_say_what_share_is_extrapolated():
    profile = measured_at_batch_1()
    assert FBNET.compile(profile).notes == ()
    (note,) = FBNET.compile(profile, batch=64).notes
    said = re.fullmatch(
        r"extrapolated: (\d+)% to (\d+)% of the time, in 6 networks of the space, is in launches "
        "unlike all that was measured",
        note,
    )
    low, high = (int(share) / 100 for share in said.groups())
    for code in FBNET.sample(4, 0):
        share = af.estimate(FBNET.graph(code, batch=64), profile).extrapolated_share
        assert low - 0.01 < share < high + 0.01


# Copies


def test_a_space_and_its_costs_are_pickled():
    codes = FBNET.sample(20, 2)
    compiled = FBNET.compile([FAST, SLOW], batch=2, reuse_bytes=1e6)
    for again in (pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled)):
        np.testing.assert_array_equal(again.evaluate(codes), compiled.evaluate(codes))
        assert again.parts == compiled.parts
        assert (again.batch, again.reuse_bytes) == (2, 1e6)
        assert again.space.names == FBNET.names
        assert again.profiles == (FAST, SLOW)
    space = pickle.loads(pickle.dumps(af.spaces.darts()))
    code = space.sample(1, 0)[0]
    found = [af.lower(each.graph(code)).macs.tolist() for each in (space, af.spaces.darts())]
    assert found[0] == found[1]


# Counts


def test_counts_beyond_64_bits_are_refused():
    with pytest.raises(OverflowError, match=r"fbnet': macs of its largest network exceeds"):
        FBNET.compile(FAST, batch=60_000_000_000)

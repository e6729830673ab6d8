"""Trees on top of a form: as scikit-learn sums them inside the domain, fading outside of it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from costs import ROOFLINE, document, layer, predict, rows, tiled
from measurements import shapes
from sklearn.ensemble import GradientBoostingRegressor

from alphaflops import _core
from alphaflops.errors import ProfileError
from alphaflops.fitting import residual
from alphaflops.profiles import Profile
from alphaflops.table import work_table

FORM = ("roofline-alpha", ROOFLINE)
ANYWHERE = {"low": [-100.0] * _core.BOUNDED_TRAITS, "high": [100.0] * _core.BOUNDED_TRAITS}
#: 0.3 where c_in <= 2^4, else -0.2; and 0.05 everywhere.
TREES = {
    "trait": [3, -1, -1, -1],
    "right": [2, 0, 0, 0],
    "value": [4.0, 0.3, -0.2, 0.05],
    "roots": [0, 3],
}


@pytest.fixture(scope="module")
def grown():
    """Work, its times by the core alone, and the trees of a fit with scikit-learn's own sums."""
    work = work_table(shapes(400, 1, kernels=(1, 3)))
    core_s = predict(work, *FORM).time_s
    traits = _core.Launches(work).traits(core_s)
    target = 0.2 * np.sin(traits[:, 4]) + 0.1 * (traits[:, 17] > 1) + 0.02 * traits[:, 1]
    kept = []

    class Kept(GradientBoostingRegressor):
        def fit(self, *args):
            kept.append(self)
            return super().fit(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn.ensemble.GradientBoostingRegressor", Kept)
        trees = residual.fit_residual(traits, target, 0)
    return work, core_s, traits, trees, kept[0].predict(traits)


def test_inside_the_domain_trees_sum_as_scikit_learn_does(grown):
    work, core_s, traits, trees, expected = grown
    domain = residual.domain_of(traits)
    got = predict(work, *FORM, domain=domain, residual=trees)
    assert (got.distance == 0).all()
    # A leaf is rounded to five decimals in a profile.
    np.testing.assert_allclose(np.log(got.time_s / core_s), expected, atol=150 * 5e-6)
    assert np.abs(expected).max() > 0.1


def test_a_tree_by_hand():
    sixteen, seventeen = layer(c_in=16), layer(c_in=17)
    for work, correction in ((sixteen, 0.35), (seventeen, -0.15)):
        core_s = predict(work, *FORM).time_s[0]
        got = predict(work, *FORM, domain=ANYWHERE, residual=TREES).time_s[0]
        assert got == pytest.approx(core_s * np.exp(correction), rel=1e-6)


def test_how_channels_and_groups_are_aligned():
    dense = [(5, 6), (12, 8), (16, 48), (64, 7)]
    groups = [1, 20, 24, 80, 96]
    work = rows(
        c_in=[c for c, _ in dense] + groups,
        c_out=[c for _, c in dense] + groups,
        groups=[1] * len(dense) + groups,
        h_in=8,
        w_in=8,
    )
    traits = _core.Launches(work).traits(np.ones(len(work)))
    seen = {name: traits[:, k].tolist() for k, name in enumerate(_core.TRAITS)}
    depthwise = [0] * (len(groups) - 1)
    assert seen["c_in_alignment"] == [0, 2, 4, 4, 0, *depthwise]
    assert seen["c_out_alignment"] == [1, 3, 4, 0, 0, *depthwise]
    assert seen["groups_alignment"] == [0, 0, 0, 0, 0, 2, 3, 4, 4]


def test_outside_the_domain_the_correction_fades():
    batches = [2, 4, 8, 16, 64]
    work = rows(batch=batches, c_in=16, c_out=16, h_in=8, w_in=8)
    domain = copy.deepcopy(ANYWHERE)
    domain["high"][0] = 1.0  # of the batch: 2 images
    core_s = predict(work, *FORM).time_s
    got = predict(work, *FORM, domain=domain, residual=TREES)
    octaves = np.log2(batches) - 1
    np.testing.assert_allclose(got.distance, octaves, rtol=1e-6)
    expected = 0.35 * np.exp(-(octaves**2))
    np.testing.assert_allclose(np.log(got.time_s / core_s), expected, rtol=1e-5, atol=1e-12)
    assert got.time_s[-1] == pytest.approx(core_s[-1], rel=1e-9), "five octaves away"
    assert got.extrapolated_time_s == pytest.approx(got.time_s[1:].sum(), rel=1e-12)


def test_distances_add_in_squares():
    domain = copy.deepcopy(ANYWHERE)
    domain["high"][0], domain["low"][3] = 1.0, 6.0
    got = predict(rows(batch=16, c_in=4, c_out=16, h_in=8, w_in=8), *FORM, domain=domain)
    assert got.distance[0] == pytest.approx(5.0, rel=1e-6)  # 3 and 4 octaves


def test_a_distance_changes_no_time_without_trees():
    work = work_table(shapes(200, 2))
    narrow = {"low": [0.0] * 13, "high": [3.0] * 13}
    got = predict(work, *FORM, domain=narrow)
    np.testing.assert_array_equal(got.time_s, predict(work, *FORM).time_s)
    assert got.distance.min() > 0.5
    assert got.extrapolated_time_s == pytest.approx(got.total_time_s, rel=1e-12)


def test_an_overhead_is_counted_once():
    work = work_table(shapes(50, 2))
    plain, more = predict(work, *FORM), predict(work, *FORM, overhead_s=0.25)
    assert more.total_time_s == pytest.approx(plain.total_time_s + 0.25, rel=1e-12)
    assert more.time_s.tolist() == plain.time_s.tolist()
    nothing = predict(work.take(np.array([], int)), *FORM, overhead_s=0.25)
    assert nothing.total_time_s == nothing.total_time_lo_s == nothing.total_time_hi_s == 0.25


def good():
    """Return a profile that is right in every part."""
    return document("tiled", tiled({}), domain=ANYWHERE, residual=TREES, overhead_s=0.1)


def test_the_good_profile_is_good():
    assert Profile.from_dict(good()).core.name == "test"


BIG_TREE = {
    "trait": [0, -1] * 32 + [-1],
    "right": [i + 2 if i % 2 == 0 else 0 for i in range(64)] + [0],
    "value": [0.0] * 65,
    "roots": [0],
}
MODEL, TREE = ("models", 0), ("models", 0, "residual")
CHOICES = ("models", 0, "parameters", "candidates")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((*TREE, "right"), [0, 0, 0, 0], r"residual: node 0"),  # a cycle
        ((*TREE, "right"), [1, 0, 0, 0], r"residual: node 0 .* right child at 1.*at 2"),
        ((*TREE, "right"), [3, 0, 0, 0], r"residual: node 0 .* right child at 3.*at 2"),
        ((*TREE, "right"), [2.5, 0, 0, 0], r"residual: node 0"),
        ((*TREE, "right"), [9, 0, 0, 0], r"residual: node 0"),
        ((*TREE, "trait"), [len(_core.TRAITS), -1, -1, -1], r"residual: node 0 names a trait"),
        ((*TREE, "trait"), [-2, -1, -1, -1], r"residual: node 0 names a trait"),
        ((*TREE, "trait"), [3, -1, -1, 3], r"residual: node 3"),  # no children
        ((*TREE, "trait"), [3, -1, -1], r'residual: "trait", "right" and "value"'),
        ((*TREE, "value"), [4.0, 0.3, "x", 0.05], r'residual: "value" must be an array of num'),
        ((*TREE, "roots"), [], r"residual"),
        ((*TREE, "roots"), [4], r"residual: a root is not there"),
        ((*TREE, "roots"), [-1], r"residual: a root is not there"),
        (TREE, BIG_TREE, r"residual: a tree has more than 32 leaves"),
        ((*MODEL, "domain"), None, r'models\[0\]: "residual" needs a "domain"'),
        ((*MODEL, "domain", "low"), [0.0] * 12, r'domain: "low" and "high" must have 13 numbers'),
        ((*MODEL, "domain", "high"), [0.0] * 18, r'domain: "low" and "high" must have 13 numbers'),
        (CHOICES, [], r'parameters: "candidates" has 0 entries; it must have 1 to 16'),
        (CHOICES, tiled(*[{}] * 17)["candidates"], r'"candidates" has 17 entries'),
        (CHOICES, tiled({"algorithm": "winograd4"})["candidates"], "needs one that does every"),
        ((*CHOICES, 0, "algorithm"), "magic", r"candidates\[0\]: algorithm 'magic'.*implicit_gemm"),
        ((*CHOICES, 0, "tile_rows"), 0, r'candidates\[0\]: "tile_rows" is 0'),
        ((*CHOICES, 0, "whole_waves"), 1.5, r'candidates\[0\]: "whole_waves" is 1.5'),
        ((*MODEL, "parameters", "processors"), 0, r'parameters: "processors" is 0'),
        (("overhead_s",), -1e-9, r'"overhead_s" is -1e-09'),
    ],
)
def test_what_is_malformed_is_named(path, value, words):
    data = copy.deepcopy(good())
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(ProfileError, match=words):
        Profile.from_dict(data)


def test_a_gamma_that_rewards_size_is_refused():
    with pytest.raises(ProfileError, match=r'"gamma" is 1\.5; it must be from 0 to 1'):
        Profile.from_dict(document("roofline-alpha", ROOFLINE | {"gamma": 1.5}))

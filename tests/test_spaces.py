"""Codes of a space and their texts; the counts of the FBNet space by arithmetic."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops.errors import ModelError, ProfileError, ShapeError, TableError
from alphaflops.spaces import Flow

SPACE = af.spaces.fbnet()
OFA = af.spaces.ofa()  # choices of unlike numbers
SKIPS = np.full(22, 8)

# Channels in, channels out, image side before, stride of each position.
SIDES = [32] * 5 + [32] + [16] * 3 + [16] + [8] * 3 + [8] + [8] * 3 + [8] + [4] * 3 + [4]
CHANNELS = [16, 16] + [24] * 4 + [32] * 4 + [64] * 4 + [112] * 4 + [184] * 4 + [352]
STRIDES = [1] * 5 + [2] + [1] * 3 + [2] + [1] * 3 + [1] + [1] * 3 + [2] + [1] * 3 + [1]
OPERATORS = {
    "k3_e1": (3, 1, 1), "k3_e1_g2": (3, 1, 2), "k3_e3": (3, 3, 1), "k3_e6": (3, 6, 1),
    "k5_e1": (5, 1, 1), "k5_e1_g2": (5, 1, 2), "k5_e3": (5, 3, 1), "k5_e6": (5, 6, 1),
}  # fmt: skip


def macs_of(code):
    """MACs of a network from the table of the space alone."""
    total = 32 * 32 * 3 * 16 * 9
    for position, number in enumerate(code):
        c_in, c_out = CHANNELS[position : position + 2]
        side, stride = SIDES[position], STRIDES[position]
        before, after = side**2, (side // stride) ** 2
        name = SPACE.choices[position][number]
        if name == "skip":
            total += after * c_in * c_out if c_in != c_out or stride > 1 else 0
            continue
        kernel, expansion, groups = OPERATORS[name]
        hidden = expansion * c_in
        total += before * c_in * hidden // groups
        total += after * hidden * kernel**2
        total += after * hidden * c_out // groups
    return total + 4 * 4 * 352 * 1504 + 1504 * 100


@pytest.mark.parametrize("seed", range(20))
def test_macs_are_those_of_the_table(seed):
    code = SPACE.sample(1, seed)[0]
    assert af.lower(SPACE.graph(code)).macs.sum() == macs_of(code)


def test_each_operator_at_each_position_is_counted_alone():
    for position in range(22):
        for number in range(8):
            code = SKIPS.copy()
            code[position] = number
            assert af.lower(SPACE.graph(code)).macs.sum() == macs_of(code), (position, number)


def test_all_skips_is_stem_changes_of_shape_and_head():
    graph = SPACE.graph(SKIPS)
    work = af.lower(graph)
    kinds = np.array(af._core.KINDS)[work.kind]
    # positions 1, 5, 9, 13, 17 and 21 change channels or stride; the head is one more
    assert (kinds == "conv_1x1").sum() == 7
    assert (kinds == "conv_spatial").sum() == 1
    assert not np.isin(kinds, ["conv_grouped", "elementwise", "copy"]).any()
    assert graph.shape(len(graph) - 1) == (1, 100)


def test_a_residual_sum_wherever_the_shape_stays():
    work = af.lower(SPACE.graph(np.zeros(22, int)))
    sums = (np.array(af._core.KINDS)[work.kind] == "elementwise").sum()
    assert sums == 22 - 6


def test_grouped_blocks_shuffle_and_halve_the_pointwise_macs():
    plain, grouped = (af.lower(SPACE.graph(np.full(22, number))) for number in (0, 1))
    kinds = np.array(af._core.KINDS)
    assert (kinds[grouped.kind] == "copy").sum() == 22
    assert (kinds[plain.kind] == "copy").sum() == 0
    pointwise = plain.macs[(kinds[plain.kind] == "conv_1x1")].sum() - 4 * 4 * 352 * 1504
    assert plain.macs.sum() - grouped.macs.sum() == pointwise // 2


def test_batch_and_dtype_reach_the_graph():
    graph = SPACE.graph(SKIPS, batch=4, dtype="fp16")
    assert (graph.batch, graph.dtype) == (4, "fp16")
    assert af.lower(graph).macs.sum() == 4 * macs_of(SKIPS)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=22, max_size=22))
def test_texts_and_codes_are_the_same(numbers):
    text = "-".join(map(str, numbers))
    code = SPACE.decode(text)
    assert code.dtype == np.uint8
    assert code.tolist() == numbers
    assert SPACE.encode(code) == text


def test_size_and_names():
    assert (SPACE.name, SPACE.positions, SPACE.size) == ("fbnet", 22, 9**22)
    assert SPACE.choices == ((*OPERATORS, "skip"),) * 22
    assert SPACE.names[:2] == ("blocks.0", "blocks.1")
    assert repr(SPACE) == "SearchSpace('fbnet', 22 positions, 9.85e+20 codes)"


def test_a_code_is_described_by_the_names_of_its_choices():
    said = SPACE.describe(np.arange(22) % 9)
    assert list(said) == list(SPACE.names)
    assert (said["blocks.0"], said["blocks.8"], said["blocks.10"]) == ("k3_e1", "skip", "k3_e1_g2")
    assert SPACE.describe(SPACE.encode(np.arange(22) % 9)) == said


def test_samples_are_seeded_and_use_every_choice():
    codes = SPACE.sample(500, 3)
    np.testing.assert_array_equal(codes, SPACE.sample(500, np.random.default_rng(3)))
    assert codes.shape == (500, 22)
    assert codes.dtype == np.uint8
    counts = np.bincount(codes.ravel(), minlength=9)
    assert counts.min() > 0.85 * counts.mean()
    assert SPACE.sample(0).shape == (0, 22)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no code"),
        ("7-8", "2 positions; it must have 22"),
        ("-".join(["9"] * 22), "has 9 at position 0"),
        ("-".join(["1"] * 21 + ["-1"]), "is no code"),
        ("a" * 22, "is no code"),
        ("1 " * 22, "is no code"),
        ("-".join(["1"] * 21 + ["١"]), "is no code"),
    ],
)
def test_what_is_no_code(text, words):
    with pytest.raises(ModelError, match=words):
        SPACE.graph(text)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.zeros(22, int), r"shape \[22\]"),
        (np.zeros((3, 21), int), r"shape \[3, 21\]"),
        (np.zeros((3, 22)), "float64; they must be integers"),
        (np.full((2, 22), -1), "has -1 at position 0"),
        (np.full((2, 22), 256), "has 256 at position 0"),
    ],
)
def test_codes_are_checked_before_they_are_narrowed(codes, words):
    with pytest.raises(ModelError, match=words):
        SPACE.check(codes)


@pytest.mark.parametrize("changes", [0, 1, 3, 26])
def test_mutants_differ_at_as_many_positions(changes):
    codes = OFA.sample(300, 1)
    before = codes.copy()
    mutants = OFA.mutate(codes, 5, changes)
    assert ((mutants != codes).sum(axis=1) == changes).all()
    np.testing.assert_array_equal(OFA.check(mutants), mutants)
    np.testing.assert_array_equal(codes, before)
    np.testing.assert_array_equal(mutants, OFA.mutate(codes, np.random.default_rng(5), changes))


def test_mutants_reach_every_other_choice_alike_and_leave_single_choices_alone():
    space = af.spaces.SearchSpace("small")
    for n in (4, 1, 3):
        space.position(f"of{n}", [str(i) for i in range(n)])
    mutants = space.mutate(np.tile([2, 0, 1], (3000, 1)), 0)
    assert mutants.dtype == np.uint8
    assert (mutants[:, 1] == 0).all()
    first = np.bincount(mutants[mutants[:, 2] == 1][:, 0], minlength=4)
    last = np.bincount(mutants[mutants[:, 0] == 2][:, 2], minlength=3)
    assert first[2] == last[1] == 0
    assert min(*first[[0, 1, 3]], *last[[0, 2]]) > 400
    assert space.mutate([2, 0, 1], 0).shape == (3,)
    with pytest.raises(ModelError, match="cannot change 3 positions; 2 have a second choice"):
        space.mutate([2, 0, 1], 0, 3)


def test_children_have_each_position_of_either_parent():
    first, second = OFA.sample(400, 1), OFA.sample(400, 2)
    children = OFA.crossover(first, second, 3)
    assert ((children == first) | (children == second)).all()
    share = (children == first)[first != second].mean()
    assert 0.45 < share < 0.55
    assert OFA.crossover(first[0], second[0], 3).shape == (26,)
    with pytest.raises(ModelError, match="400 and 3 parents"):
        OFA.crossover(first, second[:3])
    with pytest.raises(ModelError, match="at position 25"):
        OFA.mutate(np.where(np.arange(26) == 25, 9, 0))


@pytest.mark.parametrize("name", sorted(af.spaces.SPACES))
def test_texts_of_every_shipped_space(name):
    space = af.spaces.SPACES[name]()
    assert space.name == name
    for code in space.sample(20, 4):
        np.testing.assert_array_equal(space.decode(space.encode(code)), code)
    assert space.sample(2000, 1).max(axis=0).tolist() == [len(c) - 1 for c in space.choices]


def conv(graph, x):
    return graph.conv2d(x, 4, 3)


def test_positions_have_names_of_their_own():
    space = af.spaces.SearchSpace("small")
    space.image(3, 8, 8)
    space.choose("a", {"conv": conv})
    for again in (lambda: space.choose("a", {"conv": conv}), lambda: space.position("a", ["x"])):
        with pytest.raises(ModelError, match="small: position 'a' is there already"):
            again()
    assert space.positions == 1


def composed(*parts):
    space = af.spaces.SearchSpace("small")
    for part in parts:
        part(space)
    return space


IMAGE = [lambda space: space.image(3, 8, 8)]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], r"the space has no parts; begin with image\(\)"),
        ([lambda s: s.then("head", conv)], "part 'head', behind nothing: it reads the one tensor"),
        (IMAGE * 2, "part .*images begin a space: one image"),
        (
            [*IMAGE, lambda s: s.add("two", lambda _g, f, _c: Flow((f.x,) * 2)),
             lambda s: s.then("head", conv)],
            "part 'head', .* it reads the one tensor that flows in, and 2 do",
        ),
        ([lambda s: s.image(3, 8.0, 8)], "height of the image is 8.0; it must be an integer"),
        ([lambda s: s.resolution("side", 3, [8, "9"])], "a side of position 'side' is '9'"),
        ([lambda s: s.then("head", 5)], "part 'head' has 5; give a function of a graph and a"),
        ([lambda s: s.choose("head", {"a": conv, "b": None})], "part 'head' has None; give a"),
        ([lambda s: s.choose("head", [conv])], r"choices of 'head' are \[<func.*; give a dict"),
        ([lambda s: s.add("head", 5)], "part 'head' is 5; give a function of graph, flow and"),
        ([lambda s: s.add("head", conv, 1.0)], "what part 'head' reads is 1.0; it must be"),
        ([lambda s: s.position("a", [16, 24])], r"choices of position 'a' are \[16, 24\]; give a"),
        ([lambda s: s.position("a", "abc")], "choices of position 'a' are 'abc'; give a list"),
        ([lambda s: s.choose("a", {3: conv})], r"choices of position 'a' are \[3\]; give a list"),
        ([lambda s: s.position("a", ["x", "x"])], "position 'a' has a choice twice"),
        (
            [*IMAGE, lambda s: s.then("head", lambda g, x: g.conv2d(x, 8 / 2, 3))],
            r"part 'head', .* raised TypeError: conv2d\(\) takes no such arguments: \d, 4.0, 3; ",
        ),
        (
            [*IMAGE, lambda s: s.then("head", lambda _g, _x: {}["k"])],
            "part 'head', behind .*: it raised KeyError: 'k'",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_a_space_are_told_by_part(parts, said):
    with pytest.raises(ModelError, match=f"small: {said}"):
        composed(*parts).graph([])
    with pytest.raises(ModelError, match=f"small: {said}"):
        composed(*parts).compile("quadro-t2000")


def test_what_a_build_raised_is_the_cause():
    space = composed(*IMAGE, lambda s: s.then("head", lambda g, x: g.conv2d(x, 4, 30)))
    for build in (lambda: space.graph([]), lambda: space.compile("quadro-t2000")):
        with pytest.raises(ShapeError, match=r"part 'head'.* the kernel spans 30") as told:
            build()
        assert told.value.__cause__.__traceback__ is not None
        assert "part" not in str(told.value.__cause__)
    with pytest.raises(ModelError, match="positions") as told:
        space.graph([1])
    assert told.value.__cause__ is None


@pytest.mark.parametrize("kind", [ProfileError, TableError])
def test_any_error_of_a_build_is_told_by_part_and_choice(kind):
    def fails(graph, x):
        raise kind("no such profile")

    space = composed(*IMAGE, lambda s: s.choose("a", {"one": conv, "two": fails}))
    for build in (lambda: space.graph([1]), lambda: space.compile("quadro-t2000")):
        said = rf"part 'a', choice 'two', .*: it raised {kind.__name__}: no such profile"
        with pytest.raises(ModelError, match=said) as told:
            build()
        cause = told.value.__cause__
        assert (type(cause), cause.__cause__) == (kind, None)


class Noted(af.spaces.SearchSpace):
    """A user's own kind of space."""

    def __init__(self, note):
        super().__init__("noted")
        self.note = note
        self.image(3, 8, 8)


def test_what_is_derived_from_a_space_stays_so():
    space = Noted(["mine"])
    space.choose("a", {"one": conv, "two": conv})
    compiled = space.compile("quadro-t2000")
    for kept in (compiled.space, pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert (type(kept), kept.note, kept.names) == (Noted, ["mine"], ("a",))
    assert compiled.space.note is space.note


def test_a_compiled_space_stays_as_it_was():
    space = composed(*IMAGE, lambda s: s.choose("a", {"one": conv, "two": conv}))
    compiled = space.compile("quadro-t2000")
    codes = space.sample(5, 0)
    before = compiled.evaluate(codes)
    space.choose("b", {"conv": conv})
    assert (space.positions, compiled.space.positions) == (2, 1)
    np.testing.assert_array_equal(compiled.evaluate(codes), before)
    again = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(again.evaluate(compiled.space.sample(5, 0)), before)


def test_a_mask_of_choices():
    assert SPACE.choice_mask.shape == (22, 9)
    assert SPACE.choice_mask.all()
    mask = OFA.choice_mask
    assert mask.sum(axis=1).tolist() == [len(choices) for choices in OFA.choices]
    assert (mask[:, :-1] >= mask[:, 1:]).all()


def test_no_negative_number_of_samples():
    with pytest.raises(ModelError, match="-1 codes"):
        SPACE.sample(-1)

"""Arguments of a space and of its costs: integers, texts, and chances that fit the choices."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from space_profiles import FAST

import alphaflops as af
from alphaflops.errors import ModelError, OverflowError, ShapeError
from alphaflops.spaces import SearchSpace

FBNET = af.spaces.fbnet()


@functools.cache
def compiled():
    return FBNET.compile(FAST)


def conv(graph, x, kernel):
    return graph.conv2d(x, 4, kernel, 1, kernel // 2)


@pytest.mark.parametrize("threads", [1.5, None, "2"])
def test_threads_are_whole(threads):
    with pytest.raises(ModelError, match=f"fbnet: threads is {threads!r}; it must be an integer"):
        compiled().evaluate(FBNET.sample(2, 1), threads=threads)


def test_ctrl_c_is_seen_within_a_long_call(monkeypatch):
    monkeypatch.setattr("alphaflops.spaces.compiled._UNINTERRUPTED", 1000)
    codes = FBNET.sample(2500, 3)
    macs = compiled().evaluate(codes, ("time_s", "macs"))["macs"]
    monkeypatch.undo()
    np.testing.assert_array_equal(macs, compiled().evaluate(codes, "macs"))
    monkeypatch.setattr("alphaflops.spaces.compiled._UNINTERRUPTED", 1000)
    calls = []

    class Interrupted:
        def evaluate(self, *_):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(compiled()._evaluators, ("time_s",), Interrupted())
        patch.setitem(compiled()._dtypes, ("time_s",), np.dtype([("time_s", float)]))
        with pytest.raises(KeyboardInterrupt):
            compiled().evaluate(codes)
    assert len(calls) == 2
    codes[2100, 4] = 99
    with pytest.raises(ModelError, match=r"code 100 has 99 .*rows counted from row 2000") as told:
        compiled().evaluate(codes)
    assert isinstance(told.value.__cause__, ModelError)
    with pytest.raises(ModelError, match="code 100 has 99 ") as told:
        compiled().evaluate(codes[2000:].astype(int))  # some at a time, and these are the first
    assert told.value.__cause__ is None
    assert isinstance(told.value.args[0], str)


def test_a_change_of_a_code_as_text():
    code = FBNET.sample(1, 1)[0]
    text = FBNET.encode(code)
    assert compiled().delta(text, 3, 8) == compiled().delta(code, 3, 8)
    with pytest.raises(ModelError, match="2 positions; it must have 22"):
        compiled().delta("0-1", 3, 8)


def test_chances_of_what_is_no_choice():
    space = SearchSpace("odd")
    space.image(3, 8, 8)
    builds = {f"k{k}": functools.partial(conv, kernel=k) for k in (1, 3, 5)}
    space.choose("p0", {name: builds[name] for name in ("k1", "k3")})
    space.choose("p1", builds)
    tables = space.compile(FAST)
    weights = np.full((2, 3), 1 / 3)
    said = "odd: position 0 \\('p0'\\) has 2 choices, and 0.33.* of choice 2; make logits -inf"
    for wrong in (weights, list(weights), np.array([[0.5, 0.5, np.nan], [0.2, 0.3, 0.5]])):
        with pytest.raises(ShapeError, match=said.replace("0.33", "(0.33|nan)")):
            tables.expected(wrong)
    weights[~space.choice_mask] = 0
    right = tables.expected([[1 / 3] * 2, [1 / 3] * 3])[0]
    assert tables.expected(weights)[0] == right


@pytest.mark.parametrize(
    ("batch", "error", "said"),
    [
        (1.0, ModelError, "batch is 1.0; it must be an integer"),
        ("3", ModelError, "batch is '3'; it must be an integer"),
        (2**70, OverflowError, r"batch is 1180591620717411303424; it must be less than"),
    ],
)
def test_what_is_no_batch(batch, error, said):
    with pytest.raises(error, match=f"fbnet: {said}"):
        FBNET.compile(FAST, batch=batch)
    with pytest.raises(error, match=f"fbnet: {said}"):
        FBNET.graph(FBNET.sample(1)[0], batch=batch)


# Arrays


RAGGED = [[0, 1], [1]]


@pytest.mark.parametrize(
    "take",
    [
        lambda: FBNET.check(RAGGED),
        lambda: FBNET.mutate(RAGGED),
        lambda: FBNET.crossover(RAGGED, RAGGED),
        lambda: compiled().evaluate(RAGGED),
        lambda: compiled().delta(RAGGED, 0, 0),
    ],
)
def test_rows_of_unequal_lengths_are_no_codes(take):
    with pytest.raises(ModelError, match="codes are no array, as rows are of unequal lengths"):
        take()


@pytest.mark.parametrize("n", [1e3, "x", None])
def test_so_many_samples_are_a_whole_number(n):
    with pytest.raises(ModelError, match=r"fbnet: the number of codes to sample is .* an integer"):
        FBNET.sample(n)


def test_out_is_an_array():
    with pytest.raises(ModelError, match="fbnet: out is a list; it must be an array"):
        compiled().evaluate(FBNET.sample(2, 0), out=[0.0, 0.0])

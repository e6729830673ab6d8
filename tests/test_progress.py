"""What a console says while operators are timed."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from rich.console import Console

import alphaflops as af
from alphaflops.measuring.standing import Standing
from alphaflops.scenarios.progress import bar, words_of


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing(810, 0, 0, 0, 0), "0/810 operators ready"),
        (Standing(810, 140, 0, 0, 0), "140/810 operators ready"),
        (Standing(810, 810, 42, 42, 0), "42/810 operators timed"),
        (Standing(810, 700, 700, 900, 0), "900 samples of 700 operators"),
        (Standing(810, 810, 810, 3000, 0), "3000 samples of 810 operators"),
        (Standing(810, 810, 810, 12000, 3), "12000 samples, 3/810 settled"),
    ],
)
def test_what_is_said_grows_from_the_first_second_on(standing: Standing, words: str) -> None:
    assert words_of(standing) == words


def test_a_bar_says_where_a_campaign_stands() -> None:
    said = io.StringIO()
    with bar(Console(file=said, force_terminal=True, width=120), "measuring") as progress:
        progress(3, 810, 1.0, 9.0)
        progress.stand(Standing(810, 810, 810, 3000, 3))
        progress(3, 810, 5.0, 5.0)
    assert "3000 samples, 3/810 settled" in said.getvalue()
    plain = io.StringIO()  # of a caller that tells numbers alone
    with bar(Console(file=plain, force_terminal=True, width=120), "benching") as progress:
        progress(3, 810, 5.0, 5.0)
    assert "3/810 operators settled" in plain.getvalue()


def test_a_campaign_says_where_it_stands() -> None:
    stood: list[Standing] = []
    calls: list[tuple[int, int, float, float]] = []
    shapes = {"batch": [1, 2], "c_in": [8, 8], "h_in": [7, 7], "w_in": [7, 7], "c_out": [8, 8]}
    table = af.measure(
        shapes, budget_s=0.5, on_standing=stood.append, progress=lambda *a: calls.append(a)
    )
    assert stood[0] == Standing(shapes=2, ready=0, timed=0, samples=0, settled=0)
    assert stood[-1][:3] == (2, 2, 2)
    assert stood[-1].samples >= table["samples"].sum() > 0
    for before, after in pairwise(stood):
        assert all(a <= b for a, b in zip(before, after, strict=True))
    assert [each.settled for each in stood] == [settled for settled, *_ in calls]
    alone: list[Standing] = []
    af.measure(shapes, budget_s=0.2, on_standing=alone.append)
    assert alone

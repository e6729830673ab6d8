"""What a campaign tells of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from alphaflops.measuring.readings import Summary

__all__ = ["OnPoint", "OnStanding", "Progress", "Standing"]


class Standing(NamedTuple):
    """How far a campaign is, of which `settled` grows last, and on a noisy machine hardly."""

    shapes: int
    ready: int  # shapes that were run once, to be timed from then on, and those that are settled
    timed: int  # shapes that have a sample
    samples: int
    settled: int


#: ``(settled shapes, shapes, seconds so far, seconds left)``, a few times a second.
Progress = Callable[[int, int, float, float], None]
#: Right before ``Progress``.
OnStanding = Callable[[Standing], None]
#: ``(row of the table, its median so far)``, after every sample of the row from the third on.
OnPoint = Callable[[int, Summary], None]

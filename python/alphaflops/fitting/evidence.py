"""Whether rows ask for a parameter: a fit has one more only if more than chance explains its gain.

The loss must fall by n ln(loss without / loss with) > ln n for each parameter, where a loss is that
of a row left free by the parameters. That is the Bayesian information criterion (Schwarz,
"Estimating the dimension of a model", 1978).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alphaflops.fitting.metrics import Floats

NO_CACHE_BELOW = 10  # rows of a kind
_ON_A_SIDE = 3  # of them that move more, and less, than a cache holds
_EXACT = 0.002  # of a time; what describes less is not kept


def score(cost: float, n: int, size: int) -> float:
    """Return what speaks for a fit of `n` rows with `size` parameters; a difference is a gain.

    `cost` is the sum of the rows' losses.
    """
    free = max(n - size, 1)  # of fewer rows there is but one fit
    loss = (cost + 0.5 * n * _EXACT**2) / free
    return float(-n * np.log(loss) - size * np.log(n))


class Cache(NamedTuple):
    """A device's cache, and what rows read and write beyond it."""

    size_bytes: float
    beyond_bytes: Floats  # [n]

    @property
    def is_told_by_rows(self) -> bool:
        """Whether enough of them lie on either side."""
        n, beyond = len(self.beyond_bytes), int((self.beyond_bytes > 0).sum())
        return n >= NO_CACHE_BELOW and _ON_A_SIDE <= beyond <= n - _ON_A_SIDE

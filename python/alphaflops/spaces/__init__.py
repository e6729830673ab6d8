"""Search spaces: from a code to a graph.

>>> space = fbnet()
>>> graph = space.graph("7-8-1-8-4-8-8-8-7-4-1-4-7-3-2-7-3-2-4-2-4-5")
"""

from __future__ import annotations

from alphaflops.spaces.fbnet import fbnet
from alphaflops.spaces.space import SearchSpace

__all__ = ["SPACES", "SearchSpace", "fbnet"]

#: Spaces by name.
SPACES = {"fbnet": fbnet}

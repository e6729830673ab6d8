"""What a form leaves: boosted trees on its logarithmic residual, small enough for a profile.

scikit-learn grows them; the core sums them, and lets the sum fade outside of what was measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphaflops import _core
from alphaflops.fitting.metrics import Floats

_LEAST_ROWS = 40
_TREES, _RATE = 150, 0.08
_REACH = 2.0  # of nine residuals in ten, beyond which one counts as no larger


def domain_of(traits: NDArray[np.float32]) -> dict[str, list[float]]:
    """Return the range of the bounded traits [n, traits], as a profile has it."""
    bounded = traits[:, : _core.BOUNDED_TRAITS]
    return {
        "low": [round(float(v) - 5e-4, 3) for v in bounded.min(axis=0)],
        "high": [round(float(v) + 5e-4, 3) for v in bounded.max(axis=0)],
    }


def fit_residual(traits: NDArray[np.float32], residual: Floats, seed: int) -> dict[str, Any] | None:
    """Grow trees on ln(measured / predicted) [n]; None where the rows are too few.

    Returns
    -------
    dict
        ``trait``, ``right``, ``value`` of every node, and ``roots``, as a profile has them.
    """
    from sklearn import config_context  # noqa: PLC0415
    from sklearn.ensemble import GradientBoostingRegressor  # noqa: PLC0415

    n = len(residual)
    if n < _LEAST_ROWS:
        return None
    middle = np.median(residual)
    reach = _REACH * np.quantile(np.abs(residual - middle), 0.9)
    model = GradientBoostingRegressor(
        loss="squared_error",
        n_estimators=_TREES,
        learning_rate=_RATE,
        max_leaf_nodes=int(np.clip(n // 40, 4, 24)),
        min_samples_leaf=int(np.clip(n // 100, 3, 10)),
        subsample=0.7,
        max_features=0.5,
        random_state=seed,
    )
    with config_context(skip_parameter_validation=True):  # which each tree would repeat
        model.fit(traits, np.clip(residual, middle - reach, middle + reach))
    trait: list[int] = []
    right: list[int] = []
    value: list[float] = []
    roots = []
    for stage in model.estimators_[:, 0]:
        roots.append(len(trait))
        _append(stage.tree_, 0, trait, right, value)
    constant = float(model.init_.predict(traits[:1])[0])
    roots.append(len(trait))
    trait.append(-1)
    right.append(0)
    value.append(constant)
    return {"trait": trait, "right": right, "value": value, "roots": roots}


def _append(tree: Any, node: int, trait: list[int], right: list[int], value: list[float]) -> None:
    """Append a subtree in preorder."""
    at = len(trait)
    if tree.children_left[node] < 0:
        trait.append(-1)
        right.append(0)
        value.append(round(_RATE * float(tree.value[node, 0, 0]), 5))
        return
    trait.append(int(tree.feature[node]))
    right.append(0)
    value.append(float(f"{tree.threshold[node]:.6g}"))
    _append(tree, tree.children_left[node], trait, right, value)
    right[at] = len(trait)
    _append(tree, tree.children_right[node], trait, right, value)

"""The process as it was before a trace: modules, random state, modes.

A forward may write to its module (caches, counters), draw random numbers or change a flag. Tensors
are never written during a trace; this puts back everything else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def restored(module: torch.nn.Module) -> Iterator[None]:
    """Put back, at the end, what a forward of `module` may have changed."""
    modules = [(m, dict(m.__dict__), _containers(m)) for m in module.modules()]
    torch_random, own_random = torch.random.get_rng_state(), random.getstate()
    numpy_random = np.random.get_state()
    grad_mode, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad_mode)
        np.random.set_state(numpy_random)
        random.setstate(own_random)
        torch.random.set_rng_state(torch_random)
        for m, attributes, containers in modules:
            if _differ(m.__dict__, attributes):
                m.__dict__.clear()
                m.__dict__.update(attributes)
            for container, values in containers:
                if isinstance(container, dict):
                    if _differ(container, values):
                        container.clear()
                        container.update(values)
                elif len(container) != len(values) or isinstance(container, list):
                    container.clear()
                    (container.extend if isinstance(container, list) else container.update)(values)


def _containers(module: torch.nn.Module) -> list[tuple[Any, Any]]:
    """Return the tables of a module (parameters, hooks, own caches), each with a copy."""
    values = module.__dict__.values()
    return [(value, value.copy()) for value in values if type(value) in _COPIED]


_COPIED = {dict, list, set, type(torch.nn.Module()._forward_hooks)}


def _differ(now: dict[Any, Any], before: dict[Any, Any]) -> bool:
    """Whether a name is another object; tensors cannot be compared by value."""
    return now.keys() != before.keys() or any(now[name] is not before[name] for name in before)

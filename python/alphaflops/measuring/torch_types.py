"""Element types as PyTorch has them, and its switches for products of fp32 numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import UnsupportedError
from alphaflops.measuring.torch_operators import import_torch

__all__ = ["multiplying_in", "torch_type", "types_on"]

#: What a graph's numbers are in PyTorch; tf32 is a way to multiply fp32.
_NAMES = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}
#: PyTorch does fp16 on a processor as well, where hardly any has units for it.
_ON = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "fp16", "bf16")}
_FIRST_WITH_TF32 = (8, 0)


def types_on(on: str) -> tuple[str, ...]:
    """Return the dtypes that the torch backend runs on cpu or cuda."""
    return _ON[on]


def torch_type(graph: Graph, on: str) -> Any:
    """Return the type of a graph's numbers.

    Raises
    ------
    UnsupportedError
        One that the torch backend does not run there; the message names the graph.
    """
    known = _ON[on]
    torch = import_torch()
    if "tf32" in known and torch.cuda.get_device_capability() < _FIRST_WITH_TF32:
        known = tuple(dtype for dtype in known if dtype != "tf32")
    if graph.dtype not in known:
        raise UnsupportedError(
            f"{graph.name}: dtype {graph.dtype} is not supported by the torch backend on {on}; "
            f"use {' or '.join(known)}"
        )
    return getattr(torch, _NAMES[graph.dtype])


@contextmanager
def multiplying_in(dtype: str) -> Iterator[None]:
    """Let a GPU multiply fp32 as TF32 for ``tf32``, and as fp32 otherwise, for the block's time.

    PyTorch's own default is TF32 in convolutions and fp32 in matrix products, which is neither.
    """
    backends = import_torch().backends
    value: object
    # From 2.9 on; the older switches raise an error where a program has set the newer ones.
    if hasattr(backends.cudnn, "conv"):
        switches = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
        name, value = "fp32_precision", "tf32" if dtype == "tf32" else "ieee"
    else:
        switches = [backends.cuda.matmul, backends.cudnn]
        name, value = "allow_tf32", dtype == "tf32"
    before = [getattr(switch, name) for switch in switches]
    try:
        for switch in switches:
            setattr(switch, name, value)
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            setattr(switch, name, was)

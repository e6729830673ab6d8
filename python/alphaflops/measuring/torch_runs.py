"""Whole networks ready to run in PyTorch: a user's own module, or what a graph's operators make."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import BrokenContextError, Error, ModelError, UnsupportedError
from alphaflops.frontends.torch_tensors import map_leaves
from alphaflops.frontends.traced import Traced
from alphaflops.measuring.torch_network import TorchNetwork
from alphaflops.measuring.torch_operators import CHANNELS_LAST, import_torch
from alphaflops.measuring.torch_types import torch_type

__all__ = ["OwnModule", "of_graph", "of_module", "raising"]

_IMAGE = 4  # axes
_DENORMAL = 1e-40


def of_graph(graph: Graph, layout: str, on: str = "cpu", seed: int = 0) -> Callable[[], Any]:
    """Return what runs a graph's operators one by one, with random weights; as `TorchNetwork`.

    Raises
    ------
    UnsupportedError
        A dtype or an operator that is not supported, or whatever PyTorch raises; the message names
        the graph.
    BrokenContextError
        As of `raising`.
    """
    torch_type(graph, on)  # with a dtype that is not supported, no module helps

    def fault(error: Exception) -> Error:
        return UnsupportedError(
            f"{graph.name}: {error}; give the module itself, as package.module:function: it is run "
            "as it is"
        )

    with raising(fault, on):
        run = TorchNetwork(graph, layout, on, seed).run
        run()
    return run


def of_module(traced: Traced, layout: str, on: str = "cpu", seed: int = 0) -> Callable[[], Any]:
    """Return what runs a user's own module; as `OwnModule`.

    Raises
    ------
    UnsupportedError
        A dtype that is not supported.
    ModelError
        The module, or its conversion, raises; the message names the graph.
    BrokenContextError
        As of `raising`.
    """
    torch_type(traced.graph, on)

    def fault(error: Exception) -> Error:
        return ModelError(
            f"{traced.graph.name}: the module raised {type(error).__name__} when it was prepared "
            f"and run with random inputs: {error}"
        )

    with raising(fault, on):
        run = OwnModule(traced, layout, on, seed).run
        run()
    return run


@contextmanager
def raising(fault: Callable[[Exception], Error], on: str) -> Iterator[None]:
    """Raise `fault` of whatever a network raises, and let go of its tensors: others need memory.

    Parameters
    ----------
    fault
        Makes the error of what was raised.
    on
        cpu or cuda.

    Raises
    ------
    BrokenContextError
        The GPU answers nothing any longer, so that no other network runs either.
    """
    try:
        yield
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        if on == "cuda" and not _answers():
            raise BrokenContextError(
                f"{type(error).__name__}: {error}. The process's CUDA context is broken and every "
                "later call in it fails: start a new process"
            ) from error
        raise fault(error) from error


def _answers() -> bool:
    """Tell whether the GPU still does what it is asked."""
    try:
        import_torch().cuda.synchronize()
    except Exception:
        return False
    return True


class OwnModule:
    """A user's own module with its weights, in eval mode, and random inputs.

    The module is converted to the graph's dtype and to the layout, and stays so. While it runs on
    a processor, the calling thread flushes denormal numbers to zero: inputs are random, and a
    softmax of such has many, which take ten times as long. Others of PyTorch's threads do not, and
    a module of many such numbers takes too long with several.

    Parameters
    ----------
    traced
        Of its inputs, floating-point numbers are drawn; others are as given, or zero where they
        have no elements.
    layout
        nchw or channels_last; of images, which are all tensors of four axes, and of weights.
    on
        cpu or cuda.
    seed
        Of the inputs.

    Raises
    ------
    UnsupportedError
        A dtype that is not supported.
    """

    def __init__(self, traced: Traced, layout: str, on: str = "cpu", seed: int = 0) -> None:
        torch = import_torch()
        kind = torch_type(traced.graph, on)
        random = torch.Generator().manual_seed(seed)
        is_last = layout == CHANNELS_LAST
        order = torch.channels_last if is_last else torch.contiguous_format
        made: dict[int, Any] = {}

        def converted(tensor: Any) -> Any:
            tensor = tensor.to(on, kind if tensor.is_floating_point() else None)
            return tensor.contiguous(memory_format=order) if tensor.dim() == _IMAGE else tensor

        def drawn(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            if id(leaf) not in made:  # one that is given twice is one
                if leaf.is_floating_point() or leaf.is_complex():
                    value = torch.empty_like(leaf, device="cpu").normal_(generator=random)
                else:
                    value = torch.zeros_like(leaf, device="cpu") if leaf.is_meta else leaf
                made[id(leaf)] = converted(value)
            return made[id(leaf)]

        # Outside of inference mode, in which parameters would become such as cannot be trained.
        with torch.inference_mode(False), torch.no_grad():
            self.module = traced.module.eval()._apply(converted)
            self.args, self.kwargs = map_leaves(drawn, (traced.args, dict(traced.kwargs)))
            flushes_already = bool(torch.tensor(_DENORMAL) * 1 == 0)
        self._flush = on == "cpu" and not flushes_already

    def run(self) -> Any:
        """Run once; returns what the module does."""
        if not self._flush:
            return self.module(*self.args, **self.kwargs)
        set_flush_denormal = import_torch().set_flush_denormal
        set_flush_denormal(True)
        try:
            return self.module(*self.args, **self.kwargs)
        finally:
            set_flush_denormal(False)

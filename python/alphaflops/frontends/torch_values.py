"""Values that a trace knows: what a forward computes from integers and masks that it was given.

Numbers of tokens, lengths and masks decide branches and sizes. Where an input of integers or
booleans comes with elements, they are followed beside the graph, through everything that depends on
them and on constants alone. Nothing costs less for that: operators count as without values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends.torch_tensors import Tensors, map_leaves, storage_of, tensors_in

LARGEST = 1 << 20  # elements; more is not computed during a trace


class Values(Tensors):
    """Elements of traced tensors, by the tensors' identity."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._values: dict[int, torch.Tensor] = {}
        self._own: set[int] = set()  # storages made during the trace, which may be written

    def give(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        """Let a copy of `value` be the elements of a traced tensor, if they are integers."""
        integers = not (value.is_floating_point() or value.is_complex())
        if integers and not value.is_meta and value.numel() <= LARGEST:
            self._values[id(tensor)] = value.detach().to("cpu", copy=True)

    def value(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return a tensor's elements, if they are known."""
        found = self._values.get(id(tensor))
        return tensor if found is None and self.are_known([tensor]) else found

    def are_known(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether none depends on an input or a parameter, and all are small."""
        return all(
            id(t) not in self._nodes
            and t.device.type == "cpu"
            and not t.requires_grad
            and not isinstance(t, torch.nn.Parameter)
            and t.numel() <= LARGEST
            for t in tensors
        )

    def has_values(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether the elements of all are known."""
        return all(self.value(t) is not None for t in tensors)

    def on_values(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a function on elements, on the processor."""

        def change(leaf: Any) -> Any:
            return self.value(leaf) if isinstance(leaf, torch.Tensor) else moved(leaf, "cpu")

        args, kwargs = map_leaves(change, (args, kwargs))
        return function(*args, **kwargs)

    def follow(
        self, result: Any, function: Any, args: Any, kwargs: Any, written: torch.Tensor | None
    ) -> None:
        """Compute the elements of what a counted function made, or of what it has written."""
        if written is not None and id(written) not in self._values:
            # A tensor of the trace's own, before the first traced value was written to it.
            if written.is_meta or storage_of(written) not in self._own:
                return
            self._values[id(written)] = written
        operands = tensors_in([args, kwargs])
        small = all(t.numel() <= LARGEST for t in tensors_in([result]))
        if not (small and self.has_values(operands)):
            self._forget(written)
            return
        try:
            made = self.on_values(function, args, kwargs)
        except Exception:  # what torch does not compute on the processor is not followed
            self._forget(written)
            return
        for tensor, value in zip(tensors_in([result]), tensors_in([made]), strict=False):
            if tensor.shape == value.shape:
                self._values[id(tensor)] = value

    def _forget(self, written: torch.Tensor | None) -> None:
        """Forget the elements of a tensor, and of all that share them."""
        if written is None:
            return
        storage = storage_of(self._values[id(written)])
        for key, value in list(self._values.items()):
            if storage_of(value) == storage:
                del self._values[key]

    def numbers(self, value: Any) -> Any:
        """Return sizes and places as numbers where they are tensors of one known integer."""

        def change(leaf: Any) -> Any:
            if isinstance(leaf, slice):
                return slice(*map(change, (leaf.start, leaf.stop, leaf.step)))
            if not isinstance(leaf, torch.Tensor) or leaf.dim() or leaf.is_floating_point():
                return leaf
            known = self.value(leaf)
            return leaf if known is None or leaf.dtype == torch.bool else int(known)

        return map_leaves(change, value)


def moved(leaf: Any, device: str) -> Any:
    """Return an argument, with another device where it is one."""
    is_name = isinstance(leaf, str) and leaf.partition(":")[0] in _DEVICES
    return torch.device(device) if is_name or isinstance(leaf, torch.device) else leaf


_DEVICES = ("cpu", "cuda", "meta", "mps", "xpu")

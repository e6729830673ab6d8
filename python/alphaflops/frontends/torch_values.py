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
        self._own: set[int | None] = set()  # storages made during the trace, which may be written
        self._forgotten: set[int | None] = set()  # storages into which something unknown went

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
            and not (self._forgotten and storage_of(t) in self._forgotten)
            for t in tensors
        )

    def has_values(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether the elements of all are known."""
        return all(self.value(t) is not None for t in tensors)

    def on_values(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call a function on elements, on the processor; on copies of the module's own tensors."""

        def change(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return moved(leaf, "cpu")
            value = self.value(leaf)
            is_of_module = value is leaf and storage_of(leaf) not in self._own
            return leaf.clone() if is_of_module and id(leaf) not in self._values else value

        args, kwargs = map_leaves(change, (args, kwargs))
        return function(*args, **kwargs)

    def follow(
        self, result: Any, function: Any, args: Any, kwargs: Any, written: Sequence[torch.Tensor]
    ) -> None:
        """Compute the elements of what a counted function made, or of what it has written."""
        for tensor in written:
            if id(tensor) in self._values:
                continue
            # A tensor of the trace's own, before the first traced value was written to it.
            if tensor.is_meta or storage_of(tensor) not in self._own:
                self.forget(written)
                return
            self._values[id(tensor)] = tensor
        operands = tensors_in([args, kwargs])
        small = all(t.numel() <= LARGEST for t in tensors_in([result]))
        if not (small and self.has_values(operands)):
            self.forget(written)
            return
        try:
            made = self.on_values(function, args, kwargs)
        except Exception:  # what torch does not compute on the processor is not followed
            self.forget(written)
            return
        for tensor, value in zip(tensors_in([result]), tensors_in([made]), strict=False):
            if tensor.shape == value.shape:
                self._values[id(tensor)] = value

    def forget(self, written: Sequence[torch.Tensor]) -> None:
        """Forget the elements of tensors, and of all that share them, for good."""
        known = [self._values.get(id(tensor), tensor) for tensor in written]
        storages = {storage_of(tensor) for tensor in known if not tensor.is_meta} - {None}
        self._own -= storages
        self._forgotten |= storages
        for key, value in list(self._values.items()):
            if storage_of(value) in storages:
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

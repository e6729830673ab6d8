"""The bytes that torch has in use at once, by the life of its storages.

Single numbers, such as a loss and the steps that a batch norm counts, are left out.
"""

from __future__ import annotations

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NUMBER_BYTES = 8


class LiveStorages(TorchDispatchMode):
    """Sees every storage that an operator returns, and when it goes.

    While it looks, torch never adds gradients in place, though else it does where it can: `low` is
    the peak without the results of additions, `peak` with them.
    """

    def __init__(self, *tensors):
        super().__init__()
        self.now = self.peak = self.low = 0
        self._alive = {}
        self._see(tensors)

    def _see(self, tensors, *, keeps=True):
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key in self._alive or size <= _NUMBER_BYTES:
                continue

            def gone(_, key=key, size=size):
                del self._alive[key]
                self.now -= size

            self._alive[key] = weakref.ref(storage, gone)
            self.now += size
        self.peak = max(self.peak, self.now)
        self.low = max(self.low, self.now if keeps else 0)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        adds = function is torch.ops.aten.add.Tensor
        self._see((t for t in tree_leaves(out) if isinstance(t, torch.Tensor)), keeps=not adds)
        return out


class Loss(torch.autograd.Function):
    """A loss whose gradient is a tensor of its own, as that of a cross entropy is."""

    @staticmethod
    def forward(ctx, y):
        ctx.shape = y.shape
        return y.new_zeros(())

    @staticmethod
    def backward(ctx, gradient):
        return torch.ones(ctx.shape)


def peak_bytes(module, inputs, *, train, passes=1):
    """Of a forward pass, or of the last of some forward and backward passes."""
    module.train(train)
    owned = list(module.state_dict().values())
    for parameter in module.parameters():
        parameter.grad = None
    if not train:
        with LiveStorages(*owned, *inputs) as live, torch.no_grad():
            result = module(*inputs)
        del result
        return live.peak
    for _ in range(passes - 1):
        Loss.apply(module(*inputs)).backward()
    kept = [p.grad for p in module.parameters() if p.grad is not None]
    with LiveStorages(*owned, *inputs, *kept) as live:
        result = module(*inputs)
        Loss.apply(result).backward()
    return live.peak

"""What no trace can follow, said by its cause and not by where torch stumbles over it."""

from __future__ import annotations

import torch

from alphaflops.errors import Error

__all__ = ["QUANTIZED", "SPARSE", "cause_of", "refusal_of"]

QUANTIZED = (
    "quantised modules are not supported, nor those that are prepared for it; give the float "
    "module that they were made from"
)
SPARSE = "sparse tensors are not supported; give dense ones"
_VMAP = (
    "torch.vmap of what depends on an input or a parameter is not supported; write its batch as an "
    "axis of the tensors"
)
_NESTED = "nested tensors are not supported; give the padded tensor"
_FLEX = (
    "flex_attention compiles what it is given, which a trace cannot follow; use "
    "scaled_dot_product_attention, which costs as much, masked or not"
)
_CAUSES = {  # by what torch's own errors have in them
    "BatchedTensor": _VMAP,
    "NestedTensor": _NESTED,
    "SparseCsrTensorImpl": SPARSE,
    "SparseTensorImpl": SPARSE,
    "higher_order.flex_attention": _FLEX,
}
_QUANTIZED_MODULES = ("torch.ao.", "torch.nn.intrinsic.", "torch.nn.qat.", "torch.nn.quantized.")


def refusal_of(tensor: torch.Tensor) -> str | None:
    """Return why a tensor cannot be a node, if it cannot."""
    if torch._C._functorch.is_batchedtensor(tensor):
        return _VMAP
    if tensor.is_quantized:
        return QUANTIZED
    if tensor.is_nested:
        return _NESTED
    return SPARSE if tensor.layout != torch.strided else None


def cause_of(error: Exception, module: torch.nn.Module | None) -> str | None:
    """Return why the forward of a module raised, where it is one of what is not supported."""
    text = str(error)
    if type(module).__module__.startswith(_QUANTIZED_MODULES) or "quantized::" in text:
        return QUANTIZED
    if isinstance(error, Error):  # which says what it is itself
        return None
    return next((cause for word, cause in _CAUSES.items() if word in text), None)

"""Rules for operators that few networks run, and for those that no trace can follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends.torch_elements import broadcast
from alphaflops.frontends.torch_refusals import QUANTIZED, SPARSE
from alphaflops.frontends.torch_trace import EMPTY, Rule, Trace, rule, tensors_in

Tensor = torch.Tensor

_FAKE_QUANTIZE = 7  # flops an element: those of quantize and of dequantize
_LOG_ADD_EXP = 6  # maximum, minimum, difference, exponential, logarithm of one more, sum


@rule("to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc", "to_sparse_bsr")
@rule("to_sparse_bsc", "sparse_coo_tensor", "sparse_compressed_tensor", "sparse_csr_tensor")
@rule("sparse_csc_tensor", "sparse_bsr_tensor", "sparse_bsc_tensor")
def _sparse(trace: Trace, *args: Any, **kwargs: Any) -> Any:
    raise trace.fail(SPARSE)


@rule("quantize_per_tensor", "quantize_per_tensor_dynamic", "quantize_per_channel")
def _quantized(trace: Trace, *args: Any, **kwargs: Any) -> Any:
    raise trace.fail(QUANTIZED)


def _custom(
    trace: Trace,
    operator: str,
    operands: Sequence[Tensor],
    shape: Sequence[int],
    flops: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Add an operator that does `flops` operations for each element that it makes, if any."""
    node = EMPTY
    if 0 not in shape:
        total, name = flops * math.prod(shape), trace.name(operator)
        inputs = trace.inputs(operands)
        node = trace.graph.custom(inputs, operator, tuple(shape) or (1,), flops=total, name=name)
    return trace.tensor(node, dtype or operands[0].dtype, shape)


@rule("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine")
def _fake_quantize(trace: Trace, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    operands = [input, *tensors_in([*args, *kwargs.values()])]
    return _custom(trace, "fake_quantize", operands, input.shape, _FAKE_QUANTIZE)


@rule("logaddexp", "logaddexp2")
def _log_add_exp(trace: Trace, input: Tensor, other: Tensor) -> Any:
    shape = broadcast(trace, [tuple(input.shape), tuple(other.shape)])
    dtype = torch.result_type(input, other)
    return _custom(trace, "logaddexp", [input, other], shape, _LOG_ADD_EXP, dtype)


def _distances(
    trace: Trace, function: Any, operands: Sequence[Tensor], others: Any, options: Any
) -> Tensor:
    """Take a difference, a power and a sum for each feature of a pair, and a root of the sum."""
    shape = tuple(trace.shaped(function, (*operands, *others), options).shape)
    return _custom(trace, function.__name__, operands, shape, 3 * operands[0].shape[-1] + 1)


@rule("cdist")
def _cdist(trace: Trace, x1: Tensor, x2: Tensor, *others: Any, **options: Any) -> Any:
    return _distances(trace, torch.cdist, [x1, x2], others, options)


@rule("pdist")
def _pdist(trace: Trace, input: Tensor, *others: Any, **options: Any) -> Any:
    return _distances(trace, torch.pdist, [input], others, options)


@rule("searchsorted")
def _search(trace: Trace, sorted_sequence: Tensor, input: Any, *_: Any, **options: Any) -> Any:
    """Compare as often as halving the sorted sequence takes."""
    value = input if isinstance(input, Tensor) else sorted_sequence.new_empty(())
    dtype = torch.int32 if options.get("out_int32") else torch.int64
    steps = sorted_sequence.shape[-1].bit_length()
    operands = tensors_in([value, sorted_sequence, options.get("sorter")])
    return _custom(trace, "searchsorted", operands, value.shape, steps, dtype)


@rule("bucketize")
def _bucketize(trace: Trace, input: Any, boundaries: Tensor, *_: Any, **options: Any) -> Any:
    return _search(trace, boundaries, input, **options)


@rule("affine_grid", "affine_grid_generator")
def _affine_grid(trace: Trace, theta: Tensor, size: Sequence[int], *_: Any, **__: Any) -> Any:
    """Multiply the grid of all places, which depends on no input, by each matrix."""
    count, axes = size[0], len(size) - 2
    places = math.prod(size[2:])
    matrix = trace.graph.part(
        trace.node(theta), (count, axes + 1, axes), trace.name("transposed", True)
    )
    grid = trace.graph.constant((count, places, axes + 1), name=trace.name("grid", True))
    made = trace.graph.matmul(grid, matrix, trace.name("affine_grid"))
    shape = (count, *size[2:], axes)
    return trace.tensor(trace.graph.view(made, shape, trace.name("view", True)), theta.dtype, shape)


def _covariance(operator: str) -> Rule:
    def make(trace: Trace, input: Tensor, **options: Any) -> Any:
        shape = (input.shape[0], input.shape[0]) if input.dim() > 1 else ()
        inputs = trace.inputs([input, *tensors_in(options.values())])
        return trace.tensor(trace.add_unknown(operator, inputs, shape), input.dtype, shape)

    return make


rule("cov")(_covariance("torch.cov"))
rule("corrcoef")(_covariance("torch.corrcoef"))


@rule("ctc_loss")
def _ctc_loss(
    trace: Trace,
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str | int = "mean",
    zero_infinity: bool = False,
) -> Any:
    shape = tuple(log_probs.shape[1:-1]) if reduction in ("none", 0) else ()
    made = trace.add_unknown("torch.ctc_loss", trace.inputs([log_probs, targets]), shape)
    return trace.tensor(made, log_probs.dtype, shape)

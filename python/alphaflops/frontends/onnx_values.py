"""Constants of an ONNX file, and the arithmetic on them that shapes are computed with.

Only small constants have values: exporters write shapes as chains of Shape, Gather, Concat and the
like, and those are followed; weights have a shape and an element type and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["FLOATS", "Constant", "computed"]

Array: TypeAlias = "NDArray[Any]"
_LARGEST = 4096  # elements of a value that is computed; no shape comes near

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_WEIGHTS = FLOATS | {
    TensorProto.DOUBLE,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT4,
    TensorProto.UINT4,
}


@dataclass(slots=True)
class Constant:
    """A tensor that is the same for every input of the network.

    Attributes
    ----------
    shape
        Its sizes.
    element
        Its element type, as onnx.TensorProto.DataType numbers it.
    bases
        The stored weights that it is made from, by their names in the file.
    trainable
        Whether those are parameters: stored, of a floating type, and more than a number.
    """

    shape: tuple[int, ...]
    element: int
    bases: tuple[str, ...] = ()
    trainable: bool = False
    proto: TensorProto | None = None
    array: Array | None = None

    @classmethod
    def stored(cls, name: str, tensor: TensorProto, trainable: bool) -> Constant:
        """Return the constant that a file stores under `name`."""
        shape, element = tuple(tensor.dims), tensor.data_type
        bases = (name,) if element in _WEIGHTS and math.prod(shape) > 1 else ()
        is_parameter = trainable and bool(bases) and element in FLOATS
        return cls(shape, element, bases, is_parameter, tensor)

    @classmethod
    def of(cls, array: Array) -> Constant:
        """Return the constant of a computed value."""
        return cls(array.shape, helper.np_dtype_to_tensor_dtype(array.dtype), array=array)

    @property
    def value(self) -> Array | None:
        """The elements, where they are at hand."""
        if self.array is None and self.proto is not None:
            self.array, self.proto = _elements(self.proto), None
        return self.array


def _elements(tensor: TensorProto) -> Array | None:
    if tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > _LARGEST:
        return None
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OSError, KeyError):
        return None


class _NoValueError(Exception):
    """The value is not one that shapes are computed with."""


def _sized(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes) or math.prod(sizes) > _LARGEST:
        raise _NoValueError
    return sizes


def _ints(array: Array) -> tuple[int, ...]:
    return tuple(int(size) for size in array.reshape(-1))


Attributes: TypeAlias = Mapping[str, Any]
_Rule: TypeAlias = Callable[..., Array]


def _pointwise(function: Callable[..., Any]) -> _Rule:
    def rule(_: Attributes, *x: Array) -> Array:
        _sized(np.broadcast_shapes(*(a.shape for a in x)))
        return np.asarray(function(*x))

    return rule


def _divide(a: Array, b: Array) -> Array:
    """Divide as C does: integers towards zero."""
    if not np.issubdtype(a.dtype, np.integer):
        return np.asarray(a / b)
    if not np.all(b):
        raise _NoValueError
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _modulo(attributes: Attributes, a: Array, b: Array) -> Array:
    if np.issubdtype(b.dtype, np.integer) and not np.all(b):
        raise _NoValueError
    return np.asarray((np.fmod if attributes.get("fmod") else np.mod)(a, b))


def _axes(attributes: Attributes, given: Array | None) -> tuple[int, ...] | None:
    axes = attributes.get("axes") if given is None else _ints(given)
    return tuple(axes) if axes else None


def _unsqueeze(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, _axes(attributes, axes) or ())


def _squeeze(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, _axes(attributes, axes))


def _reshape(attributes: Attributes, x: Array, to: Array) -> Array:
    sizes = list(_ints(to))
    if not attributes.get("allowzero"):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _slice(attributes: Attributes, x: Array, *bounds: Array | None) -> Array:
    names = ("starts", "ends", "axes", "steps")
    given = [*bounds, None, None, None, None]
    starts, ends, axes, steps = (
        attributes.get(name) if array is None else _ints(array)
        for name, array in zip(names, given, strict=False)
    )
    if starts is None or ends is None:
        raise _NoValueError
    where = [slice(None)] * x.ndim
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # An end before the first element is none at all; -1 would be the last one's.
        stop = None if step < 0 and end < -x.shape[axis] else end
        where[axis] = slice(start, stop, step)
    return x[tuple(where)]


def _gather(attributes: Attributes, x: Array, indices: Array) -> Array:
    axis = attributes.get("axis", 0)
    _sized([indices.size, x.size // max(x.shape[axis], 1)])
    return np.asarray(np.take(x, indices, axis))


def _cast(attributes: Attributes, x: Array) -> Array:
    return x.astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _filled(attributes: Attributes, to: Array) -> Array:
    tensor = attributes.get("value")
    value = np.zeros(1, np.float32) if tensor is None else _elements(tensor)
    if value is None or value.size != 1:
        raise _NoValueError
    return np.full(_sized(_ints(to)), value.reshape(-1)[0])


def _range(_: Attributes, start: Array, end: Array, step: Array) -> Array:
    first, last, by = start.item(), end.item(), step.item()
    if not by or not math.isfinite(count := (last - first) / by):
        raise _NoValueError
    _sized([max(math.ceil(count), 0)])
    return np.arange(first, last, by, dtype=start.dtype)


def _expand(_: Attributes, x: Array, to: Array) -> Array:
    return np.broadcast_to(x, _sized(np.broadcast_shapes(x.shape, _ints(to))))


def _tile(_: Attributes, x: Array, times: Array) -> Array:
    _sized([max(x.size, 1), *_ints(times)])
    return np.tile(x, _ints(times))


def _reduced(function: Callable[..., Any]) -> _Rule:
    def rule(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
        keeps = bool(attributes.get("keepdims", 1))
        return np.asarray(function(x, axis=_axes(attributes, axes), keepdims=keeps), x.dtype)

    return rule


def _scatter(_: Attributes, x: Array, indices: Array, updates: Array) -> Array:
    made = x.copy()
    made[tuple(np.moveaxis(indices, -1, 0))] = updates
    return made


_RULES: dict[str, _Rule] = {
    "Abs": _pointwise(np.abs),
    "Add": _pointwise(np.add),
    "And": _pointwise(np.logical_and),
    "Cast": _cast,
    "CastLike": lambda _, x, like: x.astype(like.dtype),
    "Ceil": _pointwise(np.ceil),
    "Concat": lambda attributes, *x: np.concatenate(x, attributes["axis"]),
    "ConstantOfShape": _filled,
    "Div": _pointwise(_divide),
    "Equal": _pointwise(np.equal),
    "Expand": _expand,
    "Floor": _pointwise(np.floor),
    "Gather": _gather,
    "Greater": _pointwise(np.greater),
    "GreaterOrEqual": _pointwise(np.greater_equal),
    "Identity": lambda _, x: x,
    "Less": _pointwise(np.less),
    "LessOrEqual": _pointwise(np.less_equal),
    "Max": _pointwise(lambda *x: np.max(np.broadcast_arrays(*x), axis=0)),
    "Min": _pointwise(lambda *x: np.min(np.broadcast_arrays(*x), axis=0)),
    "Mod": _modulo,
    "Mul": _pointwise(np.multiply),
    "Neg": _pointwise(np.negative),
    "Not": _pointwise(np.logical_not),
    "Or": _pointwise(np.logical_or),
    "Range": _range,
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "Reshape": _reshape,
    "ScatterND": _scatter,
    "Slice": _slice,
    "Sqrt": _pointwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _pointwise(np.subtract),
    "Tile": _tile,
    "Transpose": lambda attributes, x: x.transpose(attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": _pointwise(np.where),
}


def computed(op: str, attributes: Attributes, inputs: Sequence[Array | None]) -> Array | None:
    """Return what a node of one output makes of known values, or None where that is not known."""
    rule = _RULES.get(op)
    if rule is None:
        return None
    try:
        with np.errstate(all="ignore"):
            made = np.asarray(rule(attributes, *inputs))
    except (_NoValueError, ValueError, TypeError, IndexError, KeyError, ArithmeticError):
        return None
    except (AttributeError, MemoryError):  # an input that is not there; a size beyond all
        return None
    return made if made.size <= _LARGEST else None

"""Sizes of an ONNX model's inputs: those in the file, and those that the caller binds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, ValueInfoProto

from alphaflops.errors import ModelError, ShapeError

__all__ = ["Bound", "bound_shapes", "unstored_inputs"]

_LARGEST = 2**62


@dataclass(frozen=True)
class Bound:
    """Sizes of every input, what its symbols stand for, and whether the batch was one of them.

    Of inputs that are `resized` the file states other sizes.
    """

    shapes: dict[str, tuple[int, ...]]
    symbols: dict[str, int]
    has_batch: bool
    resized: tuple[str, ...]


def unstored_inputs(where: str, graph: GraphProto) -> dict[str, ValueInfoProto]:
    """Return the inputs by name; old files list stored weights among them.

    Raises
    ------
    ModelError
        A name is no text.
    """
    if not all(isinstance(value.name, str) for value in graph.input):
        raise ModelError(f"{where}: the name of an input is not UTF-8 text; export it again")
    stored = {tensor.name for tensor in graph.initializer}
    return {value.name: value for value in graph.input if value.name not in stored}


def bound_shapes(
    where: str, graph: GraphProto, batch: int | None, inputs: Mapping[str, Sequence[int]]
) -> Bound:
    """Return the sizes of all inputs.

    Raises
    ------
    ModelError
        `inputs` names no input of the model or has another number of axes; a symbol is bound
        twice; or a size is in neither, and is named.
    ShapeError
        A given size is below one.
    """
    values = unstored_inputs(where, graph)
    for name in inputs:
        if name not in values:
            raise ModelError(f"{where}: it has no input '{name}'; it has {', '.join(values)}")
    symbols: dict[str, int] = {}
    declared = {name: _declared(where, value, inputs) for name, value in values.items()}
    for name, given in inputs.items():
        _bind(where, name, declared[name], given, symbols)
    batches = [
        _bind_batch(where, name, sizes, batch, symbols)
        for name, sizes in declared.items()
        if name not in inputs
    ]
    shapes = {
        name: tuple(inputs[name]) if name in inputs else _fixed(where, name, sizes, symbols)
        for name, sizes in declared.items()
    }
    resized = [
        name
        for name, given in inputs.items()
        if any(isinstance(x, int) and x != y for x, y in zip(declared[name], given, strict=True))
    ]
    return Bound(shapes, symbols, any(batches), tuple(resized))


def _bind_batch(
    where: str, name: str, sizes: list[int | str], batch: int | None, symbols: dict[str, int]
) -> bool:
    """Put `batch` where the leading size is a symbol without a meaning yet; whether it was."""
    if not sizes or isinstance(sizes[0], int) or sizes[0] in symbols:
        return False
    if batch is None:
        raise ModelError(
            f"{where}: input '{name}' has the symbolic batch dimension '{sizes[0] or '?'}'; "
            f"give batch (--batch 1), or its shape (--input {_example(name, sizes)})"
        )
    if _is_symbol(sizes[0]):
        symbols[sizes[0]] = batch
    else:
        sizes[0] = batch
    return True


def _fixed(
    where: str, name: str, sizes: Sequence[int | str], symbols: Mapping[str, int]
) -> tuple[int, ...]:
    free = [size or "?" for size in sizes if isinstance(size, str) and size not in symbols]
    if free:
        raise ModelError(
            f"{where}: input '{name}' has symbolic dimensions {', '.join(free)} besides the "
            f'batch; give its shape (inputs={{"{name}": [...]}}, '
            f"--input {_example(name, sizes)}), or export the model with fixed sizes"
        )
    return tuple(symbols[size] if isinstance(size, str) else size for size in sizes)


def _declared(
    where: str, value: ValueInfoProto, inputs: Mapping[str, Sequence[int]]
) -> list[int | str]:
    """Return sizes, and the symbols of those that are not fixed; "" or "-1" for one without."""
    kind = value.type.WhichOneof("value")
    if kind not in ("tensor_type", None):
        raise ModelError(
            f"{where}: input '{value.name}' is a {kind.removesuffix('_type')}, not a tensor; "
            "export the model with tensors as inputs"
        )
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        if value.name in inputs:
            return [""] * len(inputs[value.name])
        raise ModelError(
            f"{where}: the shape of input '{value.name}' is not in the file; give it "
            f'(inputs={{"{value.name}": [...]}}, --input {value.name}=1x3x224x224)'
        )
    return [
        size.dim_value if size.dim_value > 0 else str(size.dim_param or size.dim_value or "")
        for size in tensor.shape.dim
    ]


def _bind(
    where: str,
    name: str,
    declared: Sequence[int | str],
    given: Sequence[int],
    symbols: dict[str, int],
) -> None:
    if len(given) != len(declared):
        raise ModelError(
            f"{where}: input '{name}' has {len(declared)} axes; the shape given for it, "
            f"{list(given)}, has {len(given)}"
        )
    for i, (symbol, size) in enumerate(zip(declared, given, strict=True)):
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST:
            raise ShapeError(
                f"input '{name}': dimension {i} is {size}; it must be an integer of at least 1"
            )
        if isinstance(symbol, int) or not _is_symbol(symbol):
            continue
        if symbols.setdefault(symbol, size) != size:
            raise ModelError(
                f"{where}: '{symbol}' is {symbols[symbol]} in one input and {size} in '{name}'; "
                "give one size for it"
            )


def _is_symbol(text: str) -> bool:
    return bool(text) and not text.startswith("-")


def _example(name: str, sizes: Sequence[int | str]) -> str:
    return f"{name}=" + "x".join(str(size or 1) for size in sizes)

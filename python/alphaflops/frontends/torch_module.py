"""PyTorch modules as graphs, by a forward that computes nothing."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

try:
    import torch
except ImportError as error:
    from alphaflops.errors import MissingExtraError

    raise MissingExtraError(
        'reading torch modules needs the package torch; pip install "alphaflops[torch]"'
    ) from error

from alphaflops._core import Graph
from alphaflops.errors import Error, ModelError, ShapeError, UnsupportedError
from alphaflops.frontends import (  # noqa: F401  (the rules register themselves)
    torch_attention,
    torch_elements,
    torch_layers,
    torch_norms,
    torch_pools,
    torch_rare,
    torch_recurrent,
)
from alphaflops.frontends.torch_refusals import cause_of
from alphaflops.frontends.torch_state import restored
from alphaflops.frontends.torch_trace import Trace, map_leaves, reads_values, tensors_in
from alphaflops.frontends.traced import Traced

__all__ = ["load_function", "read_module"]

_DTYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
}
_IMAGE = (1, 3, 224, 224)  # what a module is tried with that comes without arguments
_NO_TENSOR = (
    " (no tensor was given; args are what the forward takes, such as torch.empty(1, 3, 224, 224))"
)


def read_module(
    module: Any,
    args: Any,
    kwargs: Mapping[str, Any] | None,
    *,
    name: str | None = None,
    dtype: str | None = None,
    strict: bool = False,
    causal: bool = False,
) -> Graph:
    """Read a PyTorch module as a graph: what `from_torch` does, with torch at hand."""
    exported = isinstance(module, torch.export.ExportedProgram)
    if not exported and not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"from_torch: {type(module).__name__} is not a torch.nn.Module and not an "
            "ExportedProgram; give one of these"
        )
    if isinstance(args, torch.Tensor):
        args = (args,)
    if type(module).__name__ == "OptimizedModule":  # what torch.compile returns
        module = module._orig_mod
    named = name or (type(module).__name__ if not exported else "exported")
    if exported:
        from alphaflops.frontends.torch_exported import Exported  # noqa: PLC0415  (slow to import)

        module = Exported(module)
        args, kwargs = module.leaves(args, kwargs), None
    graph = Graph(named, _dtype_of(module) if dtype is None else dtype)
    trace = Trace(graph, module, causal)
    if exported:
        module.stack = trace.stack
    _forward(trace, module, args, dict(kwargs or {}))
    graph.set_calls(trace.calls)
    if strict and trace.unknown:
        total = len(graph)
        count = sum(trace.unknown.values())
        kinds = ", ".join(f"{op} ({n})" for op, n in trace.unknown.items())
        raise UnsupportedError(
            f"{named}: {count} of {total} tensors ({count / total:.1%}) come from operators that "
            f"cannot be counted: {kinds}; say what they cost with register_op, or without strict "
            "they are listed and the rest is counted"
        )
    return graph


def _dtype_of(module: torch.nn.Module) -> str:
    tensors = [*module.parameters(), *module.buffers()]
    first = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    if first not in _DTYPES:
        raise UnsupportedError(
            f"{type(module).__name__}: no cost model has parameters of {first}; give dtype, one "
            f"of {', '.join(_DTYPES.values())} or tf32"
        )
    return _DTYPES[first]


def _forward(trace: Trace, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
    name = trace.graph.name
    for path, parameter in module.named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise ModelError(
                f"{path}: this parameter has no shape yet (a lazy module); run the module once"
            )
    args, kwargs = _inputs(trace, module, args, kwargs)
    has_tensor = len(trace.graph) > 0
    try:
        with restored(module), trace.following_modules(), trace:
            module(*args, **kwargs)
    except Exception as error:
        _, where, failed = trace.failed or (error, name, None)
        if (why := cause_of(error, failed)) is not None:
            raise UnsupportedError(f"{where}: {why}") from error
        if isinstance(error, ShapeError):
            raise ModelError(f"{name}: {error}; check the shapes of the example inputs") from error
        if isinstance(error, Error):
            raise
        if "cannot be called on meta tensors" in str(error):  # a size that is a tensor
            raise ModelError(f"{where}: {reads_values('item')}") from error
        raise ModelError(
            f"{name}: the forward raised in layer {where}: {type(error).__name__}: {error}"
            + ("" if has_tensor else _NO_TENSOR)
        ) from error


def _inputs(
    trace: Trace, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the arguments with every tensor an input of the graph."""
    if not isinstance(args, Sequence) or isinstance(args, str):
        raise ModelError(
            f"{trace.graph.name}: the arguments are {type(args).__name__}; give a tensor or a "
            "tuple of what the forward takes, and keyword arguments as kwargs"
        )
    made: dict[int, torch.Tensor] = {}

    def stand_in(name: str, value: Any) -> Any:
        tensors = len(tensors_in([value]))
        index = 0

        def change(leaf: Any) -> Any:
            nonlocal index
            if not isinstance(leaf, torch.Tensor):
                return leaf
            if id(leaf) not in made:
                made[id(leaf)] = _input(trace, leaf, name if tensors == 1 else f"{name}.{index}")
            index += 1
            return made[id(leaf)]

        return map_leaves(change, value)

    named = zip(_parameter_names(module, len(args)), args, strict=False)
    return (
        [stand_in(at, value) for at, value in named],
        {key: stand_in(key, value) for key, value in kwargs.items()},
    )


def _parameter_names(module: torch.nn.Module, count: int) -> list[str]:
    """Return names for that many arguments of the forward."""
    given = getattr(module, "input_names", None)
    if isinstance(given, list):
        return given
    try:
        parameters = inspect.signature(module.forward).parameters.values()
        found = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    except (TypeError, ValueError):
        found = []
    return found + [f"input_{i}" for i in range(len(found), count)]


def _input(trace: Trace, value: torch.Tensor, at: str) -> torch.Tensor:
    if value.layout != torch.strided:
        raise ModelError(
            f"{trace.graph.name}: input '{at}' has the layout {value.layout}; give a dense tensor"
        )
    shape = tuple(value.shape)
    stand_in = torch.empty_strided(shape, value.stride(), dtype=value.dtype, device="meta")
    if 0 in shape:
        raise ModelError(
            f"{trace.graph.name}: input '{at}' has the shape {list(shape)}, no elements"
        )
    make = trace.graph.input if shape else trace.graph.constant
    trace.give(stand_in, value)
    return trace.bind(stand_in, make(shape, name=at))


def load_function(
    name: str,
    batch: int | None = None,
    causal: bool = False,
    *,
    dtype: str | None = None,
    to_run: bool = False,
) -> Graph | Traced:
    """Read the module that a function ``package.module:function`` returns.

    The function is called without arguments and returns a module or an ExportedProgram, alone or as
    ``(module, args)``, ``(module, kwargs)`` or ``(module, args, kwargs)``: args is a tensor or a
    tuple, kwargs a dict. A module alone is tried with an image [batch, 3, 224, 224]. The folder
    that one is in is searched too. `batch` replaces the leading size of the tensors given that have
    the first one's; `causal` and `dtype` are those of `from_torch`. With `to_run` a module is put
    into eval mode, and comes beside its graph where it has elements.

    Raises
    ------
    ModelError
        There is no such function, it raises, or it returns something else.
    """
    attribute = name.partition(":")[2]

    def read(module: Any, args: Any, kwargs: Mapping[str, Any] | None) -> Graph:
        return read_module(module, args, kwargs, name=attribute, dtype=dtype, causal=causal)

    module, args, kwargs = _parts(name, _call(name))
    if isinstance(module, torch.export.ExportedProgram):
        graph = read(module, () if args is None else args, kwargs)
        return graph if batch is None else graph.with_batch(batch)
    if to_run:
        module.eval()
    if args is not None:
        given = (args, kwargs) if batch is None else _rebatched((args, kwargs), batch)
        graph = read(module, *given)
        return _with_call(graph, module, *given) if to_run else graph
    image = torch.empty(batch or _IMAGE[0], *_IMAGE[1:], device="meta")
    try:
        graph = read(module, (image,), None)
    except ModelError as error:
        raise ModelError(
            f"{error} (the module came without arguments, so an image {list(image.shape)} was "
            f"tried; let '{attribute}' return (module, args))"
        ) from error
    return _with_call(graph, module, (image,), None) if to_run else graph


def _with_call(
    graph: Graph, module: Any, args: Any, kwargs: Mapping[str, Any] | None
) -> Graph | Traced:
    """Return the graph with what runs it, or alone where weights have no elements."""
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        return graph
    args = (args,) if isinstance(args, torch.Tensor) else tuple(args)
    if type(module).__name__ == "OptimizedModule":  # what torch.compile returns; not eager
        module = module._orig_mod
    return Traced(graph, module, args, dict(kwargs or {}))


def _parts(name: str, made: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return the module, its arguments (None: it came without any) and its keyword arguments."""
    is_tuple = isinstance(made, (tuple, list)) and len(made) > 0
    module, *given = made if is_tuple else (made,)
    has_keywords = bool(given) and isinstance(given[-1], Mapping)
    kwargs = dict(given.pop()) if has_keywords else {}
    is_module = isinstance(module, (torch.nn.Module, torch.export.ExportedProgram))
    if not is_module or len(given) > 1:
        types = ", ".join(type(each).__name__ for each in made) if is_tuple else ""
        raise ModelError(
            f"{name}: the function returned {f'({types})' if is_tuple else type(made).__name__}; "
            "it must return a torch.nn.Module, (module, args), (module, kwargs) or (module, args, "
            "kwargs), where args is a tensor or a tuple and kwargs a dict"
        )
    args = given[0] if given else None
    return module, () if args is None and has_keywords else args, kwargs


def _call(name: str) -> Any:
    """Call the function, with this folder searched too."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        function = _found(name)
        try:
            return function()
        except Exception as error:
            raise ModelError(
                f"model '{name}': the function raised {type(error).__name__}: {error}"
            ) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _found(name: str) -> Any:
    """Import the function; only what is not there is said not to be there."""
    path, _, attribute = name.partition(":")
    why: object = "these are no names of Python"
    if all(part.isidentifier() for part in (*path.split("."), attribute)):
        try:
            module = importlib.import_module(path)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing is None or not f"{path}.".startswith(f"{missing}."):
                raise ModelError(
                    f"model '{name}': importing {path} raised {type(error).__name__}: {error}"
                ) from error
            why = error
        else:
            if hasattr(module, attribute):
                return getattr(module, attribute)
            why = f"module {path} has no {attribute}"
    raise ModelError(f"model '{name}': no such function ({why}); give package.module:function")


def _rebatched(args: Any, batch: int) -> Any:
    """Replace the leading size where it is that of the first tensor."""
    if batch < 1:
        raise ShapeError(f"batch is {batch}; it must be at least 1")
    sizes: list[int] = []

    def change(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor) and leaf.dim():
            sizes.append(leaf.shape[0])
            if leaf.shape[0] == sizes[0] and leaf.shape[0]:
                if leaf.is_floating_point() or leaf.is_complex():
                    return torch.empty(batch, *leaf.shape[1:], dtype=leaf.dtype, device="meta")
                return leaf[torch.arange(batch) % leaf.shape[0]]
        return leaf

    return map_leaves(change, args)

"""Networks from outside as graphs: ONNX and graph files, torch modules, the zoo by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from alphaflops import zoo
from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.frontends.traced import Traced, graph_of
from alphaflops.graph_file import load_graph

__all__ = ["Traced", "from_torch", "graph_of", "input_names", "load", "load_to_run"]


def load(
    path_or_name: str | os.PathLike[str],
    batch: int | None = None,
    dtype: str | None = None,
    inputs: Mapping[str, Sequence[int]] | None = None,
    strict: bool = False,
    *,
    causal: bool = False,
) -> Graph:
    """Read a network as a graph.

    Parameters
    ----------
    path_or_name
        An ``.onnx`` file, a graph that `alphaflops.save_graph` wrote (``.json``), a name of
        `alphaflops.zoo.names`, or ``package.module:function``: a function that returns a torch
        module, ``(module, args)``, ``(module, kwargs)`` or ``(module, args, kwargs)``, where args
        is a tensor or a tuple and kwargs a dict. A module alone is tried with an image
        [batch, 3, 224, 224].
    batch
        Images a call. By default the file's own batch, that of the arguments, or 1; a file whose
        batch dimension is symbolic needs it.
    dtype
        Element type: fp32, tf32, fp16, bf16 or int8. By default that of the file's weights, or
        fp32 for the zoo.
    inputs
        Of an ``.onnx`` file: sizes of inputs by their names, where they are symbolic or others
        than in the file.
    strict
        Of an ``.onnx`` file: an operator that cannot be counted is an error.
    causal
        Count only the scores that are not masked, where one operator is the attention and says that
        it is causal. By default all scores count. A graph file has what it was made with.

    Raises
    ------
    ModelError
        Neither a file that holds a network nor a known name; a function that is not there or
        raises; or a batch or shape is missing.
    ShapeError
        A size that the named layer cannot have.
    UnsupportedError
        The element type is not known; under `strict`, operators that cannot be counted.
    MissingExtraError
        An ONNX file is given and the package ``onnx`` is not installed; a torch module, and
        ``torch`` is not.
    """
    name = _name_of(path_or_name)
    if inputs and not _is_onnx(name):
        raise ModelError(f"model '{name}': shapes of inputs can only be given for .onnx files")
    if name.lower().endswith(".json"):
        if causal:
            raise ModelError(
                f"model '{name}': a graph file says which scores count; give causal where the "
                "graph is made, and save it anew"
            )
        graph = load_graph(name)
        graph = graph if batch is None or graph.batch == batch else graph.with_batch(batch)
        return graph if dtype is None else graph.with_dtype(dtype)
    if name in zoo.names():
        images = 1 if batch is None else batch
        return zoo.build(name, images, dtype=dtype or "fp32", causal=causal)
    if _is_onnx(name):
        from alphaflops.frontends.onnx import load_onnx  # noqa: PLC0415  (onnx is an extra)

        graph = load_onnx(name, batch, strict, inputs, causal)
        return graph if dtype is None else graph.with_dtype(dtype)
    if _is_function(name):
        from alphaflops.frontends.torch_module import load_function  # noqa: PLC0415  (an extra)

        return graph_of(load_function(name, batch, causal, dtype=dtype))
    raise ModelError(
        f"model '{name}' is neither an .onnx file, a .json graph, nor a network of the zoo: "
        f"{zoo.suggestion(name)}"
    )


def load_to_run(
    path_or_name: str | os.PathLike[str], batch: int | None = None, dtype: str | None = None
) -> Graph | Traced:
    """Read a network as `load` does, with what runs it where that is known: a torch module.

    The module is put into eval mode. One on the meta device has nothing to run, and an exported
    program is no module: of these there is the graph alone.

    Raises
    ------
    Error
        As of `load`.
    """
    name = _name_of(path_or_name)
    if not _is_function(name):
        return load(name, batch, dtype)
    from alphaflops.frontends.torch_module import load_function  # noqa: PLC0415  (an extra)

    return load_function(name, batch, dtype=dtype, to_run=True)


def from_torch(
    module: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    dtype: str | None = None,
    strict: bool = False,
    causal: bool = False,
) -> Graph:
    """Read a PyTorch module as a graph, without running it.

    The forward is called once with tensors that have shapes and no elements. Parameters, buffers,
    hooks, random state and modes are afterwards as before, whether it succeeds or not. Training
    mode is the module's own: call ``module.eval()`` first to leave dropout out.

    Parameters
    ----------
    module
        A ``torch.nn.Module``, or a ``torch.export.ExportedProgram``.
    args, kwargs
        Arguments of its forward. Only shapes and element types of tensors are used, so tensors on
        the meta device will do; of integers and masks also the elements, where a branch, a size or
        an index depends on them. One tensor stands for a tuple of it. An ExportedProgram has its
        own; those given must have their shapes and element types.
    name
        Of the graph; by default that of the module's class.
    dtype
        Element type: fp32, tf32, fp16, bf16 or int8. By default that of the parameters.
    strict
        Raise instead of keeping operators that cannot be counted as unknown nodes.
    causal
        Count only the scores that are not masked, where attention is called with
        ``is_causal=True``. By default all scores count, so that attention costs the same however
        it is written; see docs/operators.md.

    Raises
    ------
    ModelError
        The forward raises, reads values of tensors, or cannot take these arguments; the layer is
        named.
    UnsupportedError
        Under `strict`, the operators that cannot be counted; always, an element type that has no
        cost model.
    MissingExtraError
        The package ``torch`` is not installed.
    """
    from alphaflops.frontends.torch_module import read_module  # noqa: PLC0415  (torch is an extra)

    return read_module(module, args, kwargs, name=name, dtype=dtype, strict=strict, causal=causal)


def input_names(path_or_name: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the inputs whose sizes `load` can be given: those of an ``.onnx`` file, or none."""
    name = _name_of(path_or_name)
    if not _is_onnx(name):
        return ()
    from alphaflops.frontends.onnx import inputs_of  # noqa: PLC0415  (onnx is an extra)

    return inputs_of(name)


def _name_of(path_or_name: object) -> str:
    name = os.fspath(path_or_name) if isinstance(path_or_name, os.PathLike) else path_or_name
    if not isinstance(name, str):
        raise ModelError(
            f"a {type(path_or_name).__name__} is no path and no name of a network; give one of "
            "these, and a torch module to alphaflops.from_torch(module, args)"
        )
    return name


def _is_onnx(name: str) -> bool:
    if name in zoo.names() or name.lower().endswith(".json"):
        return False
    return name.lower().endswith(".onnx") or os.path.exists(name)


def _is_function(name: str) -> bool:
    is_file = name.lower().endswith(".json") or _is_onnx(name)
    return ":" in name and name not in zoo.names() and not is_file

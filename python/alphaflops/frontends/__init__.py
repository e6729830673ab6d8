"""Networks from outside as graphs: ONNX files, torch modules, and the zoo by name."""

from __future__ import annotations

import os

from alphaflops import zoo
from alphaflops._core import Graph
from alphaflops.errors import ModelError

__all__ = ["load"]


def load(
    path_or_name: str | os.PathLike[str], batch: int | None = None, dtype: str | None = None
) -> Graph:
    """Read a network as a graph.

    Parameters
    ----------
    path_or_name
        An ``.onnx`` file, a name of `alphaflops.zoo.names`, or ``package.module:function``: a
        function that returns a torch module, or ``(module, args)``. A module alone is tried with
        an image [batch, 3, 224, 224].
    batch
        Images a call. By default the file's own batch, that of `args`, or 1; a file whose batch
        dimension is symbolic needs it.
    dtype
        Element type: fp32, tf32, fp16, bf16 or int8. By default that of the file's weights, or
        fp32 for the zoo.

    Raises
    ------
    ModelError
        Neither a file that holds a network nor a known name; or a batch or shape is missing.
    ShapeError
        A size that the named layer cannot have.
    UnsupportedError
        The element type is not known.
    MissingExtraError
        An ONNX file is given and the package ``onnx`` is not installed; a torch module, and
        ``torch`` is not.
    """
    name = os.fspath(path_or_name)
    if name in zoo.names():
        return zoo.build(name, 1 if batch is None else batch, dtype=dtype or "fp32")
    if name.lower().endswith(".onnx") or os.path.exists(name):
        from alphaflops.frontends.onnx import load_onnx  # noqa: PLC0415  (onnx is an extra)

        graph = load_onnx(name, batch)
        return graph if dtype is None else graph.with_dtype(dtype)
    if ":" in name:
        from alphaflops.frontends.torch_module import load_function  # noqa: PLC0415  (an extra)

        graph = load_function(name, batch)
        return graph if dtype is None else graph.with_dtype(dtype)
    raise ModelError(
        f"model '{name}' is neither an .onnx file nor a network of the zoo: {zoo.suggestion(name)}"
    )

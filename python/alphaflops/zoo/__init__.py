"""Well-known networks as graphs, with torchvision's architectures and layer names.

Every builder makes the network for inference: no dropout, no softmax, 1000 classes. Convolutions
and norms keep the names of torchvision's modules (``layer1.0.conv1``), so a row of a report can be
laid beside a torch profile.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.zoo.densenet import densenet121
from alphaflops.zoo.mobilenet import mobilenet_v2
from alphaflops.zoo.resnet import resnet18, resnet50
from alphaflops.zoo.vgg import vgg16

__all__ = ["build", "names", "suggestion"]

# A builder gets the graph and its image tensor [batch, 3, image_size, image_size].
_BUILDERS: dict[str, Callable[[Graph, int], int]] = {
    "densenet121": densenet121,
    "mobilenet_v2": mobilenet_v2,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "vgg16": vgg16,
}


def names() -> tuple[str, ...]:
    """Return the names that `build` knows, sorted."""
    return tuple(_BUILDERS)


def suggestion(name: str) -> str:
    """Return what to use instead of an unknown `name`, as the end of a sentence."""
    near = difflib.get_close_matches(name.lower(), names(), n=2, cutoff=0.5)
    known = f"the zoo has {', '.join(names())}"
    return f"did you mean {' or '.join(near)}? {known}" if near else known


def build(name: str, batch: int = 1, image_size: int = 224, dtype: str = "fp32") -> Graph:
    """Build a network of the zoo.

    Parameters
    ----------
    name
        One of `names()`.
    batch
        Images a call.
    image_size
        Height and width of an image, in pixels.
    dtype
        Element type: fp32, tf32, fp16, bf16 or int8.

    Raises
    ------
    ModelError
        No network has that name; the message names the nearest.
    ShapeError
        A size below one, or an image that the network cannot take.
    UnsupportedError
        The element type is not known.
    """
    if name not in _BUILDERS:
        raise ModelError(f"network '{name}' is not known: {suggestion(name)}")
    graph = Graph(name, dtype)
    _BUILDERS[name](graph, graph.input([batch, 3, image_size, image_size], "image"))
    return graph

"""Well-known networks as graphs, with the architectures and layer names of their libraries.

Every builder makes the network for inference, without dropout. Those of images have 1000 classes
(U-Net two) and no softmax. Layers keep the names of torchvision's and transformers' modules
(``layer1.0.conv1``), so a row of a report can be laid beside a torch profile.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.zoo import baselines, bert, gpt2, t5
from alphaflops.zoo.convnext import convnext_tiny
from alphaflops.zoo.darknet import darknet53
from alphaflops.zoo.densenet import densenet121
from alphaflops.zoo.efficientnet import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
)
from alphaflops.zoo.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from alphaflops.zoo.regnet import regnet_y_400mf
from alphaflops.zoo.resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnext50_32x4d,
    wide_resnet50_2,
)
from alphaflops.zoo.shufflenet import shufflenet_v2_x1_0
from alphaflops.zoo.squeezenet import squeezenet1_0
from alphaflops.zoo.swin import swin_t
from alphaflops.zoo.unet import unet
from alphaflops.zoo.vgg import vgg16
from alphaflops.zoo.vit import vit_b_16

__all__ = ["REFERENCE", "build", "names", "suggestion"]

#: What the demo and `validate` run: five networks of unlike kinds.
REFERENCE = ("densenet121", "mobilenet_v2", "resnet18", "resnet50", "vgg16")

# A builder gets the graph and its first input.
_Builder = Callable[..., int]
_CAUSAL = ("gpt2",)  # those that take `causal`


@dataclass(frozen=True)
class _Network:
    """A network of images, or with `features` one of [batch, features] and no images."""

    add: _Builder
    image_size: int = 224  # that its paper quotes
    features: int = 0
    input: str = "image"
    runnable: bool = True  # by the native kernels


def _tokens(add: _Builder, length: int) -> _Network:
    return _Network(add, features=length, input="input_ids", runnable=False)


_NETWORKS: dict[str, _Network] = {
    "bert_base": _tokens(bert.bert_base, bert.LENGTH),
    "convnext_tiny": _Network(convnext_tiny, runnable=False),
    "darknet53": _Network(darknet53, image_size=256, runnable=False),
    "densenet121": _Network(densenet121),
    "efficientnet_b0": _Network(efficientnet_b0),
    "efficientnet_b1": _Network(efficientnet_b1, image_size=240),
    "efficientnet_b2": _Network(efficientnet_b2, image_size=260),
    "efficientnet_b3": _Network(efficientnet_b3, image_size=300),
    "gpt2": _tokens(gpt2.gpt2, gpt2.LENGTH),
    "lstm": _tokens(baselines.lstm, baselines.LENGTH),
    "mlp": _Network(baselines.mlp, features=baselines.PIXELS, input="digits"),
    "mobilenet_v2": _Network(mobilenet_v2),
    "mobilenet_v3_large": _Network(mobilenet_v3_large),
    "mobilenet_v3_small": _Network(mobilenet_v3_small),
    "regnet_y_400mf": _Network(regnet_y_400mf),
    "resnet101": _Network(resnet101),
    "resnet18": _Network(resnet18),
    "resnet34": _Network(resnet34),
    "resnet50": _Network(resnet50),
    "resnext50_32x4d": _Network(resnext50_32x4d),
    "shufflenet_v2_x1_0": _Network(shufflenet_v2_x1_0, runnable=False),
    "squeezenet1_0": _Network(squeezenet1_0),
    "swin_t": _Network(swin_t, runnable=False),
    "t5_small": _tokens(t5.t5_small, t5.LENGTH),
    "unet": _Network(unet, image_size=256, runnable=False),
    "vgg16": _Network(vgg16),
    "vit_b_16": _Network(vit_b_16, runnable=False),
    "wide_resnet50_2": _Network(wide_resnet50_2),
}


def names(runnable: bool = False) -> tuple[str, ...]:
    """Return the names that `build` knows, sorted.

    Parameters
    ----------
    runnable
        Only those that the library's own kernels can run, and so time.
    """
    return tuple(name for name, network in _NETWORKS.items() if network.runnable or not runnable)


def suggestion(name: str) -> str:
    """Return what to use instead of an unknown `name`, as the end of a sentence."""
    near = difflib.get_close_matches(name.lower(), names(), n=2, cutoff=0.5)
    known = f"the zoo has {', '.join(names())}"
    return f"did you mean {' or '.join(near)}? {known}" if near else known


def build(
    name: str,
    batch: int = 1,
    image_size: int | None = None,
    dtype: str = "fp32",
    causal: bool = False,
) -> Graph:
    """Build a network of the zoo.

    Parameters
    ----------
    name
        One of `names()`.
    batch
        Images, or sequences, a call. Sequences have the length that papers quote: 128 tokens for
        bert_base, 1024 for gpt2, 512 for both sides of t5_small, 35 for lstm.
    image_size
        Height and width of an image, in pixels. By default that of the paper: 224, or 240, 260 and
        300 for efficientnet_b1 to b3, 256 for darknet53 and unet.
    dtype
        Element type: fp32, tf32, fp16, bf16 or int8.
    causal
        Count only the scores that a causal mask leaves, in the networks whose attention is one
        operator and causal (gpt2). By default all scores count.

    Raises
    ------
    ModelError
        No network has that name (the message names the nearest), or one that takes no images is
        given an image_size.
    ShapeError
        A size below one, or an image that the network cannot take.
    UnsupportedError
        The element type is not known.
    """
    network = _NETWORKS.get(name)
    if network is None:
        raise ModelError(f"network '{name}' is not known: {suggestion(name)}")
    if network.features and image_size is not None:
        raise ModelError(f"network '{name}' takes no images: leave image_size out")
    extent = network.image_size if image_size is None else image_size
    shape = [batch, network.features] if network.features else [batch, 3, extent, extent]
    graph = Graph(name, dtype)
    add = partial(network.add, causal=True) if causal and name in _CAUSAL else network.add
    add(graph, graph.input(shape, network.input))
    return graph

"""What several families are made of, with torchvision's names of the parts."""

from __future__ import annotations

from alphaflops._core import Graph


def divisible(channels: float) -> int:
    """Return the nearest multiple of 8 that is not below nine tenths of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def conv_norm(
    graph: Graph,
    x: int,
    c_out: int,
    at: str,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: str | None = None,
) -> int:
    """Add torchvision's Conv2dNormActivation: ``at.0``, ``at.1`` and, with an activation, ``.2``.

    The padding is half the kernel.
    """
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, groups=groups, name=f"{at}.0")
    x = graph.batch_norm(x, f"{at}.1")
    return x if activation is None else graph.activation(x, activation, f"{at}.2")


def squeeze_excite(
    graph: Graph, x: int, squeezed: int, at: str, *, activation: str, gate: str
) -> int:
    """Scale every channel by a gate that two 1x1 convolutions make of the channels' means."""
    channels = graph.shape(x)[1]
    y = graph.global_avg_pool(x, f"{at}.avgpool")
    y = graph.activation(
        graph.conv2d(y, squeezed, bias=True, name=f"{at}.fc1"), activation, f"{at}.activation"
    )
    y = graph.activation(
        graph.conv2d(y, channels, bias=True, name=f"{at}.fc2"), gate, f"{at}.scale_activation"
    )
    return graph.mul(x, y, f"{at}.scale")


def pool_and_classify(graph: Graph, x: int, at: str) -> int:
    """Average over the image, then a linear layer `at` to 1000 classes."""
    x = graph.flatten(graph.global_avg_pool(x, "avgpool"), "flatten")
    return graph.linear(x, 1000, True, at)


def inverted_residual(
    graph: Graph,
    x: int,
    c_out: int,
    at: str,
    *,
    hidden: int,
    kernel: int,
    stride: int,
    activation: str,
    squeezed: int = 0,
    excite: tuple[str, str] = ("relu", "hardsigmoid"),
) -> int:
    """Expand, convolve depthwise, excite where `squeezed` channels are given, project, add.

    `excite` are the activation between its two convolutions and that of its gate.
    """
    y, part = x, 0
    if hidden != graph.shape(x)[1]:
        y, part = conv_norm(graph, y, hidden, f"{at}.block.0", activation=activation), 1
    y = conv_norm(
        graph,
        y,
        hidden,
        f"{at}.block.{part}",
        kernel=kernel,
        stride=stride,
        groups=hidden,
        activation=activation,
    )
    if squeezed:
        part += 1
        between, gate = excite
        y = squeeze_excite(graph, y, squeezed, f"{at}.block.{part}", activation=between, gate=gate)
    y = conv_norm(graph, y, c_out, f"{at}.block.{part + 1}")
    return graph.add(y, x, f"{at}.add") if stride == 1 and graph.shape(x)[1] == c_out else y

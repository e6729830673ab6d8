"""ONNX operators that slide windows: convolutions, pools; and resizing."""

from __future__ import annotations

from alphaflops.frontends.onnx_call import Call, Handler

__all__ = ["HANDLERS", "MICROSOFT", "conv_of"]

_IMAGE_AXES = 4


def _padding(call: Call, kernel: list[int], stride: list[int], dilation: list[int]) -> list[int]:
    """Return the elements before and after each axis."""
    auto = call.text("auto_pad", "NOTSET")
    axes = len(kernel)
    if auto in ("NOTSET", ""):
        pads = call.ints("pads", [0] * (2 * axes))
        return [side for axis in range(axes) for side in (pads[axis], pads[axis + axes])]
    if auto == "VALID":
        return [0] * (2 * axes)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.fail(f"auto_pad is '{auto}'; NOTSET, VALID or SAME_* is right")
    if min(stride) < 1:
        raise call.fail(f"strides are {stride}; they must be at least 1")
    pads = []
    for size, k, s, d in zip(call.shape(0)[2:], kernel, stride, dilation, strict=True):
        # As many outputs as ceil(size / stride); the odd element goes after (UPPER) or before.
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        less, more = total // 2, total - total // 2
        pads += [less, more] if auto == "SAME_UPPER" else [more, less]
    return pads


def conv_of(call: Call, weight: int, bias: int | None) -> int | None:
    """Add a convolution whose weight and bias are those inputs."""
    call.need(weight + 1)
    shape, channels = call.shape(weight), call.shape(0)
    if call.constant(weight) is None:
        return None
    axes = len(channels) - 2
    if len(shape) != len(channels) or axes < 1:
        raise call.fail(
            f"the weight has shape {list(shape)} and the input {list(channels)}; as many axes are "
            "needed, three at least"
        )
    c_out, c_in, *kernel = shape
    groups = call.integer("group", 1)
    if c_in * groups != channels[1]:
        raise call.fail(
            f"the weight takes {c_in} channels in {groups} groups; the input has {channels[1]}"
        )
    if axes > 3:  # noqa: PLR2004
        return None
    kernel = call.ints("kernel_shape", kernel)
    stride = call.ints("strides", [1] * axes)
    dilation = call.ints("dilations", [1] * axes)
    padding = _padding(call, kernel, stride, dilation)
    add = call.graph.conv2d if axes == 2 else call.graph.conv  # noqa: PLR2004

    def made(biased: bool) -> int:
        x = call.tensor(0)
        return add(x, c_out, kernel, stride, padding, dilation, groups, biased, name=call.name)

    ones = (1,) * axes
    return call.layer(made, weight, bias, [(c_out, *ones), (1, c_out, *ones)])


def _conv(call: Call) -> int | None:
    return conv_of(call, 1, 2)


def _conv_transpose(call: Call) -> int | None:
    call.need(2)
    shape, channels = call.shape(1), call.shape(0)
    axes = len(channels) - 2
    if call.constant(1) is None or not 1 <= axes <= 3 or len(shape) != axes + 2:  # noqa: PLR2004
        return None
    groups = call.integer("group", 1)
    c_in, per_group, *kernel = shape
    if c_in != channels[1]:
        raise call.fail(f"the weight takes {c_in} channels; the input has {channels[1]}")
    c_out = per_group * groups
    kernel = call.ints("kernel_shape", kernel)
    stride = call.ints("strides", [1] * axes)
    dilation = call.ints("dilations", [1] * axes)
    extra = call.ints("output_padding", [0] * axes)
    made_sizes = call.made()[2:]
    # Padding follows from the extent that is made, whichever way the file states it.
    padding: list[int] = []
    for i, size in enumerate(channels[2:]):
        full = (size - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 + extra[i]
        cut = full - made_sizes[i]
        if cut < 0:  # a larger output was asked for
            extra[i] -= cut
            cut = 0
        padding += [cut // 2, cut - cut // 2]

    def made(biased: bool) -> int:
        x = call.tensor(0)
        return call.graph.conv(
            x, c_out, kernel, stride, padding, dilation, groups, biased, True, extra, call.name
        )

    ones = (1,) * axes
    return call.layer(made, 1, 2, [(c_out, *ones), (1, c_out, *ones)])


def _fused_conv(call: Call) -> int | None:
    made = conv_of(call, 1, 2)
    if made is None:
        return None
    if call.has(3):
        made = call.graph.element([made, call.tensor(3)], "add", name=f"{call.name}.add")
    function = call.text("activation", "").lower()
    if function in ("relu", "sigmoid", "tanh"):
        return call.graph.activation(made, function, f"{call.name}.{function}")
    if function:
        kind = {"leakyrelu": "leaky_relu", "clip": "clip"}.get(function)
        return None if kind is None else call.graph.element([made], kind, name=f"{call.name}.act")
    return made


def _deform_conv(call: Call) -> int | None:
    """Interpolate what every tap reads; then a convolution whose windows lie side by side."""
    call.need(3)
    weight, made = call.shape(1), call.made()
    if len(weight) != _IMAGE_AXES or len(made) != _IMAGE_AXES or not call.is_constant(1):
        return None
    c_out, _, *kernel = weight
    taps = [*call.shape(0)[:2], made[2] * kernel[0], made[3] * kernel[1]]
    read = [call.tensor(0), call.tensor(2)]
    sampled = call.graph.element(read, "interpolate_bilinear", taps, f"{call.name}.sample")
    if call.has(4):
        scaled = [sampled, call.tensor(4)]
        sampled = call.graph.element(scaled, "mul", taps, f"{call.name}.mask")
    groups = call.integer("group", 1)
    return call.layer(
        lambda bias: call.graph.conv2d(
            sampled, c_out, kernel, kernel, groups=groups, bias=bias, name=call.name
        ),
        1,
        3,
    )


def _pool_over(call: Call, kind: str, x: int) -> int:
    axes = len(call.shape(0)) - 2
    if axes < 1:
        raise call.fail(f"the input has shape {list(call.shape(0))}; axes to pool are needed")
    kernel = call.ints("kernel_shape", [0] * axes)
    stride = call.ints("strides", [1] * axes)
    dilation = call.ints("dilations", [1] * axes)
    padding = _padding(call, kernel, stride, dilation)
    ceil = bool(call.integer("ceil_mode", 0))
    graph, name = call.graph, call.name
    if axes == 2 and kind == "max":  # noqa: PLR2004
        return graph.max_pool(x, kernel, stride, padding, dilation, ceil, name)
    if axes == 2:  # noqa: PLR2004
        with_pad = bool(call.integer("count_include_pad", 0))
        return graph.avg_pool(x, kernel, stride, padding, ceil, with_pad, dilation, name)
    return graph.pool(x, kind, kernel, stride, padding, dilation, ceil, name)


def _max_pool(call: Call) -> list[int | None]:
    call.need(1)
    made = _pool_over(call, "max", call.tensor(0))
    # The places of the maxima are written along with them.
    return [made, call.part(made, call.graph.shape(made)) if call.wants(1) else None]


def _avg_pool(call: Call) -> int | None:
    call.need(1)
    return _pool_over(call, "avg", call.tensor(0))


def _lp_pool(call: Call) -> int | None:
    """Take powers, their mean over the window, and a root."""
    call.need(1)
    powers = call.graph.element([call.tensor(0)], "pow", name=f"{call.name}.pow")
    pooled = _pool_over(call, "avg", powers)
    return call.graph.element([pooled], "pow", name=f"{call.name}.root")


def _global_pool(call: Call) -> int | None:
    call.need(1)
    x, shape = call.tensor(0), call.shape(0)
    kind = "max" if call.node.op_type == "GlobalMaxPool" else "avg"
    if kind == "avg" and len(shape) == _IMAGE_AXES:
        return call.graph.global_avg_pool(x, call.name)
    return call.graph.adaptive_pool(x, kind, [1] * (len(shape) - 2), call.name)


def _local_response_norm(call: Call) -> int | None:
    """Squares, their mean over neighbouring channels, a power, and a division."""
    call.need(1)
    x, shape, size = call.tensor(0), call.shape(0), call.integer("size", 1)
    graph, name = call.graph, call.name
    if len(shape) < 3 or size < 1:  # noqa: PLR2004
        return None
    rest = 1
    for extent in shape[2:]:
        rest *= extent
    squares = graph.element([x], "mul", shape, f"{name}.square")
    lines = graph.view(squares, [shape[0], 1, shape[1], rest], f"{name}.view")
    sides = ((size - 1) // 2, size - 1 - (size - 1) // 2, 0, 0)
    means = graph.avg_pool(lines, (size, 1), (1, 1), sides, name=f"{name}.pool")
    power = graph.element([means], "pow", name=f"{name}.pow")
    return graph.element([x, graph.view(power, shape)], "div", shape, name)


_RESIZES = {
    "cubic": ["interpolate_bicubic"] * 3,
    "linear": ["interpolate_linear", "interpolate_bilinear", "interpolate_trilinear"],
    "nearest": ["interpolate_nearest"] * 3,
}


def _resize(call: Call) -> int | None:
    call.need(1)
    shape, made = call.shape(0), call.made()
    mode = call.text("mode", "nearest")
    axes = sum(a != b for a, b in zip(shape, made, strict=True))
    if mode not in _RESIZES or axes > 3:  # noqa: PLR2004
        return None
    return call.element(_RESIZES[mode][max(axes, 1) - 1], call.tensor(0), made)


def _grid_sample(call: Call) -> int | None:
    call.need(2)
    mode = call.text("mode", "linear").removeprefix("bi")
    axes = len(call.shape(0)) - 2
    if mode not in _RESIZES or not 1 <= axes <= 3:  # noqa: PLR2004
        return None
    return call.element(_RESIZES[mode][axes - 1], [call.tensor(0), call.tensor(1)], call.made())


HANDLERS: dict[str, Handler] = {
    "AveragePool": _avg_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _deform_conv,
    "GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GridSample": _grid_sample,
    "LRN": _local_response_norm,
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
    "Resize": _resize,
    "Upsample": _resize,
}
MICROSOFT: dict[str, Handler] = {"FusedConv": _fused_conv}

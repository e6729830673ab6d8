"""Multiply-adds of forward pass and gradients against algorithms that do them, on random shapes.

Every operand holds ones, so that each multiply-add adds one to what it goes into: the sum of a
result is the number of multiply-adds that made it. Padding is part of the operand.
"""

import itertools
import math

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core

PASS = {name: code for code, name in enumerate(_core.PASSES)}


def rows_of(graph, node):
    """(pass, macs, activations read, weights read, written) of a node's rows in a step."""
    work = af.lower(graph, "eager", af.Training("none"))
    columns = (
        work.passes,
        work.macs,
        work.activations_read,
        work.weights_read,
        work.elements_written,
    )
    return [tuple(int(c[i]) for c in columns) for i in np.flatnonzero(work.node == node)]


def before(graph, shape, name=""):
    """A tensor with something trainable before it."""
    return graph.norm(graph.input(shape), "rms", name=name)


def windows(extent, kernel, stride, dilation):
    """For each tap, the slices of the image that it meets."""
    for tap in itertools.product(*map(range, kernel)):
        yield (
            tap,
            (
                ...,
                *(
                    slice(t * d, t * d + (n - 1) * s + 1, s)
                    for t, n, s, d in zip(tap, extent, stride, dilation, strict=True)
                ),
            ),
        )


def convolve(image, weights, extent, stride, dilation):
    """[b, g, i, ...] and [g, o, i, ...] to [b, g, o, ...]."""
    out = np.zeros((*image.shape[:2], weights.shape[1], *extent))
    for tap, window in windows(extent, weights.shape[3:], stride, dilation):
        out += np.einsum("bgi...,goi->bgo...", image[window], weights[(..., *tap)])
    return out


def scatter(out, weights, image_shape, stride, dilation):
    """[b, g, o, ...] and [g, o, i, ...] to [b, g, i, ...]."""
    image = np.zeros(image_shape)
    for tap, window in windows(out.shape[3:], weights.shape[3:], stride, dilation):
        image[window] += np.einsum("bgo...,goi->bgi...", out, weights[(..., *tap)])
    return image


def correlate(image, out, kernel, stride, dilation):
    """[b, g, i, ...] and [b, g, o, ...] to [g, o, i, ...]."""
    weights = np.zeros((image.shape[1], out.shape[2], image.shape[2], *kernel))
    for tap, window in windows(out.shape[3:], kernel, stride, dilation):
        met = image[window].reshape(*image.shape[:3], -1)
        weights[(..., *tap)] = np.einsum("bgip,bgop->goi", met, out.reshape(*out.shape[:3], -1))
    return weights


def draw_convolution(rng):
    axes = int(rng.integers(1, 4))
    draw = lambda low, high: rng.integers(low, high, axes).tolist()  # noqa: E731
    case = {
        "batch": int(rng.integers(1, 3)),
        "groups": int(rng.integers(1, 4)),
        "per_group": rng.integers(1, 4, 2).tolist(),
        "extent": draw(1, 6),
        "kernel": draw(1, 4),
        "stride": draw(1, 4),
        "dilation": draw(1, 3),
        "transposed": bool(rng.integers(2)),
        "bias": bool(rng.integers(2)),
    }
    if case["transposed"]:
        reach = [d * (k - 1) for d, k in zip(case["dilation"], case["kernel"], strict=True)]
        case["padding"] = np.repeat([int(rng.integers(r // 2 + 1)) for r in reach], 2).tolist()
        case["output_padding"] = [
            int(rng.integers(max(s, d)))
            for s, d in zip(case["stride"], case["dilation"], strict=True)
        ]
    else:
        case["padding"] = rng.integers(0, 3, 2 * axes).tolist()
        for i, (d, k) in enumerate(zip(case["dilation"], case["kernel"], strict=True)):
            before_after = sum(case["padding"][2 * i : 2 * i + 2])
            case["extent"][i] = max(case["extent"][i], d * (k - 1) + 1 - before_after)
        case["output_padding"] = [0] * axes
    return case


def pads(case):
    return np.add.reduceat(case["padding"], range(0, len(case["padding"]), 2)).tolist()


def arrays(case, fill):
    """Image, weights and output with padding: of a transposed one, the output has it."""
    batch, groups = case["batch"], case["groups"]
    c_in, c_out = case["per_group"]
    reach = [d * (k - 1) + 1 for d, k in zip(case["dilation"], case["kernel"], strict=True)]
    weights = fill((groups, c_out, c_in, *case["kernel"]))
    if case["transposed"]:
        grown = [
            (n - 1) * s + r + o
            for n, s, r, o in zip(
                case["extent"], case["stride"], reach, case["output_padding"], strict=True
            )
        ]
        return fill((batch, groups, c_in, *case["extent"])), weights, grown
    padded = [n + p for n, p in zip(case["extent"], pads(case), strict=True)]
    out = [(n - r) // s + 1 for n, r, s in zip(padded, reach, case["stride"], strict=True)]
    return fill((batch, groups, c_in, *padded)), weights, out


def multiply_adds(case):
    """Of the forward pass, the input's gradient and the weights' gradient."""
    image, weights, extent = arrays(case, np.ones)
    stride, dilation, kernel = case["stride"], case["dilation"], case["kernel"]
    shape = (*image.shape[:2], case["per_group"][1], *extent)
    gradient = np.ones(shape)
    if case["transposed"]:
        swapped = weights.swapaxes(1, 2)
        return (
            scatter(image, swapped, shape, stride, dilation).sum(),
            convolve(gradient, swapped, case["extent"], stride, dilation).sum(),
            correlate(gradient, image, kernel, stride, dilation).sum(),
        )
    return (
        convolve(image, weights, extent, stride, dilation).sum(),
        scatter(gradient, weights, image.shape, stride, dilation).sum(),
        correlate(image, gradient, kernel, stride, dilation).sum(),
    )


def build_convolution(case):
    c_in, c_out = (case["groups"] * c for c in case["per_group"])
    graph = af.Graph("convolution")
    x = before(graph, [case["batch"], c_in, *case["extent"]])
    y = graph.conv(
        x,
        c_out,
        case["kernel"],
        case["stride"],
        case["padding"],
        case["dilation"],
        case["groups"],
        case["bias"],
        case["transposed"],
        case["output_padding"],
    )
    return graph, x, y


@pytest.mark.parametrize("seed", range(5))
def test_convolutions(seed):
    rng = np.random.default_rng(seed)
    for _ in range(260):
        case = draw_convolution(rng)
        graph, x, y = build_convolution(case)
        forward, of_input, of_weights = multiply_adds(case)
        c_in, c_out = case["per_group"]
        weights = case["groups"] * c_in * c_out * math.prod(case["kernel"])
        bias = case["groups"] * c_out * case["bias"]
        read, written = math.prod(graph.shape(x)), math.prod(graph.shape(y))
        assert rows_of(graph, y) == [
            (PASS["forward"], forward, read, weights + bias, written),
            (PASS["input_gradient"], of_input, written, weights, read),
            (PASS["weight_gradient"], of_weights, written + read, 0, weights + bias),
        ], case


def test_the_algorithms_are_torchs():
    torch = pytest.importorskip("torch", reason="the oracle of the oracle is torch")
    rng = np.random.default_rng(7)
    for _ in range(60):
        case = draw_convolution(rng)
        axes = len(case["kernel"])
        image, weights, extent = arrays(case, rng.standard_normal)
        groups, (c_in, c_out) = case["groups"], case["per_group"]
        x = torch.from_numpy(image.reshape(case["batch"], groups * c_in, *image.shape[3:]))
        options = {"stride": case["stride"], "dilation": case["dilation"], "groups": groups}
        if case["transposed"]:
            # [c_in, c_out / groups, ...], and no padding: the whole frame.
            w = torch.from_numpy(weights.swapaxes(1, 2).reshape(-1, c_out, *case["kernel"]).copy())
            function = getattr(torch.nn.functional, f"conv_transpose{axes}d")
            options["output_padding"] = case["output_padding"]
        else:
            w = torch.from_numpy(weights.reshape(-1, c_in, *case["kernel"]))
            function = getattr(torch.nn.functional, f"conv{axes}d")
        x.requires_grad_()
        w.requires_grad_()
        y = function(x, w, **options)
        gradient = rng.standard_normal((case["batch"], groups, c_out, *extent))
        y.backward(torch.from_numpy(gradient.reshape(y.shape)))
        step = (case["stride"], case["dilation"])
        if case["transposed"]:
            swapped = weights.swapaxes(1, 2)
            ours = (
                scatter(image, swapped, gradient.shape, *step),
                convolve(gradient, swapped, case["extent"], *step),
                correlate(gradient, image, case["kernel"], *step),
            )
        else:
            ours = (
                convolve(image, weights, extent, *step),
                scatter(gradient, weights, image.shape, *step),
                correlate(image, gradient, case["kernel"], *step),
            )
        for mine, theirs in zip(ours, (y.detach(), x.grad, w.grad), strict=True):
            np.testing.assert_allclose(mine.reshape(theirs.shape), theirs.numpy(), atol=1e-9)


def test_linear_layers():
    rng = np.random.default_rng(11)
    for _ in range(200):
        shape = rng.integers(1, 6, int(rng.integers(1, 5))).tolist()
        features, bias = int(rng.integers(1, 7)), bool(rng.integers(2))
        graph = af.Graph("linear")
        x = before(graph, shape)
        y = graph.linear(x, features, bias)
        image, weights = np.ones(shape), np.ones((features, shape[-1]))
        gradient = np.ones((*shape[:-1], features))
        forward = np.einsum("...i,oi->...o", image, weights).sum()
        of_input = np.einsum("...o,oi->...i", gradient, weights).sum()
        rows = image.reshape(-1, shape[-1]), gradient.reshape(-1, features)
        of_weights = np.einsum("ri,ro->oi", *rows).sum()
        params = weights.size + bias * features
        assert rows_of(graph, y) == [
            (PASS["forward"], forward, image.size, params, gradient.size),
            (PASS["input_gradient"], of_input, gradient.size, weights.size, image.size),
            (PASS["weight_gradient"], of_weights, gradient.size + image.size, 0, params),
        ]


def summed_to(array, shape):
    """The sum over the axes that were broadcast."""
    array = array.sum(tuple(range(array.ndim - len(shape))))
    broadcast = tuple(i for i, n in enumerate(shape) if n == 1 and array.shape[i] != 1)
    return array.sum(broadcast, keepdims=True)


def test_products_of_two_tensors():
    rng = np.random.default_rng(13)
    for _ in range(350):
        m, k, n = rng.integers(1, 6, 3).tolist()
        axes = rng.integers(1, 4, int(rng.integers(3))).tolist()
        left, right = ([d if rng.integers(3) else 1 for d in axes] for _ in range(2))
        del left[: int(rng.integers(len(axes) + 1))]
        graph = af.Graph("matmul")
        a, b = before(graph, [*left, m, k]), before(graph, [*right, k, n])
        c = graph.matmul(a, b)
        one, two = np.ones((*left, m, k)), np.ones((*right, k, n))
        product = one @ two
        gradient = np.ones_like(product)
        of_a = summed_to(gradient @ two.swapaxes(-1, -2), one.shape)
        of_b = summed_to(one.swapaxes(-1, -2) @ gradient, two.shape)
        assert rows_of(graph, c) == [
            (PASS["forward"], product.sum(), one.size, two.size, product.size),
            (PASS["input_gradient"], of_a.sum(), product.size, two.size, one.size),
            (PASS["input_gradient"], of_b.sum(), one.size, product.size, two.size),
        ]


def draw_attention(rng):
    batch, kv_heads, repeat = rng.integers(1, 3, 3).tolist()
    length, kv_length, depth, v_depth = rng.integers(1, 7, 4).tolist()
    return batch, kv_heads, repeat, length, kv_length, depth, v_depth


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal):
    rng = np.random.default_rng(17 + causal)
    for _ in range(200):
        batch, kv_heads, repeat, length, kv_length, depth, v_depth = draw_attention(rng)
        heads = kv_heads * repeat
        graph = af.Graph("attention")
        q = before(graph, [batch, heads, length, depth])
        k = before(graph, [batch, kv_heads, kv_length, depth])
        v = before(graph, [batch, kv_heads, kv_length, v_depth])
        y = graph.attention(q, k, v, causal=causal)
        seen = np.ones((length, kv_length))
        if causal:  # the last query sees the last key
            seen = np.tril(seen, kv_length - length)
        ones = {"q": np.ones((batch, heads, length, depth))}
        ones["k"] = np.ones((batch, heads, kv_length, depth))
        ones["v"] = np.ones((batch, heads, kv_length, v_depth))
        out = np.ones((batch, heads, length, v_depth))
        pairs = np.broadcast_to(seen, (batch, heads, length, kv_length))
        scores = np.einsum("bhld,bhmd,lm->", ones["q"], ones["k"], seen)
        mixed = np.einsum("bhlm,bhme->", pairs, ones["v"])
        of_v = np.einsum("bhlm,bhle->", pairs, out)
        of_p = np.einsum("bhle,bhme,lm->", out, ones["v"], seen)
        of_q = np.einsum("bhlm,bhmd->", pairs, ones["k"])
        of_k = np.einsum("bhlm,bhld->", pairs, ones["q"])
        for recompute in (False, True):
            work = af.lower(graph, "eager", af.Training("none", recompute_attention=recompute))
            at = np.flatnonzero(work.node == y)
            again = scores if recompute else 0
            assert work.macs[at].tolist() == [scores + mixed, again + of_v + of_p + of_q + of_k]
            assert work.passes[at].tolist() == [PASS["forward"], PASS["input_gradient"]]
            operands = sum(math.prod(graph.shape(t)) for t in (q, k, v))
            kept = batch * heads * length * (1 if recompute else kv_length)
            assert work.elements_written[at].tolist() == [out.size + kept, operands]
            read = operands + out.size + kept + (out.size if recompute else 0)
            assert (work.activations_read + work.weights_read)[at][1] == read

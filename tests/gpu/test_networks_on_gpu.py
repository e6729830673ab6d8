"""Whole networks on hardware: launched one by one, as a graph, and in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import alphaflops as af
from alphaflops.cuda.driver import Driver
from alphaflops.cuda.nvml import open_watch
from alphaflops.measuring.cuda_network import CudaNetwork
from alphaflops.measuring.cuda_pool import random_bytes
from alphaflops.measuring.cuda_session import CudaSession

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
functional = torch.nn.functional

BOUNDS = {"fp32": 1e-5, "tf32": 3e-3, "fp16": 5e-3, "bf16": 4e-2}  # of all layers together
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
#: Tensors of a layer: the buffer's name and the shape.
Take = Callable[..., "torch.Tensor"]


def images() -> af.Graph:
    graph = af.Graph("images")
    x = graph.input((2, 3, 11, 9))
    a = graph.relu(graph.batch_norm(graph.conv2d(x, 16, 3, 2, 1, name="first")))
    b = graph.activation(graph.conv2d(a, 16, 3, 1, 1, groups=16, name="depthwise"), "relu6")
    c = graph.relu(graph.add(graph.conv2d(b, 16, bias=True, name="pointwise"), a))
    d = graph.activation(graph.conv2d(c, 24, 3, padding=1, groups=4, name="grouped"), "silu")
    e = graph.concat([graph.max_pool(c, 3, 1, 1), d])
    gate = graph.activation(graph.conv2d(graph.global_avg_pool(e), 40, name="gate"), "sigmoid")
    f = graph.avg_pool(graph.mul(e, gate), 2, 2)
    graph.linear(graph.flatten(graph.global_avg_pool(f)), 10, True, name="last")
    return graph


def images_in_float64(x: torch.Tensor, take: Take) -> torch.Tensor:
    def conv(x: torch.Tensor, name: str, c_out: int, size: int = 1, **options: int):
        c_in = x.shape[1] // options.get("groups", 1)
        w = take(name, "weights", c_out, size, size, c_in).permute(0, 3, 1, 2)
        bias = take(name, "bias", c_out) if name in ("first", "pointwise") else None
        return functional.conv2d(x, w, bias, padding=size // 2, **options)

    a = conv(x.permute(0, 3, 1, 2), "first", 16, 3, stride=2).relu()
    b = conv(a, "depthwise", 16, 3, groups=16).clamp(0, 6)
    c = (conv(b, "pointwise", 16) + a).relu()
    d = functional.silu(conv(c, "grouped", 24, 3, groups=4))
    e = torch.cat([functional.max_pool2d(c, 3, 1, 1), d], 1)
    gate = conv(e.mean((2, 3), keepdim=True), "gate", 40).sigmoid()
    f = functional.avg_pool2d(e * gate, 2, 2).mean((2, 3))
    return functional.linear(f, take("last", "weights", 10, 40), take("last", "bias", 10))


def tokens() -> af.Graph:
    graph = af.Graph("tokens")
    x = graph.input((2, 10, 64))
    qkv = graph.linear(graph.norm(x, "layer", name="norm"), 192, True, name="qkv")
    q, k, v = (graph.view(graph.part(qkv, [2, 10, 64]), [2, 2, 10, 32]) for _ in range(3))
    y = graph.view(graph.attention(q, k, v, causal=True), [2, 10, 64])
    x = graph.add(graph.linear(y, 64, name="project"), x)
    wide = graph.linear(graph.norm(x, "rms", name="second"), 96, name="wide")
    graph.add(graph.linear(graph.activation(wide, "gelu"), 64, name="narrow"), x)
    return graph


def tokens_in_float64(x: torch.Tensor, take: Take) -> torch.Tensor:
    def linear(x: torch.Tensor, name: str, c_out: int, bias: torch.Tensor | None = None):
        return functional.linear(x, take(name, "weights", c_out, x.shape[-1]), bias)

    scale, shift = take("norm", "weights", 64, sums=True), take("norm", "bias", 64)
    normed = functional.layer_norm(x, (64,), scale, shift)
    heads = linear(normed, "qkv", 192, take("qkv", "bias", 192)).view(2, 10, 3, 2, 32)
    q, k, v = heads.permute(2, 0, 3, 1, 4)
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    x = linear(y.reshape(2, 10, 64), "project", 64) + x
    scale = take("second", "weights", 64, sums=True)
    wide = linear(functional.rms_norm(x, (64,), scale, 1e-5), "wide", 96)
    return linear(functional.gelu(wide), "narrow", 64) + x


def halves() -> af.Graph:
    """Channels of an image taken apart and joined in another order; element by element."""
    graph = af.Graph("halves")
    x = graph.input((2, 16, 9, 7))
    a = graph.relu(graph.conv2d(x, 32, name="stem"))
    left, right = (graph.part(a, [2, 16, 9, 7]) for _ in range(2))
    side = graph.max_pool(graph.conv2d(x, 16, name="side"), 3, 1, 2, dilation=2)
    joined = graph.element([graph.concat([right, side, left])], "softplus")
    mean = graph.global_avg_pool(joined)
    centred = graph.element([mean, joined], "sub")
    scaled = graph.element([centred, graph.element([mean], "exp")], "div")
    y = graph.global_avg_pool(graph.element([scaled], "abs"))
    graph.linear(graph.flatten(y), 10, name="last")
    return graph


def halves_in_float64(x: torch.Tensor, take: Take) -> torch.Tensor:
    x = x.permute(0, 3, 1, 2)
    stem, side = (
        functional.conv2d(x, take(name, "weights", c_out, 16)[..., None, None])
        for name, c_out in (("stem", 32), ("side", 16))
    )
    left, right = stem.relu().chunk(2, dim=1)
    around = functional.pad(side, (2, 2, 2, 2), value=-torch.inf)
    joined = torch.cat([right, functional.max_pool2d(around, 3, 1, 0, 2), left], 1)
    joined = functional.softplus(joined)
    mean = joined.mean((2, 3), keepdim=True)
    scaled = (mean - joined) / mean.exp()
    return functional.linear(scaled.abs().mean((2, 3)), take("last", "weights", 10, 48))


def groups() -> af.Graph:
    """Two heads share keys, behind a mask; values are joined to what attention gives."""
    graph = af.Graph("groups")
    x = graph.input((2, 10, 64))
    q = graph.view(graph.linear(x, 128, name="q"), [2, 4, 10, 32])
    kv = graph.linear(x, 128, name="kv")
    keys, values = (graph.part(kv, [2, 10, 64]) for _ in range(2))
    k, v = (graph.view(each, [2, 2, 10, 32]) for each in (keys, values))
    mask = graph.view(graph.linear(x, 10, name="mask"), [2, 1, 10, 10])
    y = graph.view(graph.attention(q, k, v, mask), [2, 10, 128])
    graph.linear(graph.concat([y, values], axis=2), 16, name="last")
    return graph


def groups_in_float64(x: torch.Tensor, take: Take) -> torch.Tensor:
    def linear(x: torch.Tensor, name: str, c_out: int):
        return functional.linear(x, take(name, "weights", c_out, x.shape[-1]))

    q = linear(x, "q", 128).view(2, 10, 4, 32).transpose(1, 2)
    keys, values = linear(x, "kv", 128).chunk(2, dim=-1)
    k, v = (
        each.reshape(2, 10, 2, 32).transpose(1, 2).repeat_interleave(2, dim=1)
        for each in (keys, values)
    )
    mask = linear(x, "mask", 10)[:, None]
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    return linear(torch.cat([y.reshape(2, 10, 128), values], -1), "last", 16)


def recurrences() -> af.Graph:
    graph = af.Graph("recurrences")
    x = graph.input((2, 3, 24))
    x = graph.recurrent(x, "lstm", 16, layers=2, bidirectional=True, name="lstm")
    x = graph.recurrent(
        graph.recurrent(x, "gru", 13, name="gru"), "rnn", 32, bias=False, name="rnn"
    )
    x = graph.recurrent(x, "lstm", 24, bidirectional=True, projection=16, name="projected")
    graph.linear(x, 10, name="last")
    return graph


def recurrences_in_float64(x: torch.Tensor, take: Take) -> torch.Tensor:
    def run(x: torch.Tensor, layer: torch.nn.RNNBase, name: str) -> torch.Tensor:
        """Run a layer of PyTorch with weights that it names, one direction behind the other."""
        layer = layer.double()
        parts = {
            "weight_ih": ("tokens", "weights"),
            "bias_ih": ("tokens", "bias"),
            "weight_hh": ("states", "weights"),
            "bias_hh": ("states", "bias"),
            "weight_hr": ("states", "second_input"),
        }
        both = 2 if layer.bidirectional else 1
        own = dict(layer.named_parameters())
        for key, parameter in own.items():
            if key.endswith("_reverse"):
                continue
            part, _, number = key.rpartition("_l")
            kind, buffer = parts[part]
            step = f"{name}.{number}" + (".tokens" if kind == "tokens" else "")
            values = take(step, buffer, both, *parameter.shape)
            parameter.data = values[0]
            if layer.bidirectional:
                own[f"{key}_reverse"].data = values[1]
        with torch.inference_mode():
            return layer(x)[0]

    nn = torch.nn
    usual = {"batch_first": True}
    x = run(x, nn.LSTM(24, 16, 2, bidirectional=True, **usual), "lstm")
    x = run(run(x, nn.GRU(32, 13, **usual), "gru"), nn.RNN(13, 32, bias=False, **usual), "rnn")
    x = run(x, nn.LSTM(32, 24, bidirectional=True, proj_size=16, **usual), "projected")
    return functional.linear(x, take("last", "weights", 10, 32))


class Made:
    """A network on the driver, and what lies in its memory."""

    def __init__(self, driver: Driver, graph: af.Graph) -> None:
        session = CudaSession(driver, open_watch("none"), "hot")
        self.network = network = CudaNetwork(session, graph, seed=1)
        self.dtype = graph.dtype
        self._numbers = random_bytes(graph.dtype, 1 << 20, 1)
        self._result = int(np.prod(graph.shape(len(graph) - 1)))
        self._steps = {step.name: number for number, step in enumerate(network.steps)}
        shape = graph.shape(0)
        self._input = shape if len(shape) == 3 else tuple(shape[axis] for axis in (0, 2, 3, 1))

    def _tensor(self, raw: bytes, shape: tuple[int, ...], *, sums: bool) -> torch.Tensor:
        kind = torch.float32 if sums else _TYPES.get(self.dtype, torch.float32)
        values = torch.frombuffer(bytearray(raw), dtype=kind)[: int(np.prod(shape))]
        if self.dtype == "tf32" and not sums:  # what its units see
            values = ((values.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
        return values.reshape(shape).double()

    def take(self, name: str, buffer: str, *shape: int, sums: bool = False) -> torch.Tensor:
        number = self._steps[name]
        size = self.network.steps[number].parameters[buffer]
        raw = self.network._parameters.read(size, self.network._weights[number, buffer])
        return self._tensor(raw, shape, sums=sums or buffer == "bias")

    def _read(self, tensor: int, elements: int) -> bytes:
        item = 2 if self.dtype in _TYPES else 4
        return self.network._arena.read(elements * item, self.network._places[tensor])

    def input(self) -> torch.Tensor:
        return self._tensor(self._read(0, int(np.prod(self._input))), self._input, sums=False)

    def run(self, launch: Callable[[], object]) -> bytes:
        """Run on the numbers that were there first; return the bytes of the result."""
        self.network._arena.write(self._numbers)
        self.network._arena.repeat(self._numbers.nbytes)
        launch()
        return self._read(self.network._owner[self.network.steps[-1].output], self._result)

    def one_by_one(self) -> None:
        for program in self.network._programs:
            program.launch()

    def result(self, raw: bytes, shape: tuple[int, ...]) -> torch.Tensor:
        return self._tensor(raw, shape, sums=False)


@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize(
    ("build", "in_float64"),
    [
        *((images, images_in_float64), (halves, halves_in_float64)),
        *((tokens, tokens_in_float64), (groups, groups_in_float64)),
        (recurrences, recurrences_in_float64),
    ],
)
def test_networks_compute_what_they_should(
    driver: Driver,
    monkeypatch: pytest.MonkeyPatch,
    build: Callable[[], af.Graph],
    in_float64: Callable[[torch.Tensor, Take], torch.Tensor],
    dtype: str,
) -> None:
    monkeypatch.setenv("EMULATED_CUDA_MOST_THREADS", "1")  # emulated plans are timed, and not run
    made = Made(driver, build().with_dtype(dtype))
    monkeypatch.delenv("EMULATED_CUDA_MOST_THREADS")
    expected = in_float64(made.input(), made.take)
    plain = made.run(made.one_by_one)
    error = (made.result(plain, expected.shape) - expected).norm() / expected.norm()
    assert error <= BOUNDS[dtype], f"{float(error):.3g}"
    # The second pass of a graph finds its input as the first did.
    assert made.run(lambda: made.network.sample(2)) == plain
    assert made.run(lambda: made.network.sample_enqueued(1)) == plain

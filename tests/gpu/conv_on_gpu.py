"""One convolution of every pass on a GPU, beside the same in float64."""

from __future__ import annotations

import numpy as np
import torch
from poison import poisoned, wrote_beyond

from alphaflops._cuda_plan import Plan
from alphaflops.cuda.driver import Driver

BOUNDS = {"fp32": 1e-5, "tf32": 1e-3, "fp16": 1e-2, "bf16": 1e-2, "int8": 0.0}
_TYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": torch.int8,
}


#: In turn: those that chance alone hardly ever meets, and shapes of any kind between them.
_FAMILIES = ("any", "wide", "depthwise", "winograd", "image", "any", "depthwise", "any")


def random_sizes(random: np.random.Generator, turn: int) -> dict[str, int]:
    """Draw an odd shape: tails, groups, strides, dilation, padding that differs between sides."""

    def draw(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    groups = int(random.choice([1, 1, 1, 2, 4, 16]))
    depth, wide = (1, 1) if groups == 16 and draw(0, 1) else (draw(1, 40), draw(1, 40))
    if draw(0, 2) == 0:
        depth, wide = 8 * (1 + depth // 8), 8 * (1 + wide // 8)
    names = ("k_h", "k_w", "stride_h", "stride_w", "dilation_h", "dilation_w")
    window = dict(
        zip(names, [draw(1, 5), draw(1, 5), *(draw(1, 2) for _ in range(4))], strict=True)
    )
    family, most = _FAMILIES[turn % len(_FAMILIES)], 24
    if family == "wide":  # of more channels than a tile
        groups, depth, wide, most = 1, 8 * draw(1, 12), 8 * draw(16, 40), 8
        window |= {"k_h": draw(1, 3), "k_w": draw(1, 3)}
    elif family == "depthwise":
        groups, depth, wide = 4 * draw(1, 20), 1, 1
        side, stride = int(random.choice([3, 5, 7])), draw(1, 2)
        window = dict(zip(names, [side, side, stride, stride, 1, 1], strict=True))
    elif family == "winograd":  # where the dtype has it
        groups = 1
        window = dict(zip(names, [3, 3, 1, 1, 1, 1], strict=True))
    elif family == "image":
        groups, depth, wide = 1, draw(1, 4), 8 * draw(1, 8)
    sizes = window | {f"pad_{side}": draw(0, 2) for side in ("top", "bottom", "left", "right")}
    sizes |= {"batch": draw(1, 4), "groups": groups}
    sizes |= {"c_in": groups * depth, "c_out": groups * wide}
    for axis in "hw":
        sizes[f"{axis}_in"] = (sizes[f"k_{axis}"] - 1) * sizes[f"dilation_{axis}"] + draw(1, most)
    return sizes


def _numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    if dtype == "int8":
        return torch.from_numpy(random.integers(-127, 128, shape, np.int8))
    tensor = torch.from_numpy(random.standard_normal(shape)).to(_TYPES[dtype])
    if dtype == "tf32":  # what its ten bits hold, so that only the sums round
        bits = tensor.view(torch.int32)
        tensor = ((bits + 0x1000) & ~0x1FFF).view(torch.float32)
    return tensor


def _bytes(tensor: torch.Tensor) -> np.ndarray:
    return tensor.contiguous().view(torch.uint8).numpy().reshape(-1)


class Problem:
    """Random numbers for a shape, and what each pass makes of them in float64."""

    def __init__(self, sizes: dict[str, int], dtype: str, random: np.random.Generator) -> None:
        s = sizes
        self.sizes, self.dtype = sizes, dtype
        self._known: dict[tuple[str, bool, str], torch.Tensor] = {}  # every plan asks for the same
        depth = s["c_in"] // s["groups"]
        self.x = _numbers(random, (s["batch"], s["h_in"], s["w_in"], s["c_in"]), dtype)
        self.w = _numbers(random, (s["c_out"], s["k_h"], s["k_w"], depth), dtype)
        self.bias = _numbers(random, (s["c_out"],), "fp32")
        if dtype == "int8":
            self.bias = torch.from_numpy(random.integers(-999, 999, s["c_out"], np.int32))
        self.y = self._forward(self.x.double(), self.w.double())
        self.gradient = _numbers(random, tuple(self.y.shape), dtype)

    def _forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        s = self.sizes
        sides = [s[f"pad_{side}"] for side in ("left", "right", "top", "bottom")]
        padded = torch.nn.functional.pad(x.permute(0, 3, 1, 2), sides)
        out = torch.nn.functional.conv2d(
            padded,
            w.permute(0, 3, 1, 2),
            None,
            (s["stride_h"], s["stride_w"]),
            0,
            (s["dilation_h"], s["dilation_w"]),
            s["groups"],
        )
        return out.permute(0, 2, 3, 1)

    def expected(self, pass_: str, *, bias: bool, activation: str) -> torch.Tensor:
        """Return the pass's result in float64."""
        if (known := self._known.get((pass_, bias, activation))) is None:
            known = self._expected(pass_, bias=bias, activation=activation)
            self._known[pass_, bias, activation] = known
        return known

    def _expected(self, pass_: str, *, bias: bool, activation: str) -> torch.Tensor:
        if pass_ == "forward":
            y = self.y + self.bias.double() if bias else self.y
            limits = {"relu": (0, None), "relu6": (0, 6)}.get(activation)
            return y if limits is None else y.clamp(*limits)
        x, w = self.x.double().requires_grad_(), self.w.double().requires_grad_()
        self._forward(x, w).backward(self.gradient.double())
        return x.grad if pass_ == "input_gradient" else w.grad

    def error(
        self, driver: Driver, plan: Plan, pass_: str, *, bias: bool, activation: str
    ) -> float:
        """Run a plan; return its error's norm over the result's, infinite if it wrote elsewhere."""
        expected = self.expected(pass_, bias=bias, activation=activation)
        sums = torch.int32 if self.dtype == "int8" else _TYPES[self.dtype]
        size = expected.numel() * sums.itemsize
        room = {
            "input": _bytes(self.x),
            "weights": _bytes(self.w),
            "bias": _bytes(self.bias),
            "output_gradient": _bytes(self.gradient),
            "output": poisoned(size),
            "workspace": poisoned(plan.workspace_bytes),
        }
        memory = {}
        for name, numbers in room.items():
            memory[name] = driver.allocate(len(numbers))
            memory[name].write(numbers)
        program = driver.program([(plan, {name: m.address for name, m in memory.items()})])
        program.launch()  # not behind a blocking kernel: under a sanitizer launches wait
        for name, end in (("output", size), ("workspace", plan.workspace_bytes)):
            if wrote_beyond(memory[name], end):
                return float("inf")
        raw = torch.frombuffer(bytearray(memory["output"].read(size)), dtype=sums)
        got = raw.reshape(expected.shape).double()
        if not torch.isfinite(got).all():
            return float("inf")
        return float((got - expected).norm() / max(float(expected.norm()), 1e-30))

"""Attention, products, gates, concatenations and recurrences, beside the same in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from poison import poisoned, wrote_beyond

from alphaflops._cuda_plan import (
    PARTS,
    Plan,
    Target,
    attention_plans,
    matmul_plans,
    recurrent_plans,
    stream_plans,
)
from alphaflops.cuda.driver import Driver

TYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
_LAYERS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


@dataclass(frozen=True)
class Problem:
    """The plans that do it; what goes in and what comes out in float64, once they are asked for."""

    what: str
    dtype: str
    plans: list[Plan]
    make: Callable[[], tuple[dict[str, torch.Tensor], torch.Tensor]]

    @cached_property
    def numbers(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return self.make()

    def error(self, driver: Driver, plan: Plan) -> float:
        """Run a plan; return its error's norm over the result's, infinite if it wrote elsewhere."""
        (inputs, expected), kind = self.numbers, TYPES[self.dtype]
        size = expected.numel() * kind.itemsize
        room = {"output": poisoned(size), "workspace": poisoned(plan.workspace_bytes)}
        for name, tensor in inputs.items():
            room[name] = tensor.contiguous().view(torch.uint8).numpy().reshape(-1)
        memory = {}
        for name, numbers in room.items():
            memory[name] = driver.allocate(len(numbers))
            memory[name].write(numbers)
        driver.program([(plan, {name: m.address for name, m in memory.items()})]).launch()
        for name, end in (("output", size), ("workspace", plan.workspace_bytes)):
            if wrote_beyond(memory[name], end):
                return float("inf")
        raw = torch.frombuffer(bytearray(memory["output"].read(size)), dtype=kind)
        got = raw.reshape(expected.shape).double()
        if not torch.isfinite(got).all():
            return float("inf")
        return float((got - expected).norm() / max(float(expected.norm()), 1e-30))


def _numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.from_numpy(random.uniform(-1, 1, shape)).to(TYPES[dtype])


def matmul(random: np.random.Generator, target: Target, dtype: str) -> Problem:
    outer, inner = (int(random.integers(1, 4)) for _ in range(2))
    step = int(random.choice([1, 8]))
    rows, columns, depth = (step * int(random.integers(1, 200 // step)) for _ in range(3))
    sizes = {"outer": outer, "inner": inner, "rows": rows, "columns": columns, "depth": depth}
    sizes |= {"a_outer": inner * rows * depth, "a_inner": rows * depth, "a_row": depth}
    sizes |= {"b_outer": inner * depth * columns, "b_inner": depth * columns}
    sizes |= {"c_outer": inner * rows * columns, "c_inner": rows * columns, "c_row": columns}
    turned = bool(random.integers(2))
    sizes |= {"b_row": columns, "b_column": 1} if turned else {"b_row": 1, "b_column": depth}

    def make() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        a = _numbers(random, (outer, inner, rows, depth), dtype)
        b = _numbers(random, (outer, inner, depth, columns), dtype)
        inputs = {"input": a, "second_input": b if turned else b.transpose(2, 3)}
        return inputs, a.double() @ b.double()

    return Problem(f"matmul {sizes}", dtype, matmul_plans(sizes, target, dtype), make)


def attention(random: np.random.Generator, target: Target, dtype: str) -> Problem:
    batch, shared, group = (int(random.integers(1, 4)) for _ in range(3))
    heads, depth = shared * group, int(random.choice([20, 32, 64, 128]))
    length, more = int(random.integers(1, 200)), int(random.integers(0, 90))
    keys, causal, masked = length + more, bool(random.integers(2)), bool(random.integers(2))
    sizes = {"batch": batch, "heads": heads, "length": length, "kv_length": keys, "group": group}
    sizes |= {"depth": depth, "v_depth": depth}
    tensors = (("q", length, heads), ("k", keys, shared), ("v", keys, shared), ("y", length, heads))
    for name, n, of in tensors:
        row = of * depth  # heads side by side, as projections write them
        sizes |= {f"{name}_outer": n * row, f"{name}_inner": depth, f"{name}_row": row}
    if masked:
        sizes |= {"mask_outer": length * keys, "mask_inner": 0, "mask_row": keys}

    def make() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        q = _numbers(random, (batch, length, heads, depth), dtype)
        k, v = (_numbers(random, (batch, keys, shared, depth), dtype) for _ in range(2))
        inputs = {"input": q, "second_input": k, "third_input": v}
        mask = torch.zeros(1, 1, length, keys, dtype=torch.float64)
        if masked:
            added = _numbers(random, (batch, 1, length, keys), dtype)
            added[torch.from_numpy(random.uniform(size=added.shape) < 0.5)] = -torch.inf
            added[..., 0] = 0.0  # which every query sees
            inputs["mask"], mask = added, added.double()
        if causal:
            hidden = ~torch.ones(length, keys, dtype=torch.bool).tril(more)
            mask = mask.masked_fill(hidden, -torch.inf)
        q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
        k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
        expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return inputs, expected.transpose(1, 2)

    plans = attention_plans(sizes, target, dtype, causal)
    return Problem(f"attention causal={causal} {sizes}", dtype, plans, make)


def gate(random: np.random.Generator, target: Target, dtype: str) -> Problem:
    batch, pixels, channels = (int(random.integers(1, 100)) for _ in range(3))
    sizes = {"batch": batch, "h_in": pixels, "w_in": 1, "channels": channels}
    sizes |= {"second_blocks": batch, "second_repeats": pixels, "second_length": channels}

    def make() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        x = _numbers(random, (batch, pixels, channels), dtype)
        of_image = _numbers(random, (batch, 1, channels), dtype)
        return {"input": x, "second_input": of_image}, x.double() * of_image.double()

    plans = stream_plans("multiply", sizes, target, "fp32" if dtype == "tf32" else dtype)
    return Problem(f"gate {sizes}", dtype, plans, make)


def concat(random: np.random.Generator, target: Target, dtype: str) -> Problem:
    rows, step = int(random.integers(1, 3000)), int(random.choice([1, 4, 8]))
    widths = [step * int(random.integers(1, 12)) for _ in range(int(random.integers(1, PARTS + 1)))]
    sizes = {"batch": rows, "out_channels": sum(widths)}
    sizes |= {f"channels_{i}": width for i, width in enumerate(widths)}

    def make() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        parts = [_numbers(random, (rows, width), dtype) for width in widths]
        inputs = {f"part_{i}": part for i, part in enumerate(parts)}
        return inputs, torch.cat(parts, dim=1).double()

    plans = stream_plans("concat", sizes, target, "fp32" if dtype == "tf32" else dtype)
    return Problem(f"concat {sizes}", dtype, plans, make)


def recurrence(random: np.random.Generator, target: Target, dtype: str) -> Problem:
    cell, made = list(_LAYERS.items())[int(random.integers(len(_LAYERS)))]
    batch, length, directions = (int(random.integers(1, most)) for most in (20, 6, 3))
    hidden = int(random.choice([1, 8])) * int(random.integers(1, 12))
    projection = int(random.integers(0, 2)) * hidden // 2 if cell == "lstm" else 0
    sizes = {"batch": batch, "length": length, "directions": directions}
    sizes |= {"hidden": hidden, "projection": projection}

    def make() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell] * hidden
        state = projection or hidden
        x = _numbers(random, (batch, length, directions * gates), dtype)
        weights = _numbers(random, (directions, gates, state), dtype) / max(1, round(state**0.5))
        bias = _numbers(random, (directions, gates), "fp32")
        inputs = {"input": x, "weights": weights, "bias": bias}
        # Its weights of tokens pick the gates of a direction.
        options = {"bidirectional": directions == 2, "batch_first": True}
        if projection:
            options["proj_size"] = projection
        layer = made(directions * gates, hidden, **options)
        own = layer.double().state_dict()
        picked = torch.eye(directions * gates).reshape(directions, gates, -1)
        taken = {"weight_ih": picked, "bias_ih": torch.zeros(directions, gates)}
        taken |= {"weight_hh": weights, "bias_hh": bias}
        if projection:
            inputs["second_input"] = _numbers(random, (directions, projection, hidden), dtype) / 4
            taken["weight_hr"] = inputs["second_input"]
        for name, values in taken.items():
            for direction in range(directions):
                own[f"{name}_l0" + "_reverse" * direction].copy_(values[direction])
        with torch.inference_mode():
            return inputs, layer(x.double())[0]

    plans = recurrent_plans(cell, sizes, target, dtype)
    return Problem(f"{cell} {sizes}", dtype, plans, make)


KINDS = (matmul, attention, gate, concat, recurrence)

"""Every plan of attention, products, gates and concatenations on hardware, against float64."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from alphaflops._cuda_plan import PARTS, Plan, attention_plans, matmul_plans, stream_plans
from alphaflops.cuda.driver import Driver

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from conv_on_gpu import BOUNDS  # noqa: E402

_TYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
#: Problems of each kind and dtype.
SHAPES = int(os.environ.get("ALPHAFLOPS_TEST_SHAPES", "30"))
_GUARD = 512  # bytes after each buffer that is written


def _numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.from_numpy(random.uniform(-1, 1, shape)).to(_TYPES[dtype])


def _error(
    driver: Driver, plan: Plan, inputs: dict[str, torch.Tensor], expected: torch.Tensor, dtype: str
) -> float:
    """Run a plan; return its error's norm over the result's, infinite if it wrote elsewhere."""
    size = expected.numel() * _TYPES[dtype].itemsize
    room = {"output": np.full(size + _GUARD, 0xFF, np.uint8)}
    room["workspace"] = np.full(plan.workspace_bytes + _GUARD, 0xFF, np.uint8)
    for name, tensor in inputs.items():
        room[name] = tensor.contiguous().view(torch.uint8).numpy().reshape(-1)
    memory = {}
    for name, numbers in room.items():
        memory[name] = driver.allocate(len(numbers))
        memory[name].write(numbers)
    driver.program([(plan, {name: m.address for name, m in memory.items()})]).launch()
    for name, end in (("output", size), ("workspace", plan.workspace_bytes)):
        if memory[name].read(_GUARD, end) != b"\xff" * _GUARD:
            return float("inf")
    raw = torch.frombuffer(bytearray(memory["output"].read(size)), dtype=_TYPES[dtype])
    got = raw.reshape(expected.shape).double()
    if not torch.isfinite(got).all():
        return float("inf")
    return float((got - expected).norm() / max(float(expected.norm()), 1e-30))


def _matmul(random: np.random.Generator, driver: Driver, dtype: str) -> list[tuple[str, float]]:
    outer, inner = (int(random.integers(1, 4)) for _ in range(2))
    step = int(random.choice([1, 8]))
    rows, columns, depth = (step * int(random.integers(1, 200 // step)) for _ in range(3))
    sizes = {"outer": outer, "inner": inner, "rows": rows, "columns": columns, "depth": depth}
    a = _numbers(random, (outer, inner, rows, depth), dtype)
    b = _numbers(random, (outer, inner, depth, columns), dtype)
    sizes |= {"a_outer": inner * rows * depth, "a_inner": rows * depth, "a_row": depth}
    sizes |= {"b_outer": inner * depth * columns, "b_inner": depth * columns}
    sizes |= {"c_outer": inner * rows * columns, "c_inner": rows * columns, "c_row": columns}
    turned = bool(random.integers(2))
    sizes |= {"b_row": columns, "b_column": 1} if turned else {"b_row": 1, "b_column": depth}
    inputs = {"input": a, "second_input": b if turned else b.transpose(2, 3)}
    expected = a.double() @ b.double()
    return [
        (f"{plan.tile} {sizes}", _error(driver, plan, inputs, expected, dtype))
        for plan in matmul_plans(sizes, driver.info().target, dtype)
    ]


def _attention(random: np.random.Generator, driver: Driver, dtype: str) -> list[tuple[str, float]]:
    batch, shared, group = (int(random.integers(1, 4)) for _ in range(3))
    heads, depth = shared * group, int(random.choice([20, 32, 64, 128]))
    length, more = int(random.integers(1, 200)), int(random.integers(0, 90))
    keys, causal = length + more, bool(random.integers(2))
    sizes = {"batch": batch, "heads": heads, "length": length, "kv_length": keys, "group": group}
    sizes |= {"depth": depth, "v_depth": depth}
    inputs = {}
    for name, buffer, n, of in (
        *(("q", "input", length, heads), ("k", "second_input", keys, shared)),
        *(("v", "third_input", keys, shared), ("y", "", length, heads)),
    ):
        row = of * depth  # heads side by side, as projections write them
        sizes |= {f"{name}_outer": n * row, f"{name}_inner": depth, f"{name}_row": row}
        if buffer:
            inputs[buffer] = _numbers(random, (batch, n, of, depth), dtype)
    mask = torch.zeros(1, 1, length, keys, dtype=torch.float64)
    if random.integers(2):
        added = _numbers(random, (batch, 1, length, keys), dtype)
        added[torch.from_numpy(random.uniform(size=added.shape) < 0.5)] = -torch.inf
        added[..., 0] = 0.0  # which every query sees
        inputs["mask"], mask = added, added.double()
        sizes |= {"mask_outer": length * keys, "mask_inner": 0, "mask_row": keys}
    if causal:
        hidden = ~torch.ones(length, keys, dtype=torch.bool).tril(more)
        mask = mask.masked_fill(hidden, -torch.inf)
    q, *others = (x.double().transpose(1, 2) for x in list(inputs.values())[:3])
    k, v = (x.repeat_interleave(group, dim=1) for x in others)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    expected = expected.transpose(1, 2)
    return [
        (f"{plan.algorithm} causal={causal} {sizes}", _error(driver, plan, inputs, expected, dtype))
        for plan in attention_plans(sizes, driver.info().target, dtype, causal)
    ]


def _gate(random: np.random.Generator, driver: Driver, dtype: str) -> list[tuple[str, float]]:
    batch, pixels, channels = (int(random.integers(1, 100)) for _ in range(3))
    x = _numbers(random, (batch, pixels, channels), dtype)
    gate = _numbers(random, (batch, 1, channels), dtype)
    sizes = {"batch": batch, "h_in": pixels, "w_in": 1, "channels": channels}
    sizes |= {"second_blocks": batch, "second_repeats": pixels, "second_length": channels}
    inputs = {"input": x, "second_input": gate}
    stored = "fp32" if dtype == "tf32" else dtype
    return [
        (f"{plan.tile} {sizes}", _error(driver, plan, inputs, x.double() * gate.double(), dtype))
        for plan in stream_plans("multiply", sizes, driver.info().target, stored)
    ]


def _concat(random: np.random.Generator, driver: Driver, dtype: str) -> list[tuple[str, float]]:
    rows, step = int(random.integers(1, 3000)), int(random.choice([1, 4, 8]))
    widths = [step * int(random.integers(1, 12)) for _ in range(int(random.integers(1, PARTS + 1)))]
    parts = [_numbers(random, (rows, width), dtype) for width in widths]
    sizes = {"batch": rows, "out_channels": sum(widths)}
    sizes |= {f"channels_{i}": width for i, width in enumerate(widths)}
    inputs = {f"part_{i}": part for i, part in enumerate(parts)}
    expected = torch.cat(parts, dim=1).double()
    stored = "fp32" if dtype == "tf32" else dtype
    return [
        (f"{plan.tile} {sizes}", _error(driver, plan, inputs, expected, dtype))
        for plan in stream_plans("concat", sizes, driver.info().target, stored)
    ]


@pytest.mark.parametrize("run", [_matmul, _attention, _gate, _concat])
@pytest.mark.parametrize("dtype", list(_TYPES))
def test_every_plan_computes_what_it_should(
    driver: Driver,
    dtype: str,
    run: Callable[[np.random.Generator, Driver, str], list[tuple[str, float]]],
) -> None:
    random = np.random.default_rng(7)
    errors = [each for _ in range(SHAPES) for each in run(random, driver, dtype)]
    if not errors:
        pytest.skip(f"no plan does it in {dtype} on this GPU")
    wrong = [f"{what}: {error:.3g}" for what, error in errors if not error <= BOUNDS[dtype]]
    assert not wrong, f"{len(wrong)} of {len(errors)} runs:\n" + "\n".join(wrong[:10])

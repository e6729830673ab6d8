"""Order between host and device, graphs, devices, and launches with tensor maps and clusters."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from alphaflops._cuda_plan import Plan, conv_plans, probe_plans
from alphaflops.cuda.driver import open_driver
from alphaflops.cuda.native_driver import NativeDriver

pytest.importorskip("torch", reason="PyTorch is not installed")
sys.path.insert(0, str(Path(__file__).parents[2] / "gpu"))

from conv_on_gpu import BOUNDS, Problem

SIZE = 1000


def copying(driver: NativeDriver, source: int, target: int):
    plan = probe_plans("copy", driver.info().target, SIZE)[0]
    return driver.program([(plan, {"input": source, "output": target})])


def numbers(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(SIZE)


def test_the_device_reads_what_was_written_before(driver: NativeDriver) -> None:
    source, target = driver.allocate(SIZE), driver.allocate(SIZE)
    program = copying(driver, source.address, target.address)
    runs = (
        lambda: driver.hot([program], 1),
        lambda: driver.cold([program], [], 1),
        lambda: driver.enqueued([program], 1),
        lambda: driver.hot([driver.captured([program])], 1),
        program.launch,
    )
    for seed, run in enumerate(runs):
        source.write(numbers(seed))
        run()
        assert target.read(SIZE) == numbers(seed)
    pattern = np.arange(7, dtype=np.uint8)
    source.write(pattern)
    source.repeat(7)
    driver.hot([program], 1)
    assert target.read(SIZE) == np.resize(pattern, SIZE).tobytes()
    source.write(b"middle", 500)
    driver.hot([program], 1)
    assert target.read(6, 500) == b"middle"
    assert target.read(3) == bytes(range(3))


def test_programs_take_turns_and_run_so_many_times(driver: NativeDriver) -> None:
    memory = [driver.allocate(SIZE) for _ in range(4)]
    first, second, third = (copying(driver, a.address, b.address) for a, b in pairwise(memory))

    def passed(run) -> int:
        """How far the numbers came."""
        for each in memory:
            each.write(bytes(SIZE))
        memory[0].write(numbers(1))
        run()
        return sum(each.read(SIZE) == numbers(1) for each in memory[1:])

    assert passed(lambda: driver.captured([first, second, third]).launch()) == 3
    assert passed(lambda: driver.captured([third, second, first]).launch()) == 1
    assert passed(lambda: driver.captured([third, second, first], 2).launch()) == 2
    assert passed(lambda: driver.hot([first, second, third], 3)) == 3
    assert passed(lambda: driver.hot([first, second, third], 2)) == 2
    assert passed(lambda: driver.hot([third, second, first], 9)) == 3
    assert passed(lambda: driver.cold([second], [first], 1)) == 2
    assert passed(lambda: driver.enqueued([third, second, first], 6)) == 2


def test_times_are_of_what_is_timed(driver: NativeDriver) -> None:
    a, b = driver.allocate(SIZE), driver.allocate(SIZE)
    program = copying(driver, a.address, b.address)
    once_s = driver.hot([program], 1)
    assert once_s == pytest.approx(2e-6 + 64 * 4e-9 / 4, rel=0.2)  # the runtime's own clock
    assert driver.hot([program], 500) == pytest.approx(once_s, rel=1e-3)
    assert driver.cold([program], [program] * 3, 150) == pytest.approx([once_s] * 150, rel=1e-3)
    assert driver.hot([driver.captured([program], 20)], 3) == pytest.approx(20 * once_s, rel=1e-3)


def test_each_driver_says_which_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATED_CUDA_DEVICES", "2")
    own = []
    for device in (0, 1):
        driver = open_driver("native", device)
        memory = driver.allocate(SIZE)
        own.append((driver, memory, copying(driver, memory.address, memory.address)))
    for run in (
        lambda driver, program: driver.hot([program], 1),
        lambda driver, program: driver.cold([program], [], 1)[0],
        lambda driver, program: driver.enqueued([program], 1),
        lambda driver, program: driver.hot([driver.captured([program])], 1),
        lambda driver, program: 1.0 if program.launch() is None else 0.0,
    ):
        for driver, memory, program in own:  # the other device was the last
            memory.write(numbers(5))
            assert run(driver, program) > 0
            assert memory.read(SIZE) == numbers(5)


def test_a_program_keeps_its_shared_memory(driver: NativeDriver) -> None:
    plans: dict[str, dict[int, Plan]] = {}  # of a kernel, by what it needs beyond what all have
    for c_in in (8, 16, 24):
        for size in (3, 5, 7):
            sizes = {
                "batch": 1,
                "groups": 2,
                "c_in": 2 * c_in,
                "c_out": 16,
                "k_h": size,
                "k_w": size,
            }
            sizes |= {"h_in": 9, "w_in": 9}
            for plan in conv_plans(sizes, driver.info().target, "fp32"):
                for each in plan.launches:
                    if each.shared_bytes > 48 << 10 and len(plan.launches) == 1:
                        plans.setdefault(each.symbol, {})[each.shared_bytes] = plan
    most = max(plans.values(), key=len)
    assert len(most) > 1
    memory = {
        name: driver.allocate(1 << 20) for name in ("input", "weights", "output", "workspace")
    }
    addresses = {name: each.address for name, each in memory.items()}
    # The one that needs most first: what comes later must leave it that.
    programs = [driver.program([(most[size], addresses)]) for size in sorted(most, reverse=True)]
    assert driver.hot(programs, len(programs)) > 0


SHAPES = {  # with tensor maps of weights, of pixels and of results; pairs of blocks; a split depth
    "vector": {"batch": 2, "c_in": 64, "h_in": 9, "w_in": 9, "c_out": 136, "k_h": 3, "k_w": 3},
    "pointwise": {"batch": 3, "c_in": 64, "h_in": 10, "w_in": 10, "c_out": 256},
}


@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("dtype", ["tf32", "fp16", "bf16", "int8"])
def test_launches_with_tensor_maps(driver: NativeDriver, kind: str, dtype: str) -> None:
    names = ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups", "k_h", "k_w")
    sizes = {**dict.fromkeys(names, 1), **SHAPES[kind]}
    sizes |= dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), sizes["k_h"] // 2)
    problem = Problem(sizes, dtype, np.random.default_rng(3))
    plans = conv_plans(sizes, driver.info().target, dtype, "forward", "none", False)
    mapped = [plan for plan in plans if any(each.tensor_maps for each in plan.launches)]
    assert any(tuple(each.cluster) != (1, 1, 1) for plan in mapped for each in plan.launches)
    for plan in mapped[:6]:
        error = problem.error(driver, plan, "forward", bias=False, activation="none")
        assert error <= BOUNDS[dtype], f"{plan.tile}: {error:.3g}"

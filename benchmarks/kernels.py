"""Native convolution kernels beside oneDNN and PyTorch, beside the peak, and on two threads.

    python benchmarks/kernels.py [peers depthwise peak winograd threads ...] [--rounds 15]

    peers      every distinct convolution of ResNet-50, batch 1, fp32, one thread
    depthwise  every distinct depthwise convolution of MobileNetV2, the same way
    peak       shares of the probed arithmetic peak: fp32 with AVX-512 and AVX2, bf16, int8
    winograd   F(4x4, 3x3) against direct
    threads    two threads against one on layers above 100 MMACs

All run in one process on one processor. Contenders of a layer take turns in random order, for about
3 ms a turn; figures are medians over rounds of what was measured within a round, with [minimum,
maximum]. One thread is timed by the time it was on a processor, which leaves out what others ran
there meanwhile, though not what they did to the caches. Inputs, weights and biases are random and
the same for all; outputs are checked to agree. Everything stays in cache as far as it fits, for all
alike. Weights are packed beforehand. oneDNN comes from the wheels onednn-cpu-gomp and
onednn-devel-cpu-gomp, fetched with pip into the build folder; needs torch, CMake and a compiler.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when the OpenMP runtimes of oneDNN and PyTorch load

import argparse
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from contenders import (
    ONEDNN,
    REPOSITORY,
    Bench,
    Data,
    FromC,
    FromTorch,
    NoAlgorithmError,
    Shape,
    check,
)
from processors import busy_s

TWO_AT_ONCE = 1.9


def resnet50() -> list[Shape]:
    shapes = [Shape(3, 224, 64, 7, 2)]
    c_in, size = 64, 56
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            shapes += [Shape(c_in, size, width, 1), Shape(width, size, width, 3, stride)]
            if block == 0:
                shapes.append(Shape(c_in, size, 4 * width, 1, stride))
            size //= stride
            shapes.append(Shape(width, size, 4 * width, 1))
            c_in = 4 * width
    return list(dict.fromkeys(shapes))


def mobilenet_depthwise() -> list[Shape]:
    shapes = [Shape(32, 112, 32, 3, 1, 32)]
    c_in, size = 16, 112
    for c_out, blocks, first_stride in (
        (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1),
    ):  # fmt: skip
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            hidden = 6 * c_in
            shapes.append(Shape(hidden, size, hidden, 3, stride, hidden))
            c_in, size = c_out, size // stride
    return list(dict.fromkeys(shapes))


# ---- what is printed ----


def spread(values: np.ndarray, digits: int = 2) -> str:
    low, high = values.min(), values.max()
    return f"{np.median(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def best(times: dict[str, np.ndarray], names: list[str]) -> str:
    return min(names, key=lambda name: float(np.median(times[name])))


def table(heads: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(heads) + " |")
    print("| --- " * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


# ---- the five parts ----


def call_seconds(bench: Bench) -> dict[str, float]:
    """Time a layer that computes next to nothing."""
    data = Data(Shape(16, 1, 16, 1), "fp32", bench.rng)
    contenders: dict[str, FromC | FromTorch] = {"ours": bench.ours(data, "direct")}
    contenders |= {name: make() for name, make in bench.peers(data).items()}
    times, _ = bench.measure(contenders)
    return {name: float(np.median(each)) for name, each in times.items()}


def race(bench: Bench, shapes: list[Shape], algorithms: Callable[[Shape], list[str]]) -> None:
    """Ours against the best of the others, layer by layer."""
    rows, ratios, exact, plain, torch_ratios, less_call = [], [], [], [], [], []
    idle = call_seconds(bench)
    print("A call that computes next to nothing takes", end=" ")
    print(", ".join(f"{name} {each * 1e6:.2f} µs" for name, each in idle.items()) + "\n")
    for shape in shapes:
        data = Data(shape, "fp32", bench.rng)
        own = algorithms(shape)
        contenders: dict[str, FromC | FromTorch] = {a: bench.ours(data, a) for a in own}
        for name, make in bench.peers(data).items():
            try:
                contenders[name] = make()
            except (NoAlgorithmError, RuntimeError) as error:
                print(f"{name}, {shape}: {error}", file=sys.stderr)
        check(contenders, own[0])
        times, _ = bench.measure(contenders)
        others = [name for name in times if name not in own]
        ours, other = best(times, own), best(times, others)
        from_torch = best(times, [name for name in others if name.startswith("torch")])
        ratio = times[other] / times[ours]
        ratios.append(float(np.median(ratio)))
        without = best(times, [name for name in own if not name.startswith("winograd")])
        exact.append(float(np.median(times[other] / times[without])))
        plain.append(float(np.median(times[other] / times[own[0]])))
        torch_ratios.append(float(np.median(times[from_torch] / times[ours])))
        less_call.append((np.median(times[from_torch]) - idle[from_torch]) / np.median(times[ours]))
        rows.append([
            str(shape), f"{shape.macs / 1e6:.1f}", ours, f"{np.median(times[ours]) * 1e6:.1f}",
            other, f"{np.median(times[other]) * 1e6:.1f}", spread(ratio), f"{plain[-1]:.2f}",
            f"{torch_ratios[-1]:.2f}",
        ])  # fmt: skip
    heads = ["layer", "MMACs", "ours", "µs", "best other", "µs", "ratio [min, max]"]
    table([*heads, f"{algorithms(shapes[0])[0]} alone", "to PyTorch"], rows)
    for what, each in (
        ("best of ours to best other", ratios),
        ("best of ours but Winograd to best other", exact),
        (f"{algorithms(shapes[0])[0]} alone to best other", plain),
        ("best of ours to PyTorch", torch_ratios),
        ("best of ours to PyTorch less what an idle call takes", less_call),
    ):
        pairs = zip(each, map(str, shapes), strict=True)
        # A layer that takes no longer than an idle call has no time less that call's.
        known = [(ratio, shape) for ratio, shape in pairs if ratio > 0]
        if not known:
            continue
        mean = float(np.exp(np.mean([np.log(ratio) for ratio, _ in known])))
        of = "" if len(known) == len(each) else f" of {len(known)} layers"
        worst, where = min(known)
        print(f"{what}: geometric mean{of} {mean:.3f}, worst {worst:.2f} ({where})")
    print()


def peers(bench: Bench) -> None:
    def algorithms(shape: Shape) -> list[str]:
        winograd = shape.kernel == 3 and shape.stride == 1
        return ["direct", "gemm", *(["winograd4"] if winograd else [])]

    print("## ResNet-50, fp32, batch 1, one thread\n")
    race(bench, resnet50(), algorithms)


def depthwise(bench: Bench) -> None:
    print("## MobileNetV2's depthwise layers, fp32, batch 1, one thread\n")
    race(bench, mobilenet_depthwise(), lambda _: ["depthwise"])


PEAK_SHAPES = [Shape(64, 56, 64, 3), Shape(128, 28, 128, 3), Shape(1024, 14, 256, 1)]


def peak(bench: Bench) -> None:
    print("## Share of the probed peak, one thread\n")
    rows = []
    for dtype, isa in (
        ("fp32", "avx512"),
        ("fp32", "avx2"),
        ("bf16", "avx512"),
        ("int8", "avx512"),
    ):
        for shape in PEAK_SHAPES:
            data = Data(shape, dtype, bench.rng)
            contenders = {name: bench.ours(data, name, isa) for name in ("direct", "gemm")}
            before = functools.partial(bench.peak, dtype, isa)
            times, tops = bench.measure(contenders, before=before)
            top = tops.max(axis=1)
            shares = {name: 2 * shape.macs / each / top for name, each in times.items()}
            name = best(times, list(times))
            rate = 2 * shape.macs / np.median(times[name]) * 1e-9
            rows.append([dtype, isa, str(shape), name, f"{rate:.0f}"])
            rows[-1] += [f"{np.median(top) * 1e-9:.0f}"]
            rows[-1] += [spread(100 * shares[name], 1)]
            rows[-1] += [spread(100 * shares["direct"], 1), spread(100 * shares["gemm"], 1)]
    heads = ["dtype", "isa", "layer", "best", "Gop/s", "peak", "best %", "direct %", "gemm %"]
    table(heads, rows)


def winograd(bench: Bench) -> None:
    print("## Winograd F(4x4, 3x3) against direct, fp32, one thread\n")
    rows = []
    for isa in ("avx512", "avx2"):
        for shape in (*PEAK_SHAPES[:2], Shape(256, 14, 256, 3), Shape(512, 7, 512, 3)):
            data = Data(shape, "fp32", bench.rng)
            names = ("direct", "winograd2", "winograd4")
            times, _ = bench.measure({name: bench.ours(data, name, isa) for name in names})
            rows.append([isa, str(shape), f"{np.median(times['direct']) * 1e6:.0f}"])
            rows[-1] += [spread(times["direct"] / times[name]) for name in names[1:]]
    table(["isa", "layer", "direct µs", "F2 speed-up", "F4 speed-up"], rows)


def threads(bench: Bench) -> None:
    print("## Two threads against one, fp32\n")
    print("By processor time: what one thread takes over the longer of what two threads take that")
    print(
        "run side by side, each timed by itself, without waiting. A round counts where, around and"
    )
    print(
        f"between its turns, two threads did {TWO_AT_ONCE} times the multiply-adds of one: virtual"
    )
    print("processors are at times two hardware threads of one core.\n")
    rows = []
    layers = [shape for shape in resnet50() if shape.macs > 100e6]
    layers += [Shape(64, 224, 64, 3), Shape(256, 56, 256, 3), Shape(512, 28, 512, 3)]
    for shape in layers:
        data = Data(shape, "fp32", bench.rng)
        kinds = ["gemm" if shape.kernel == 1 and shape.stride == 1 else "direct"]
        kinds += ["winograd4"] if shape.kernel == 3 and shape.stride == 1 else []
        for kind in kinds:
            contenders = {}
            for n in (1, 2):
                one = bench.ours(data, kind, threads=n, clock="wall")
                contenders |= {f"wall {n}": one, f"longest_part {n}": one.by("longest_part")}
            start, own, begin = busy_s(), time.process_time(), time.perf_counter()
            times, at_once = bench.measure(contenders, before=bench.two_at_once)
            took = time.perf_counter() - begin
            apart = at_once.min(axis=1) >= TWO_AT_ONCE
            used, stolen = busy_s() - start
            others = max(0.0, used - (time.process_time() - own)) / took
            rows.append([str(shape), f"{shape.macs / 1e6:.0f}", kind])
            rows[-1] += [
                spread((times[f"{clock} 1"] / times[f"{clock} 2"])[apart]) if apart.any() else "–"
                for clock in ("wall", "longest_part")
            ]
            rows[-1] += [f"{apart.sum()} of {len(apart)}"]
            rows[-1] += [f"{others:.2f}", f"{stolen / took:.2f}"]
    heads = ["layer", "MMACs", "algorithm", "by the wall's clock", "by processor time", "rounds"]
    table([*heads, "processors used by others", "stolen"], rows)


PARTS = {
    "peers": peers, "depthwise": depthwise, "peak": peak, "winograd": winograd, "threads": threads,
}  # fmt: skip


def hardware() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    fields = {name.strip(): value for name, value in fields.items()}
    name = fields.get("model name", "?")
    model = f"family {fields.get('cpu family')} model {fields.get('model')}"
    return f"{name}, {model}, {os.cpu_count()} processors; load {os.getloadavg()[0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build" / "benchmarks")
    options = parser.parse_args()
    chosen = options.parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    bench = Bench(options.build, options.rounds)
    torch.set_num_threads(1)
    processors = sorted(os.sched_getaffinity(0))
    print(f"{hardware()}; PyTorch {torch.__version__}, oneDNN wheel {ONEDNN}\n")
    for name in chosen:
        os.sched_setaffinity(0, processors if name == "threads" else processors[-1:])
        with torch.inference_mode():
            PARTS[name](bench)


if __name__ == "__main__":
    main()

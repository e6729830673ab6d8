"""Convolutions of this package on a GPU beside cuDNN's by way of PyTorch.

    python benchmarks/gpu_conv.py [--budget 60] [--csv FILE] [--plot FILE] [--peaks PROBE.json]

The distinct convolutions of ResNet-50, and the depthwise ones of MobileNetV2, at batch 1, 8 and 64,
in fp32, TF32 and fp16. PyTorch has cudnn.benchmark on, channels_last, and TF32 as the row says.
Both run hot, many calls as one CUDA graph. At batch 64 the best plan of every algorithm is timed as
well; with --peaks, what `alphaflops probe --backend cuda --json` printed, the largest layers are
set beside the pipe's peak. The CSV is written after every layer. Exit status 1 where the geometric
mean of cuDNN's time over ours at batch 64 is below 0.9 (fp32), 0.7 (TF32, fp16) or 1.0 (depthwise).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alphaflops as af
from alphaflops.cuda.driver import open_driver
from alphaflops.cuda.nvml import open_watch
from alphaflops.cuda.without import usable
from alphaflops.files import write_text
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.torch_cuda import captured
from alphaflops.measuring.torch_operators import import_torch
from alphaflops.measuring.torch_types import multiplying_in

BATCHES = (64, 8, 1)
DTYPES = ("fp32", "tf32", "fp16")
LIMITS = {"fp32": 0.9, "tf32": 0.7, "fp16": 0.7, "depthwise": 1.0}
_CALLS, _READINGS = 10, 5
_LARGE = 10  # layers
_HELD_CYCLES = 400_000  # about 0.2 ms

Attributes = dict[str, Any]


def layers() -> list[tuple[str, tuple[int, ...], Attributes]]:
    """Return set, shape of the input and attributes of every distinct convolution."""
    found: dict[str, tuple[str, tuple[int, ...], Attributes]] = {}
    for name, kind in (("resnet50", "resnet50"), ("mobilenet_v2", "depthwise")):
        graph = af.zoo.build(name)
        for node in range(len(graph)):
            if graph.node_op(node) != "conv2d":
                continue
            attributes = graph.node_attributes(node)
            if (kind == "depthwise") != (attributes["groups"] > 1):
                continue
            shape = graph.shape(graph.node_inputs(node)[0])
            found.setdefault(f"{kind} {shape} {attributes}", (kind, shape, attributes))
    return list(found.values())


def ours_s(session: CudaSession, shape: tuple[int, ...], attributes: Attributes, dtype: str):
    graph = af.Graph("one", dtype=dtype)
    options = {n: attributes[n] for n in ("kernel", "stride", "padding", "dilation", "groups")}
    graph.conv2d(graph.input(shape), attributes["c_out"], **options)
    bench = session.bench(graph)
    bench.warm_up()
    row = session.driver.captured([bench._program], _CALLS)
    session.driver.hot([row], 1)
    times = [session.driver.hot([row], 2) / _CALLS for _ in range(_READINGS)]
    return statistics.median(times), bench


def by_algorithm_s(session: CudaSession, bench: Any) -> dict[str, float]:
    """Seconds of the fastest plan of each algorithm."""
    (step,) = bench._steps
    addresses = bench._addresses(0, step)
    best: dict[str, float] = {}
    for plan in usable(step.plans):
        program = [session.driver.program([(plan, addresses)])]
        once_s = session.driver.hot(program, 1)
        if once_s < 4 * best.get(plan.algorithm, math.inf):
            taken = min(session.driver.hot(program, 3) for _ in range(3))
            best[plan.algorithm] = min(taken, best.get(plan.algorithm, math.inf))
    return best


def cudnn_s(shape: tuple[int, ...], attributes: Attributes, dtype: str) -> float:
    torch = import_torch()
    torch.backends.cudnn.benchmark = True
    torch.cuda.empty_cache()  # a graph's memory stays PyTorch's, and the driver is asked for ours
    top, _, left, _ = attributes["padding"]
    conv = torch.nn.Conv2d(
        shape[1],
        attributes["c_out"],
        attributes["kernel"],
        attributes["stride"],
        (top, left),
        attributes["dilation"],
        attributes["groups"],
        bias=False,
    )
    kind = torch.float16 if dtype == "fp16" else torch.float32
    conv = conv.to("cuda", kind, memory_format=torch.channels_last)
    x = torch.randn(shape, device="cuda", dtype=kind).to(memory_format=torch.channels_last)
    with torch.inference_mode(), multiplying_in(dtype):
        for _ in range(3):
            conv(x)
        replay = captured([lambda: conv(x)] * _CALLS, torch.cuda.Stream())
        replay()
        times = []
        for _ in range(_READINGS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(_HELD_CYCLES)  # the host is done before the device begins, as in ours
            begin.record()
            replay()
            replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e-3 / 2 / _CALLS)
    return statistics.median(times)


def macs_of(shape: tuple[int, ...], attributes: Attributes) -> int:
    graph = af.Graph("one")
    options = {n: attributes[n] for n in ("kernel", "stride", "padding", "dilation", "groups")}
    graph.conv2d(graph.input(shape), attributes["c_out"], **options)
    return int(af.lower(graph).macs.sum())


def run(budget_s: float, keep: Callable[[list[dict[str, Any]]], None]) -> list[dict[str, Any]]:
    """Time layers until the budget is spent, batch 64 first; a layer that fails says why."""
    driver = open_driver()
    session = CudaSession(driver, open_watch(driver.info().pci_bus), "hot")
    rows, start = [], time.monotonic()
    for batch in BATCHES:
        for dtype in DTYPES:
            for kind, shape, attributes in layers():
                if time.monotonic() - start > budget_s:
                    return rows
                shape = (batch, *shape[1:])  # noqa: PLW2901
                row = {
                    "set": kind,
                    "batch": batch,
                    "dtype": dtype,
                    "c_in": shape[1],
                    "size": shape[2],
                    "c_out": attributes["c_out"],
                    "kernel": attributes["kernel"][0],
                    "stride": attributes["stride"][0],
                    "groups": attributes["groups"],
                    "macs": macs_of(shape, attributes),
                }
                try:
                    row["ours_s"], bench = ours_s(session, shape, attributes, dtype)
                    row["plan"] = bench.chosen[0]
                    if batch == BATCHES[0]:
                        taken = by_algorithm_s(session, bench)
                        row |= {f"{name}_s": time_s for name, time_s in taken.items()}
                    row["cudnn_s"] = cudnn_s(shape, attributes, dtype)
                    row["ratio"] = row["cudnn_s"] / row["ours_s"]
                    row["tflops"] = 2e-12 * row["macs"] / row["ours_s"]
                except (af.Error, RuntimeError) as error:
                    row["error"] = str(error).splitlines()[0]
                    if isinstance(error, af.errors.BrokenContextError):
                        return [*rows, row]
                rows.append(row)
                keep(rows)
    return rows


def write(rows: list[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def beside_peaks(rows: list[dict[str, Any]], peaks: dict[str, float]) -> None:
    """Print what each algorithm reaches on the largest layers, as a share of the probed peak."""
    for dtype in (each for each in DTYPES if each in peaks):
        own = [r for r in rows if (r["dtype"], r["batch"]) == (dtype, BATCHES[0])]
        large = sorted(
            (r for r in own if r["set"] == "resnet50" and "ours_s" in r),
            key=lambda r: -r["macs"],
        )[:_LARGE]
        names = {n for r in large for n in r if n.endswith("_s") and n not in ("ours_s", "cudnn_s")}
        for name in (*sorted(names), "ours_s", "cudnn_s"):
            shares = [2 * r["macs"] / r[name] / peaks[dtype] for r in large if name in r]
            if shares:
                print(
                    f"{dtype} {name.removesuffix('_s')}: {100 * geometric(shares):.0f} % of the "
                    f"peak of {peaks[dtype] / 1e12:.0f} TFLOP/s over {len(shares)} large layers, "
                    f"{100 * max(shares):.0f} % at most"
                )


def geometric(ratios: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(r) for r in ratios)) if ratios else math.nan


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4))
    for dtype in DTYPES:
        mine = [r for r in rows if r["dtype"] == dtype and "ratio" in r]
        axes.plot([r["macs"] for r in mine], [r["ratio"] for r in mine], "o", ms=3, label=dtype)
    axes.axhline(1, color="grey", lw=0.5)
    axes.set(xscale="log", yscale="log", xlabel="MACs", ylabel="cuDNN's time / ours")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--peaks", type=Path, help="of alphaflops probe --backend cuda --json")
    options = parser.parse_args()
    torch = import_torch()
    keep = (lambda rows: None) if options.csv is None else (lambda rows: write(rows, options.csv))
    rows = run(options.budget, keep)
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, ", end="")
    print(f"cuDNN {torch.backends.cudnn.version()}, {time.strftime('%Y-%m-%d')}")
    missed = 0
    for kind in ("resnet50", "depthwise"):
        for dtype in DTYPES:
            for batch in BATCHES:
                own = [
                    r for r in rows if (r["set"], r["dtype"], r["batch"]) == (kind, dtype, batch)
                ]
                mean = geometric([r["ratio"] for r in own if "ratio" in r])
                failed = sum("error" in r for r in own)
                limit = LIMITS["depthwise" if kind == "depthwise" else dtype]
                short = batch == BATCHES[0] and not mean >= limit
                missed += short
                print(
                    f"{kind:9} {dtype:4} batch {batch:2}: cuDNN / ours {mean:.2f} over {len(own)} "
                    f"layers, {failed} failed{f'; wanted {limit}' if short else ''}"
                )
    for row in rows:
        if "error" in row:
            print(f"failed: {row['set']} {row['dtype']} batch {row['batch']}: {row['error']}")
    if options.peaks is not None and options.peaks.exists():
        beside_peaks(rows, json.loads(options.peaks.read_text())["peak_ops_per_s"])
    if options.plot is not None:
        plot(rows, options.plot)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

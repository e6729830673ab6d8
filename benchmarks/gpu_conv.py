"""Convolutions of this package on a GPU beside cuDNN's by way of PyTorch.

    python benchmarks/gpu_conv.py [--budget 60] [--csv FILE] [--plot FILE]

The distinct convolutions of ResNet-50, and the depthwise ones of MobileNetV2, at batch 1, 8 and 64,
in fp32, TF32 and fp16. PyTorch has cudnn.benchmark on, channels_last, and TF32 as the row says.
Both run hot, many calls as one CUDA graph. Exit status 1 where the geometric mean of cuDNN's time
over ours at batch 64 is below 0.9 (fp32), 0.7 (TF32, fp16) or 1.0 (depthwise).
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import alphaflops as af
from alphaflops.cuda.driver import open_driver
from alphaflops.cuda.nvml import open_watch
from alphaflops.measuring.cuda_session import CudaSession
from alphaflops.measuring.torch_operators import import_torch

BATCHES = (64, 8, 1)
DTYPES = ("fp32", "tf32", "fp16")
LIMITS = {"fp32": 0.9, "tf32": 0.7, "fp16": 0.7, "depthwise": 1.0}
_CALLS, _READINGS = 10, 5
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
    captured = session.driver.captured([bench._program], _CALLS)
    session.driver.hot([captured], 1)
    times = [session.driver.hot([captured], 2) / _CALLS for _ in range(_READINGS)]
    return statistics.median(times), bench.chosen[0]


def cudnn_s(shape: tuple[int, ...], attributes: Attributes, dtype: str) -> float:
    torch = import_torch()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
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
    with torch.inference_mode():
        for _ in range(3):
            conv(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(_CALLS):
                conv(x)
        graph.replay()
        times = []
        for _ in range(_READINGS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(_HELD_CYCLES)  # the host is done before the device begins, as in ours
            begin.record()
            graph.replay()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e-3 / 2 / _CALLS)
    return statistics.median(times)


def macs_of(shape: tuple[int, ...], attributes: Attributes) -> int:
    graph = af.Graph("one")
    options = {n: attributes[n] for n in ("kernel", "stride", "padding", "dilation", "groups")}
    graph.conv2d(graph.input(shape), attributes["c_out"], **options)
    return int(af.lower(graph).macs.sum())


def run(budget_s: float) -> list[dict[str, Any]]:
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
                    row["ours_s"], row["plan"] = ours_s(session, shape, attributes, dtype)
                    row["cudnn_s"] = cudnn_s(shape, attributes, dtype)
                    row["ratio"] = row["cudnn_s"] / row["ours_s"]
                    row["tflops"] = 2e-12 * row["macs"] / row["ours_s"]
                except (af.Error, RuntimeError) as error:
                    row["error"] = str(error).splitlines()[0]
                    if isinstance(error, af.errors.BrokenContextError):
                        return [*rows, row]
                rows.append(row)
    return rows


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
    options = parser.parse_args()
    torch = import_torch()
    rows = run(options.budget)
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
    if options.csv is not None:
        names = list(dict.fromkeys(name for row in rows for name in row))
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    if options.plot is not None:
        plot(rows, options.plot)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

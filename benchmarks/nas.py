"""Populations of a search space: what compiled spaces price a second, beside what else there is.

    python benchmarks/nas.py [PART ...] [--quick] [--rounds 15] [--bench-space FILE]

    fbnet     one metric and four, one thread, beside NumPy and a counter of layers in Python
    spaces    all cells of NAS-Bench-201; once-for-all with widths that depend on each other
    threads   two threads against one, by the wall's clock
    single    delta in Python and C++ (bench_space, built with ALPHAFLOPS_BENCHMARKS), compiling
    predict   a million rows of convolutions without a space
    scaling   nanoseconds a code from 10^3 to 10^8 codes (10^6 with --quick)
    memory    resident memory while codes of a file are priced: 10^8 (10^6)
    gpu       where there is one, and CuPy

All run in one process; contenders of a table take turns, and a ratio is the median over rounds of
ratios within a round. One thread is timed by the time it was on a processor. Figures are medians
with [minimum, maximum]. Needs nothing but alphaflops; once-for-all's own counter is used where the
package `ofa` is installed.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nas_peers import description, efficiency_model, layer_counter, numpy_versions
from numpy.typing import NDArray
from predict import ALPHA
from processors import Watch

import alphaflops as af
from alphaflops import _core
from alphaflops.measuring.device import describe_device, pinned

DEVICE = "quadro-t2000"
FOUR = ("time_s", "macs", "params", "bytes_read")
CHUNK_OF_FILE = 1 << 20


def spread(values: Iterable[float], digits: int = 1) -> str:
    each = np.array(list(values))
    low, high = each.min(), each.max()
    return f"{np.median(each):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(heads: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(heads) + " |")
    print("| --- " * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def in_turns(
    contenders: dict[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, NDArray[np.float64]]:
    """Return seconds [rounds] of each, after a turn that does not count."""
    for call in contenders.values():
        call()
    order = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in order.permutation(list(contenders)):
            start = clock()
            contenders[name]()
            times[name].append(clock() - start)
    return {name: np.array(each) for name, each in times.items()}


def fbnet(options: argparse.Namespace) -> None:
    compiled = af.spaces.fbnet().compile(DEVICE)
    n = 100_000 if options.quick else 1_000_000
    codes = compiled.space.sample(n, rng=0)
    peers_n = n // 10  # of others, which are slower
    counter, count = layer_counter()
    networks = [description(code) for code in codes[:300]]
    model = efficiency_model()
    print(f"## FBNet, 22 positions, one thread, {n:,} codes ({peers_n:,} for NumPy)\n")
    for metrics in (FOUR[:1], FOUR):
        out = compiled.evaluate(codes, metrics)
        contenders: dict[str, Callable[[], Any]] = {
            "compiled": lambda m=metrics, out=out: compiled.evaluate(codes, m, out=out)
        }
        sizes = {"compiled": n}
        expected = np.column_stack([out[metric][:1000] for metric in metrics])
        for name, price in numpy_versions(compiled, metrics).items():
            np.testing.assert_allclose(price(codes[:1000]), expected, rtol=1e-12)
            contenders[name] = lambda price=price: price(codes[:peers_n])
            sizes[name] = peers_n
        contenders[counter] = lambda: [count(network) for network in networks]
        sizes[counter] = len(networks)
        if model is not None:
            name = "once-for-all's Mbv3FLOPsModel, of its own space"
            contenders[name] = lambda: [model() for _ in range(20)]
            sizes[name] = 20
        times = in_turns(contenders, options.rounds)
        ns = {name: 1e9 * t / sizes[name] for name, t in times.items()}
        rows = [
            [name, f"{1e3 / np.median(t):.3g}", spread(t), spread(t / ns["compiled"])]
            for name, t in ns.items()
        ]
        print(f"{', '.join(metrics)}; once-for-all gives multiply-adds alone\n")
        table(["", "million a second", "ns a code", "times compiled"], rows)


def spaces(options: argparse.Namespace) -> None:
    print("## Other spaces, one metric, one thread\n")
    rows = []
    cells = getattr(af.spaces, "nasbench201", None)
    if cells is not None:
        space = cells()
        digits = np.indices([len(c) for c in space.choices]).reshape(space.positions, -1)
        rows.append(one_metric("NAS-Bench-201, all cells", space, digits.T, options.rounds))
    n = 100_000 if options.quick else 1_000_000
    blocks = getattr(af.spaces, "proxyless", None)
    if blocks is not None:
        space = blocks()
        rows.append(one_metric("ProxylessNAS", space, space.sample(n, rng=0), options.rounds))
    elastic = getattr(af.spaces, "ofa", None)
    for widths in ((), (0.75, 1.0, 1.25)) if elastic is not None else ():
        space = elastic(widths=widths)
        title = f"once-for-all, widths {widths or 'fixed'}"
        rows.append(one_metric(title, space, space.sample(n, rng=0), options.rounds))
    if not rows:
        print("This version ships neither NAS-Bench-201 nor once-for-all.\n")
        return
    heads = ["space", "positions", "tables, KiB", "codes", "ms", "million a second"]
    table(heads, rows)


def one_metric(title: str, space: Any, codes: NDArray[Any], rounds: int) -> list[str]:
    digits = np.ascontiguousarray(codes, dtype=np.uint8)
    compiled = space.compile(any_profile(space))
    out = compiled.evaluate(digits, ("time_s",))
    times = in_turns({"": lambda: compiled.evaluate(digits, ("time_s",), out=out)}, rounds)[""]
    rate = len(digits) / np.median(times) / 1e6
    return [
        title, str(space.positions), f"{compiled.nbytes / 1024:.0f}", f"{len(digits):,}",
        spread(1e3 * times, 2), f"{rate:.3g}",
    ]  # fmt: skip


def any_profile(space: Any) -> Any:
    """Return a profile that prices every kind of the space: what it says changes no work."""
    try:
        space.compile(DEVICE)
    except af.Error:
        rate = {"seconds_per_byte_read": 1e-11, "seconds_per_byte_written": 2e-11}
        head = {"pass": "forward", "dtype": "fp32", "form": "traffic", "parameters": rate}
        return af.Profile.from_dict(
            {
                "format": "alphaflops-profile",
                "version": _core.PROFILE_VERSION,
                "name": "benchmark",
                "provenance": {"backend": "none"},
                "models": [{"kind": kind, **head} for kind in _core.KINDS],
            }
        )
    return DEVICE


def threads(options: argparse.Namespace) -> None:
    compiled = af.spaces.fbnet().compile(DEVICE)
    print("## Two threads, FBNet, one metric, by the wall's clock\n")
    rows = []
    for n in (200_000,) if options.quick else (500_000, 4_000_000):  # in the last cache, beyond it
        codes = compiled.space.sample(n, rng=0)
        out = compiled.evaluate(codes, ("time_s",))
        watch = Watch()
        times = in_turns(
            {
                str(t): partial(compiled.evaluate, codes, ("time_s",), out=out, threads=t)
                for t in (1, 2)
            },
            max(3, options.rounds),
            time.perf_counter,
        )
        others, stolen = watch.read()
        gain = times["1"] / times["2"]
        rows.append(
            [f"{n:,}"]
            + [spread(n / times[t] / 1e6) for t in ("1", "2")]
            + [spread(gain, 2), f"{others:.2f}", f"{stolen:.2f}"]
        )
    heads = ["codes", "one: million a second", "two", "ratio", "used by others", "stolen"]
    table(heads, rows)


def single(options: argparse.Namespace) -> None:
    print("## One network, one mutation, compiling\n")
    space = af.spaces.fbnet()
    compiled = space.compile(DEVICE)
    code = space.sample(1, rng=0)[0]
    profile = af.load_profile(DEVICE)
    calls = 1000
    times = in_turns(
        {
            "delta, Python, ns": lambda: [compiled.delta(code, 7, 3) for _ in range(calls)],
            "compiling FBNet, ms": lambda: space.compile(profile),
        },
        options.rounds,
    )
    rows = [
        ["delta, Python, ns", spread(1e9 * times["delta, Python, ns"] / calls)],
        ["compiling FBNet, ms", spread(1e3 * times["compiling FBNet, ms"], 2)],
    ]
    if options.bench_space:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            profile.save(file.name)
            command = [options.bench_space, file.name]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        values = dict(line.split() for line in lines.splitlines())
        rows.append(["delta, C++, ns", values["delta_ns"]])
        rows.append(["one network, C++, ns", values["evaluate_one_ns"]])
    table(["", ""], rows)


def predict(options: argparse.Namespace) -> None:
    n = 100_000 if options.quick else 1_000_000
    print(f"## {n:,} convolutions of 3 x 3 without a space, form alpha, one thread\n")
    profile = af.Profile.from_dict(
        {
            "format": "alphaflops-profile",
            "version": _core.PROFILE_VERSION,
            "name": "benchmark",
            "provenance": {"backend": "none"},
            "models": [
                {
                    "kind": "conv_spatial",
                    "pass": "forward",
                    "dtype": "fp32",
                    "form": "alpha",
                    "parameters": ALPHA,
                }
            ],
        }
    )
    rng = np.random.default_rng(0)
    columns = {
        "batch": rng.choice([1, 2, 4, 8], n),
        "spatial": rng.integers(4, 113, n) ** 2,
        "kernel_volume": rng.choice([9, 25], n),
        "macs": rng.integers(10**6, 10**9, n),
    }

    def expression() -> NDArray[np.float64]:
        s = columns["batch"] * columns["spatial"]
        s_k = np.minimum(np.log(columns["kernel_volume"]) + 1, s)
        factor = ((s_k + ALPHA["beta"] * (s - s_k)) / s) ** ALPHA["gamma"]
        return ALPHA["seconds_per_mac"] * factor * columns["macs"]

    out = np.empty(n)
    rows = {
        "predict_rows": lambda: af.predict_rows(profile, "conv_spatial", columns, out=out),
        "predict_rows, a new array": lambda: af.predict_rows(profile, "conv_spatial", columns),
        "NumPy expression": expression,
    }
    np.testing.assert_allclose(expression(), rows["predict_rows"](), rtol=1e-9)
    times = in_turns(rows, options.rounds)
    ns = {name: 1e9 * t / n for name, t in times.items()}
    own = ns["predict_rows"]
    table(
        ["", "ns a row", "times predict_rows"],
        [[name, spread(t, 2), spread(t / own, 2)] for name, t in ns.items()],
    )


def scaling(options: argparse.Namespace) -> None:
    print("## Nanoseconds a code, FBNet, one metric, one thread, from how many codes\n")
    compiled = af.spaces.fbnet().compile(DEVICE)
    most = 6 if options.quick else 8
    block = compiled.space.sample(min(10**most, 10**6), rng=0)
    codes = np.tile(block, (10**most // len(block), 1))
    out = np.zeros(len(codes), [("time_s", np.float64)])
    rows = []
    for power in range(3, most + 1):
        n = 10**power
        repeats = max(1, 10**5 // n)

        def call(n: int = n, repeats: int = repeats) -> None:
            for _ in range(repeats):
                compiled.evaluate(codes[:n], ("time_s",), out=out[:n])

        rounds = options.rounds if power < 7 else 3
        times = in_turns({"": call}, rounds)[""]
        rows.append([f"10^{power}", spread(1e9 * times / (n * repeats), 2)])
    table(["codes", "ns a code"], rows)


MEASURED = """
import sys, numpy as np, alphaflops as af
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
space = af.spaces.fbnet(); compiled = space.compile({device!r})
compiled.evaluate(space.sample(1000, rng=0))
before = peak()
codes = np.memmap({codes!r}, np.uint8, "r", shape=({n}, space.positions))
out = np.memmap({out!r}, [("time_s", "f8")], "w+", shape=({n},))
compiled.evaluate(codes, ("time_s",), out=out)
print((peak() - before) / 1024, before / 1024)
"""


def memory(options: argparse.Namespace) -> None:
    n = 10**6 if options.quick else 10**8
    space = af.spaces.fbnet()
    with tempfile.TemporaryDirectory() as folder:
        codes, out = Path(folder) / "codes", Path(folder) / "out"
        block = space.sample(CHUNK_OF_FILE, rng=0)
        with codes.open("wb") as file:
            for first in range(0, n, CHUNK_OF_FILE):
                block[: n - first].tofile(file)
        script = MEASURED.format(device=DEVICE, codes=str(codes), out=str(out), n=n)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        more, before = map(float, done.stdout.split())
        costs = np.memmap(out, np.float64, "r")
        direct = space.compile(DEVICE).evaluate(block[:1000])
        np.testing.assert_array_equal(costs[:1000], direct)
        np.testing.assert_array_equal(costs.shape, (n,))
        np.testing.assert_array_less(0, costs[-1000:])
    print(f"## {n:,} codes from a file, costs to a file\n")
    print(f"{more:.0f} MiB more at the peak than the {before:.0f} MiB before (VmHWM)\n")


def gpu(options: argparse.Namespace) -> None:
    print("## GPU\n")
    try:
        import cupy  # noqa: PLC0415

        properties = cupy.cuda.runtime.getDeviceProperties(0)
    except Exception as error:
        print(f"Not measured: {str(error).splitlines()[0]}\n")
        return
    compiled = af.spaces.fbnet().compile(DEVICE)
    n = 10**7 if options.quick else 10**8
    codes = cupy.tile(cupy.asarray(compiled.space.sample(10**6, rng=0)), (n // 10**6, 1))
    attributes = cupy.cuda.Device(0).attributes  # CUDA 13 has no clock among the properties
    bandwidth = 2e3 * attributes["MemoryClockRate"] * attributes["GlobalMemoryBusWidth"] / 8
    rows = []
    for metrics in (FOUR[:1], FOUR):
        asked: Any = metrics[0] if len(metrics) == 1 else metrics
        out = compiled.evaluate(codes, asked)
        seconds = []
        for _ in range(options.rounds):
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            out = compiled.evaluate(codes, asked)
            end.record()
            end.synchronize()
            seconds.append(1e-3 * cupy.cuda.get_elapsed_time(begin, end))
        moved = n * (codes.shape[1] + 8 * len(metrics)) / np.median(seconds)
        rate = n / np.array(seconds) / 1e9
        rows.append([str(len(metrics)), spread(rate, 2), f"{100 * moved / bandwidth:.0f} %"])
        del out
    print(properties["name"].decode() + "\n")
    table(["metrics", "billion a second", "share of the memory's bandwidth"], rows)


PARTS = {
    part.__name__: part for part in (fbnet, spaces, threads, single, predict, scaling, memory, gpu)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="smaller populations, fewer rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--bench-space", type=Path, help="the C++ benchmark of one mutation")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    options.rounds = options.rounds or (5 if options.quick else 15)
    device = describe_device(None)
    print(f"{device['name']}, {device['isa']}, {datetime.date.today()}; profile {DEVICE}\n")
    for name in options.parts or PARTS:
        if name in ("threads", "memory", "gpu"):
            PARTS[name](options)
        else:
            with pinned():
                PARTS[name](options)


if __name__ == "__main__":
    main()

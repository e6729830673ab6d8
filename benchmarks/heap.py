"""What a heap in pieces costs a network in eager PyTorch, and what filling its holes gives back.

    python benchmarks/heap.py [--network mobilenet_v2] [--layout nchw] [--processes 3]

In a fresh process: the network by itself; then after hundreds of random operators, as a calibration
times them, were made and run; then with the heap's holes filled. Memory is the pages on which the
outputs of one pass lie.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

import numpy as np

from alphaflops import zoo
from alphaflops.measuring.backends import named
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import graphs_of
from alphaflops.measuring.torch_network import TorchNetwork
from alphaflops.measuring.torch_operators import import_torch

PAGE = 4096
_OPERATORS = 700


class _HeapAsItIs:
    def tidy(self) -> bool:
        """Leave it."""
        return False


def pages_of_outputs(network: TorchNetwork) -> int:
    """Return how many pages a network's modules write to in a pass."""
    pages: set[int] = set()

    def see(_: object, __: object, output: Any) -> None:
        first, size = output.data_ptr(), output.numel() * output.element_size()
        pages.update(range(first // PAGE, -(-(first + size) // PAGE)))

    with import_torch().nn.modules.module.register_module_forward_hook(see):
        network.run()
    return len(pages)


def one_process(name: str, layout: str) -> None:
    graph = zoo.build(name)
    with named("torch", layout=layout, threads=1, on="cpu").session() as session:
        heap, session.heap = session.heap, _HeapAsItIs()
        whole = TorchNetwork(graph, layout)
        network = session.timed(whole.run)

        def show(state: str) -> None:
            times_ms = [network.sample(1).time_s * 1e3 for _ in range(41)][1:]
            median, least = np.median(times_ms), min(times_ms)
            mib = pages_of_outputs(whole) * PAGE / 2**20
            print(f"  {state:28} {median:7.2f} ms, least {least:7.2f}; {mib:5.1f} MiB", flush=True)

        show("alone")
        operators = graphs_of(sample_shapes(_OPERATORS, mode="eager"))
        benches = [session.bench(each) for each in operators]
        calls = [session.iterations_for(bench.warm_up()) for bench in benches]
        for bench, n in zip(benches, calls, strict=True):
            bench.sample(n)
        show(f"after {len(benches)} operators")
        heap.tidy()
        show("with the heap's holes filled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="mobilenet_v2", metavar="NAME", choices=zoo.names())
    parser.add_argument("--layout", default="nchw", choices=["nchw", "channels_last"])
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one_process(options.network, options.layout)
        return
    device = named("torch", layout=options.layout, threads=1, on="cpu").device()
    print(f"{device['name']}, {device['compiler']}, {options.network}, {options.layout}")
    for _ in range(options.processes):
        process = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one"], check=False)
        if process.returncode:
            sys.exit(process.returncode)  # it has said why


if __name__ == "__main__":
    main()

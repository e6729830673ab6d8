"""MACs of ten networks as other counters have them, over the library's.

Each counter runs in a process of its own, as some leave patches behind. One that is not installed
is left out; `--thop-of-ultralytics` is a folder that `pip install --target` put that package in, as
it has the name of thop.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from agreement_networks import NETWORKS, Network
from torch import nn

import alphaflops as af


def torch_counter(module: nn.Module, x: torch.Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    with FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops() / 2


def fvcore(module: nn.Module, x: torch.Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis  # noqa: PLC0415

    count = FlopCountAnalysis(module, x)
    return float(count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def thop(module: nn.Module, x: torch.Tensor) -> float:
    from thop import profile  # noqa: PLC0415

    return float(profile(module, (x,), verbose=False)[0])


def ptflops(module: nn.Module, x: torch.Tensor) -> float:
    from ptflops import get_model_complexity_info  # noqa: PLC0415

    def inputs(_: object) -> torch.Tensor:
        return x

    macs, _ = get_model_complexity_info(
        module,
        tuple(x.shape[1:]),
        as_strings=False,
        print_per_layer_stat=False,
        input_constructor=inputs,
        backend="pytorch",
    )
    return float(macs)


def calflops(module: nn.Module, x: torch.Tensor) -> float:
    from calflops import calculate_flops  # noqa: PLC0415

    _, macs, _ = calculate_flops(
        module, args=[x], print_results=False, print_detailed=False, output_as_string=False
    )
    return float(macs)


def torchinfo(module: nn.Module, x: torch.Tensor) -> float:
    from torchinfo import summary  # noqa: PLC0415

    return float(summary(module, input_data=x, verbose=0, device="cpu").total_mult_adds)


def onnx_tool(module: nn.Module, x: torch.Tensor) -> float:
    import onnx_tool as tool  # noqa: PLC0415

    torch.backends.mha.set_fastpath_enabled(False)  # which has no ONNX operator
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.onnx")
        torch.onnx.export(module, (x,), path, dynamo=False, opset_version=17)
        model = tool.Model(path, {"verbose": False})
        model.graph.graph_reorder_nodes()
        model.graph.shape_infer(None)
        model.graph.profile()
        return float(model.graph.macs[0])


Counter = Callable[[nn.Module, torch.Tensor], float]
# The name in the table: the counter and the distribution whose version is given.
PEERS: dict[str, tuple[Counter, str]] = {
    "torch flop_counter": (torch_counter, "torch"),
    "fvcore": (fvcore, "fvcore"),
    "thop": (thop, "thop"),
    "ultralytics-thop": (thop, "ultralytics-thop"),
    "ptflops": (ptflops, "ptflops"),
    "calflops": (calflops, "calflops"),
    "torchinfo": (torchinfo, "torchinfo"),
    "onnx-tool": (onnx_tool, "onnx-tool"),
}


def count(network: Network, counter: Counter) -> float | str:
    try:
        with torch.no_grad():
            return counter(network.build(), network.input())
    except Exception as error:  # whatever a counter raises is its answer
        return f"{type(error).__name__}: {error}".splitlines()[0]


def run_peer(name: str) -> None:
    """Print what one counter says of every network, as JSON on the last line."""
    counter, distribution = PEERS[name]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = {label: count(network, counter) for label, network in NETWORKS.items()}
    print(json.dumps({"version": importlib.metadata.version(distribution), "macs": found}))


def answer_of(name: str, folder: str | None) -> dict[str, object] | None:
    environment = dict(os.environ)
    if name == "ultralytics-thop":
        if folder is None:
            return None
        environment["PYTHONPATH"] = os.pathsep.join(
            [folder, *filter(None, [environment.get("PYTHONPATH")])]
        )
    done = subprocess.run(
        [sys.executable, __file__, "--peer", name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def cell(macs: float | str, ours: int) -> str:
    if isinstance(macs, str):
        return "error"
    return "1" if macs == ours else f"{macs / ours:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", choices=PEERS, help="count with this one only, as JSON")
    parser.add_argument("--thop-of-ultralytics", metavar="FOLDER")
    options = parser.parse_args()
    if options.peer:
        run_peer(options.peer)
        return
    answers = {}
    for name in PEERS:
        answer = answer_of(name, options.thop_of_ultralytics)
        if answer is not None:
            answers[f"{name} {answer['version']}"] = answer["macs"]
    print(f"| network | MACs | {' | '.join(answers)} |")
    print("| --- " * (len(answers) + 2) + "|")
    for label, network in NETWORKS.items():
        ours = int(af.lower(network.graph()).macs.sum())
        cells = [cell(macs[label], ours) for macs in answers.values()]
        print(f"| {label} | {ours:,} | {' | '.join(cells)} |")
    for name, macs in answers.items():
        for label, found in macs.items():
            if isinstance(found, str):
                print(f"{name}, {label}: {found}", file=sys.stderr)


if __name__ == "__main__":
    main()

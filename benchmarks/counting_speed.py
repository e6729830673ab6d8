"""How long counting takes, beside other counters, on one thread.

    python benchmarks/counting_speed.py [--rounds 21] [NETWORK ...]

A module is on the processor, in inference mode, and counted at batch 1 as its user has it: an image
of 224 x 224, or 1024 tokens for gpt2. Every counter runs once before it is timed, and all take
turns; a built graph is counted 20 times a turn. Times are medians in milliseconds, with [5 %,
95 %]. Counters that are not installed are left out; those that run the forward do so on
the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import alphaflops as af
from alphaflops.measuring.device import describe_device

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import networks
import torch_models

_BUILT, _REPEATS = "alphaflops from a built graph", 20

MAKERS = {
    "mobilenet_v2": networks.NETWORKS["mobilenet_v2"],
    "resnet50": networks.NETWORKS["resnet50"],
    "vit_b_16": lambda: torch_models.ViT("sdpa"),
    "gpt2": torch_models.GPT,
}
TARGETS_MS = {  # what each network should take: from the module, from ONNX
    "mobilenet_v2": (60, 8),
    "resnet50": (60, 10),
    "gpt2": (100, None),
}


def macs(graph: af.Graph) -> int:
    return int(af.lower(graph).macs.sum())


def torch_counter(module: torch.nn.Module, x: torch.Tensor, device: str) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.to(device)(x.to(device))
    return counter.get_total_flops()


def fvcore(module: torch.nn.Module, x: torch.Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis  # noqa: PLC0415

    analysis = FlopCountAnalysis(module, x)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return analysis.total()


def thop(module: torch.nn.Module, x: torch.Tensor) -> float:
    from thop import profile  # noqa: PLC0415

    return profile(module, (x,), verbose=False)[0]


def ptflops(module: torch.nn.Module, x: torch.Tensor) -> float:
    from ptflops import get_model_complexity_info  # noqa: PLC0415

    return get_model_complexity_info(
        module,
        tuple(x.shape[1:]),
        input_constructor=lambda _: {"x" if x.is_floating_point() else "tokens": x},
        print_per_layer_stat=False,
        as_strings=False,
        backend="pytorch",
        verbose=False,
    )[0]


def torchinfo(module: torch.nn.Module, x: torch.Tensor) -> float:
    from torchinfo import summary  # noqa: PLC0415

    return summary(module, input_data=x, verbose=0).total_mult_adds


PEERS: dict[str, Callable[[torch.nn.Module, torch.Tensor], float]] = {
    "fvcore": fvcore,
    "thop": thop,
    "ptflops": ptflops,
    "torchinfo": torchinfo,
}


def installed(package: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version(package)
        return True
    return False


def contenders(name: str, folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name; a counter that cannot take the network is left out."""
    module = MAKERS[name]().eval().requires_grad_(False)
    x = torch.zeros(1, 1024, dtype=torch.long) if name == "gpt2" else torch.zeros(1, 3, 224, 224)
    with torch.device("meta"):
        on_meta = MAKERS[name]().eval()
    graph = af.from_torch(module, x)
    found: dict[str, Callable[[], object]] = {
        "alphaflops from_torch": lambda: macs(af.from_torch(module, x)),
        _BUILT: lambda: [macs(graph) for _ in range(_REPEATS)],
    }
    if name != "gpt2":
        path = folder / f"{name}.onnx"
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(on_meta.to_empty(device="cpu"), (x,), str(path), dynamo=False)
        without_weights = strip(path)
        found["alphaflops from ONNX, without weights"] = lambda: macs(af.load(without_weights))
        found["alphaflops from ONNX, with weights"] = lambda: macs(af.load(path))
    with torch.device("meta"):
        other = MAKERS[name]().eval()
    found["torch flop_counter, meta device"] = lambda: torch_counter(other, x, "meta")
    found["torch flop_counter"] = lambda: torch_counter(module, x, "cpu")
    for package, count in PEERS.items():
        if installed(package):
            found[package] = lambda count=count: count(module, x)
    return found


def strip(path: Path) -> Path:
    """Write the same model with its weights elsewhere, where they are not."""
    import onnx  # noqa: PLC0415

    model = onnx.load(path)
    stripped = path.with_name(f"{path.stem}-stripped.onnx")
    onnx.save(
        model,
        stripped,
        save_as_external_data=True,
        location=f"{path.stem}.data",
        size_threshold=1024,
    )
    path.with_name(f"{path.stem}.data").unlink()
    return stripped


def compare(name: str, rounds: int, folder: Path) -> None:
    found = contenders(name, folder)
    order = np.random.default_rng(0)
    times: dict[str, list[float]] = {}
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for label, count in list(found.items()):
            try:
                count()
            except Exception as error:
                print(f"{name} {label}: {type(error).__name__}: {error}", file=sys.stderr)
                del found[label]
        for _ in range(rounds):
            for i in order.permutation(len(found)).tolist():
                label, count = list(found.items())[i]
                start = time.perf_counter()
                count()
                calls = _REPEATS if label == _BUILT else 1
                times.setdefault(label, []).append((time.perf_counter() - start) / calls)
    from_module, from_onnx = TARGETS_MS.get(name, (None, None))
    targets = {
        "alphaflops from_torch": from_module,
        "alphaflops from ONNX, without weights": from_onnx,
        _BUILT: 0.05,
    }
    for label in found:
        low, center, high = np.percentile(times[label], [5, 50, 95]) * 1e3
        target = f"; wanted {targets[label]:g}" if targets.get(label) else ""
        print(f"{name:<13} {label:<39} {center:10.3f} [{low:.3f}, {high:.3f}]{target}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(MAKERS))
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = describe_device(None)
    versions = [f"torch {torch.__version__}"]
    versions += [f"{p} {importlib.metadata.version(p)}" for p in PEERS if installed(p)]
    print(f"device: {device['name']}, one thread; {', '.join(versions)}; ms, median [5 %, 95 %]")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            compare(name, options.rounds, Path(folder))


if __name__ == "__main__":
    main()

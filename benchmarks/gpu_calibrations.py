"""Calibrate a GPU with the cuda and the torch backend; whole networks beside each profile.

    python benchmarks/gpu_calibrations.py [--budget 60] [--json FILE] [--profile FILE] [NAME...]

Names are BACKEND-DTYPE: cuda-fp32, cuda-tf32, cuda-fp16, torch-fp32, torch-tf32; all of them where
left out. For each: the errors of the fit's held-out layers, of the forms `alpha` and
`roofline-alpha` on the same rows, of the published profile scaled to the same median, and of whole
networks, launched one by one and as a CUDA graph. Exit status 1 where one failed, or has fewer than
nine networks in ten within 10 %, or layers that err by more than 12 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

import alphaflops as af
from alphaflops import _core, zoo
from alphaflops.measuring.backends import Backend, named
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.torch_operators import import_torch
from alphaflops.scenarios.calibrate import POINTS
from alphaflops.table import work_table

NAMES = ("cuda-fp32", "cuda-tf32", "cuda-fp16", "torch-fp32", "torch-tf32")
FORMS = ("alpha", "roofline-alpha")
_ROUNDS = 7
_HELD_CYCLES = 400_000  # about 0.2 ms


def backend_of(name: str) -> tuple[Backend, str]:
    """Return the backend, and the dtype of the shapes."""
    kind, dtype = name.split("-")
    if kind == "cuda":
        return named("cuda"), dtype
    torch = import_torch()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    return named("torch", on="cuda", layout="channels_last"), "fp32"


def layer_errors(table: Any, seed: int) -> dict[str, Any]:
    """Return the mean error of each form, and of the published profile, on convolutions."""
    errors: dict[str, Any] = {}
    for form in FORMS:
        errors[form] = af.fit(table, form=form, seed=seed).errors
    published = af.load_profile("quadro-t2000")
    own = table[np.isin(table["op"], ["conv2d", "linear"])].copy()
    own["dtype"] = "fp32"
    predicted = _core.predict(work_table(own), published.core).time_s
    scale = np.median(own["time_s"] / predicted)
    errors["published, scaled"] = {
        "mape": float(np.mean(np.abs(scale * predicted / own["time_s"] - 1))),
        "scale": float(scale),
    }
    return errors


def networks(backend: Backend, profile: Any, dtype: str) -> list[dict[str, Any]]:
    """Time every network that the backend runs, by launches and as a graph, beside its price."""
    rows: list[dict[str, Any]] = []
    with backend.session() as session:
        for name in zoo.names(runnable=True):
            graph = zoo.build(name).with_dtype(dtype)
            try:
                predicted = _core.predict(_core.lower(graph, backend.mode), profile.core)
                network = session.network(graph, 0)
                times = {"network": _median(network.sample)}
                if hasattr(network, "sample_enqueued"):
                    times = {"graph": times["network"], "eager": _median(network.sample_enqueued)}
                elif backend.mode == "eager":
                    times = {"eager": times["network"], "graph": _captured_s(graph)}
            except (af.Error, RuntimeError) as error:
                rows.append({"name": name, "failed": str(error).splitlines()[0]})
                continue
            for how, measured_s in times.items():
                rows.append(
                    {
                        "name": name,
                        "launched": how,
                        "measured_s": measured_s,
                        "predicted_s": predicted.total_time_s,
                        "error": predicted.total_time_s / measured_s - 1,
                    }
                )
    return rows


def _median(sample: Any) -> float:
    sample(1)
    passes = max(1, round(0.005 / sample(1).time_s))
    return statistics.median(sample(passes).time_s for _ in range(_ROUNDS))


def _captured_s(graph: Any) -> float:
    """Seconds of a pass through a PyTorch network as one CUDA graph."""
    from alphaflops.measuring.torch_network import TorchNetwork  # noqa: PLC0415

    torch = import_torch()
    network = TorchNetwork(graph, "channels_last", "cuda", 0)
    with torch.inference_mode():
        for _ in range(3):
            network.run()
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            network.run()
        times = []
        for _ in range(_ROUNDS + 1):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(_HELD_CYCLES)  # the host is done before the device begins
            begin.record()
            captured.replay()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e-3)
    return statistics.median(times[1:])


def one(name: str, budget_s: float, profile_path: Path | None) -> dict[str, Any]:
    """Calibrate and validate one."""
    backend, dtype = backend_of(name)
    shapes = sample_shapes(POINTS[backend.mode], mode=backend.mode)
    shapes["dtype"] = dtype
    table = measure(shapes, backend=backend, budget_s=budget_s)
    fitted = af.fit(table, name=f"{name}", device=backend.device())
    if profile_path is not None:
        fitted.profile.save(profile_path.with_name(f"{profile_path.stem}-{name}.json"))
    rows = networks(backend, fitted.profile, dtype)
    errors = [abs(row["error"]) for row in rows if "error" in row]
    return {
        "name": name,
        "rows": len(table),
        "unstable": int(table["unstable"].sum()),
        "layers": fitted.errors,
        "other": layer_errors(table, seed=0),
        "networks": rows,
        "within_10pct": float(np.mean(np.array(errors) <= 0.10)) if errors else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each campaign")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path, help="save profiles as FILE-NAME.json")
    options = parser.parse_args()
    results, failed = [], 0
    for name in options.names:
        try:
            result = one(name, options.budget, options.profile)
        except Exception as error:
            traceback.print_exc()
            result = {"name": name, "failed": f"{type(error).__name__}: {error}"}
        results.append(result)
        within = result.get("within_10pct")
        failed += within is None or within < 0.9
        print(f"{name}: {result.get('rows')} rows, networks within 10 %: {within}", flush=True)
        for kind, error in (result.get("layers") or {}).items():
            print(f"  {kind}: {error}")
        for row in result.get("networks", ()):
            print(f"  {row}")
        if options.json is not None:
            stamped = {"date": time.strftime("%Y-%m-%d"), "calibrations": results}
            options.json.write_text(json.dumps(stamped, indent=1, default=str))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

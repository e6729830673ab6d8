"""Calibrate a GPU with the cuda and the torch backend; whole networks beside each profile.

    python benchmarks/gpu_calibrations.py [--budget 60] [--networks 40] [--out FOLDER] [NAME...]

Names are BACKEND-DTYPE: cuda-fp32, cuda-tf32, cuda-fp16, torch-fp32, torch-tf32, torch-fp16, and
torch-fp32-graph and so on, whose operators are timed as CUDA graphs; bf16 as well. All of the first
nine where left out. For each: the errors of the fit on held-out layers and on whole networks,
beside those of the forms `alpha` and `published` (the paper's beta and gamma, and one constant
fitted): the runnable networks at batch 1, five at batch 16, for `--networks` seconds. The folder
gets NAME.json (the profile), NAME.csv (what was measured), and calibrations.json after each.

Networks are run as they are launched where the profile's operators were: torch-* by the host,
torch-*-graph as a CUDA graph; of cuda-*, a CUDA graph is judged, and launches by the host are shown
beside it. Exit status 1 where one failed, has fewer than nine networks in ten within 10 %, or
layers (all kinds together) that err by more than 12 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import alphaflops as af
from alphaflops import zoo
from alphaflops.files import write_text
from alphaflops.measuring.backends import Backend, named
from alphaflops.measuring.batches import in_batches
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.scenarios.calibrate import POINTS, SEQUENCE_POINTS
from alphaflops.table import write_table

NAMES = (
    *("cuda-fp32", "cuda-tf32", "cuda-fp16", "torch-fp32", "torch-tf32", "torch-fp16"),
    *("torch-fp32-graph", "torch-tf32-graph", "torch-fp16-graph"),
)
BESIDE = ("alpha", "published")
_BATCH = 16  # of the reference networks, besides 1
_ROUNDS = 7
_WITHIN, _LAYERS = 0.9, 0.12  # networks within 10 %, and the mean error of layers


def backend_of(name: str) -> tuple[Backend, str]:
    """Return the backend, and the dtype of the shapes."""
    kind, dtype, *graph = name.split("-")
    if kind == "cuda":
        return named("cuda"), dtype
    how = {"layout": "channels_last", "cudnn_benchmark": True, "cuda_graph": bool(graph)}
    return named("torch", on="cuda", **how), dtype


def graphs(dtype: str) -> Iterator[Any]:
    """Yield networks, those that are usually looked at first."""
    others = [name for name in zoo.names() if name not in zoo.REFERENCE]
    for name, batch in (
        *((name, 1) for name in zoo.REFERENCE),
        *((name, _BATCH) for name in zoo.REFERENCE),
        *((name, 1) for name in others),
    ):
        yield name, batch, zoo.build(name, batch=batch, dtype=dtype)


def networks(
    backend: Backend, profiles: dict[str, Any], dtype: str, budget_s: float
) -> list[dict[str, Any]]:
    """Time networks beside what each profile says of them, while time lasts."""
    rows: list[dict[str, Any]] = []
    start = time.monotonic()
    judged = "graph_s" if backend.provenance().get("cuda_graph", 1) else "eager_s"
    with backend.session() as session:
        for name, batch, graph in graphs(dtype):
            row: dict[str, Any] = {"name": name, "batch": batch}
            rows.append(row)
            if time.monotonic() - start > budget_s:
                row["failed"] = "not reached: the time was up"
                continue
            try:
                for form, profile in profiles.items():
                    row[f"{form}_s"] = af.estimate(graph, profile, mode=backend.mode).time_s
                network = session.network(graph, 0)
                row[judged] = _median(network.sample)
                if hasattr(network, "sample_enqueued"):
                    row["eager_s"] = _median(network.sample_enqueued)
            except (af.Error, RuntimeError) as error:
                row["failed"] = str(error).splitlines()[0]
                if isinstance(error, af.errors.BrokenContextError):
                    raise
                continue
            row |= {f"{form}_error": row[f"{form}_s"] / row[judged] - 1 for form in profiles}
    return rows


def _median(sample: Any) -> float:
    sample(1)
    passes = max(1, round(0.005 / sample(1).time_s))
    return statistics.median(sample(passes).time_s for _ in range(_ROUNDS))


def one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Calibrate and validate one."""
    backend, dtype = backend_of(name)
    sequences = name.startswith("cuda")
    points = POINTS[backend.mode] + sequences * SEQUENCE_POINTS
    shapes = in_batches(sample_shapes(points, mode=backend.mode, sequences=sequences))
    shapes["dtype"] = dtype
    start = time.monotonic()
    table = measure(shapes, backend=backend, budget_s=options.budget)
    measured_s = time.monotonic() - start
    if options.out is not None:
        write_table(table, options.out / f"{name}.csv")
    device = backend.device()
    origin = {"compiler": device["compiler"], "budget_s": options.budget}
    fitted = af.fit(table, name=name, device=device, provenance=origin)
    fitted_s = time.monotonic() - start - measured_s
    if options.out is not None:
        fitted.profile.save(options.out / f"{name}.json")
    selected = fitted.forms[fitted.selected]
    profiles = {"selected": fitted.profile}
    profiles |= {form: fitted.forms[form].profile for form in BESIDE}
    rows = networks(backend, profiles, dtype, options.networks)
    errors = {
        form: np.abs([row[f"{form}_error"] for row in rows if f"{form}_error" in row])
        for form in profiles
    }
    return {
        "name": name,
        "device": device["name"],
        "rows": len(table),
        "unstable": int(table["unstable"].sum()),
        "seconds": {"measuring": measured_s, "fitting": fitted_s},
        "form": fitted.selected,
        "layers": {form: fit.cv.to_json() for form, fit in fitted.forms.items()},
        "kinds": {kind: error.to_json() for kind, error in selected.cv_by_kind.items()},
        "networks": rows,
        "within_10pct": {
            form: float(np.mean(each <= 0.10)) if len(each) else None
            for form, each in errors.items()
        },
    }


def said(result: dict[str, Any]) -> Iterator[str]:
    """Describe a result, a line each."""
    if "failed" in result:
        yield f"{result['name']}: {result['failed']}"
        return
    layers, within = result["layers"], result["within_10pct"]
    yield (
        f"{result['name']}: {result['rows']} rows ({result['unstable']} unstable), "
        f"{result['form']}: layers err by {layers[result['form']]['mape']:.1%} "
        f"(wanted {_LAYERS:.0%}), networks within 10 %: {within['selected']} (wanted {_WITHIN:.0%})"
    )
    for form in BESIDE:
        yield f"  {form}: layers {layers[form]['mape']:.1%}, networks within 10 %: {within[form]}"
    for row in result["networks"]:
        if "failed" in row:
            yield f"  {row['name']} batch {row['batch']}: {row['failed']}"
            continue
        how = {"graph_s": "graph", "eager_s": "by the host"}
        taken = ", ".join(f"{how[k]} {1e3 * row[k]:.3f} ms" for k in how if k in row)
        yield f"  {row['name']} batch {row['batch']}: {taken}, {row['selected_error']:+.1%}"


def is_good(result: dict[str, Any]) -> bool:
    """Whether the figures that were wanted are reached."""
    if "failed" in result or result["within_10pct"]["selected"] is None:
        return False
    layers = result["layers"][result["form"]]["mape"]
    return bool(result["within_10pct"]["selected"] >= _WITHIN and layers <= _LAYERS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each campaign")
    parser.add_argument("--networks", type=float, default=40.0, help="seconds of networks of each")
    parser.add_argument("--out", type=Path, help="a folder for profiles, tables and errors")
    options = parser.parse_args()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    path = None if options.out is None else options.out / "calibrations.json"
    earlier = json.loads(path.read_text())["calibrations"] if path and path.exists() else []
    results = {result["name"]: result for result in earlier}
    failed = 0
    for name in options.names:
        try:
            result = one(name, options)
        except Exception as error:
            traceback.print_exc()
            result = {"name": name, "failed": f"{type(error).__name__}: {error}"}
        results[name] = result
        failed += not is_good(result)
        print("\n".join(said(result)), flush=True)
        if path is not None:
            stamped = {"date": time.strftime("%Y-%m-%d"), "calibrations": list(results.values())}
            write_text(path, json.dumps(stamped, indent=1, default=str))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

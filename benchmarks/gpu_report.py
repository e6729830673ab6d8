"""What a run of gpu_suite.sh found, as the tables of docs/gpu.md; and the profile to ship.

    python benchmarks/gpu_report.py OUT [--profile FILE] [--name nvidia-h200] [--of torch]

Reads probe.json, conv.csv, repeat.json, energy.json and calibrations/ in OUT; what is missing is
left out, and said. With --profile, the profiles of one backend (torch, torch-graph or cuda), one of
each dtype, are written as one.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DTYPES = ("fp32", "tf32", "fp16", "bf16")
_FORMS = ("alpha", "published")


def table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def probes(found: dict[str, Any]) -> Iterator[str]:
    device = found["device"]
    yield f"### {device['name']}, what it can do at most ({found['path']})\n"
    rows = [
        [f"{dtype} multiply-adds", f"{rate / 1e12:,.0f} T{'OP' if dtype == 'int8' else 'FLOP'}/s"]
        for dtype, rate in found["peak_ops_per_s"].items()
    ]
    for name, key in (("memory, copied", "copy"), ("L2, read", "l2_read")):
        rows.append([name, f"{found[f'{key}_bytes_per_s'] / 1e9:,.0f} GB/s"])
    for name, key in (("the host", ""), ("a CUDA graph", "graph_"), ("the device", "device_")):
        rows.append([f"a launch, {name}", f"{found[f'launch_{key}s'] * 1e6:.2f} µs"])
    rows.append(["clock afterwards", f"{found['clock_hz'] / 1e6:,.0f} MHz"])
    yield from table(["", ""], rows)


def convolutions(rows: list[dict[str, str]]) -> Iterator[str]:
    yield "### Convolutions beside cuDNN's best: its time over ours, geometric mean\n"
    lines = []
    for kind, dtype in sorted({(row["set"], row["dtype"]) for row in rows}):
        line = [kind, dtype]
        for batch in ("1", "8", "64"):
            own = [r for r in rows if (r["set"], r["dtype"], r["batch"]) == (kind, dtype, batch)]
            ratios = [float(r["ratio"]) for r in own if r.get("ratio")]
            mean = math.exp(statistics.fmean(map(math.log, ratios))) if ratios else math.nan
            line.append(f"{mean:.2f} ({len(ratios)} of {len(own)})" if own else "")
        lines.append(line)
    yield from table(["layers", "dtype", "batch 1", "batch 8", "batch 64"], lines)


def calibrations(found: dict[str, Any]) -> Iterator[str]:
    yield f"### Calibrations ({found['date']})\n"
    heads = ["", "form", "rows", "layers, MAPE", *(f"{form}" for form in _FORMS)]
    heads += ["networks within 10 %", *_FORMS, "networks"]
    lines, failed = [], []
    for result in found["calibrations"]:
        if "failed" in result:
            failed.append(f"{result['name']}: {result['failed']}")
            continue
        layers, within = result["layers"], result["within_10pct"]
        shares = [within[form] for form in ("selected", *_FORMS)]
        run = sum("failed" not in row for row in result["networks"])
        lines.append(
            [
                *(result["name"], result["form"], str(result["rows"])),
                *(f"{layers[form]['mape']:.1%}" for form in (result["form"], *_FORMS)),
                *("" if share is None else f"{share:.0%}" for share in shares),
                f"{run} of {len(result['networks'])}",
            ]
        )
    yield from table(heads, lines)
    yield from (f"- failed: {line}" for line in failed)


def networks(found: dict[str, Any]) -> Iterator[str]:
    yield "### Whole networks: measured, and the prediction's error\n"
    results = [result for result in found["calibrations"] if "networks" in result]
    names = dict.fromkeys((r["name"], r["batch"]) for each in results for r in each["networks"])
    lines = []
    for name, batch in names:
        line = [name, str(batch)]
        for result in results:
            row = next(
                (r for r in result["networks"] if (r["name"], r["batch"]) == (name, batch)), {}
            )
            cell = ""
            if "selected_error" in row:
                measured_s = row["selected_s"] / (1 + row["selected_error"])
                cell = f"{1e3 * measured_s:.3f} ms, {row['selected_error']:+.0%}"
            line.append(cell)
        lines.append(line)
    yield from table(["network", "batch", *(result["name"] for result in results)], lines)


def repeats(found: dict[str, Any]) -> Iterator[str]:
    yield "### The same twice, and five per cent more\n"
    yield (
        f"{found['within_2pct']:.1%} of {found['shapes']} shapes within 2 % of a second process, "
        f"the median {found['median_moved']:.2%}; five per cent more work found in "
        f"{found['found']:.1%} of {found['trials']} trials, and in {found['false']:.1%} where "
        "there was none.\n"
    )


def energies(found: dict[str, Any]) -> Iterator[str]:
    yield "### Energy of a pass\n"
    lines = [
        [
            row["name"],
            f"{1e3 * row['measured_j']:.1f} mJ",
            f"{1e3 * row['measured_lo_j']:.1f} to {1e3 * row['measured_hi_j']:.1f}",
            f"{1e3 * row['idle_j']:.1f} mJ",
            f"{1e3 * row['measured_s']:.3f} ms",
        ]
        for row in found["networks"]
    ]
    yield from table(["network", "measured", "windows", "idle", "time"], lines)


def as_one(folder: Path, backend: str, name: str) -> Any:
    """Join the profiles of one backend, one of each dtype; fp32, or what is there, comes first.

    Raises
    ------
    SystemExit
        There are none.
    """
    import alphaflops as af  # noqa: PLC0415

    kind, *graph = backend.split("-")
    names = {dtype: "-".join((kind, dtype, *graph)) for dtype in DTYPES}
    paths = {dtype: folder / f"{each}.json" for dtype, each in names.items()}
    parts = {dtype: af.load_profile(p).data for dtype, p in paths.items() if p.exists()}
    if not parts:
        sys.exit(f"no profile of {backend} in {folder}; run the suite's calibrations")
    (first, data), *others = parts.items()
    data["name"] = name
    device = data["device"]["name"]
    data["description"] = f"{device}, {backend} backend, {', '.join(parts)}: gpu_suite.sh"
    data["provenance"]["dtypes"] = {first: _origin(data)}
    for dtype, more in others:
        data["models"] += more["models"]
        for field in ("errors", "standard_errors"):
            data[field] |= {f"{key}.{dtype}": value for key, value in more[field].items()}
        data["assumptions"] += [f"{dtype}: {text}" for text in more["assumptions"]]
        control = data.setdefault("control", {})
        for column, values in more.get("control", {}).items():
            control[column] = control.get(column, []) + values
        data["provenance"]["dtypes"][dtype] = _origin(more)
        data["out_of_scope"] = [k for k in data["out_of_scope"] if k in more["out_of_scope"]]
    return af.Profile.from_dict(data, name)


def _origin(data: dict[str, Any]) -> dict[str, Any]:
    return {key: data["provenance"][key] for key in ("points", "form", "created")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--profile", type=Path, help="write the profile to ship")
    parser.add_argument("--name", default="nvidia-h200")
    parser.add_argument("--of", default="torch", help="torch, torch-graph or cuda")
    options = parser.parse_args()
    calibrated = options.out / "calibrations" / "calibrations.json"
    parts = (
        (options.out / "probe.json", probes),
        (options.out / "conv.csv", convolutions),
        (options.out / "repeat.json", repeats),
        (calibrated, calibrations),
        (calibrated, networks),
        (options.out / "energy.json", energies),
    )
    there = {path: path.exists() and path.stat().st_size > 0 for path, _ in parts}
    if missing := [path.name for path, is_there in there.items() if not is_there]:
        print(f"Not there: {', '.join(missing)}.\n")
    for path, part in parts:
        if not there[path]:
            continue
        with path.open(newline="") as file:
            found = list(csv.DictReader(file)) if path.suffix == ".csv" else json.load(file)
        print("\n".join(part(found)))
    if options.profile is not None:
        as_one(options.out / "calibrations", options.of, options.name).save(options.profile)
        print(f"wrote {options.profile}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

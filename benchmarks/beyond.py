"""What bytes beyond the device's cache cost convolutions, and what their price is worth to a fit.

    python benchmarks/beyond.py [--budget 60]

First, native depthwise 3x3 convolutions of growing images, in MACs a second: all are alike but for
the bytes that they move. Then a calibration's rows are fitted twice: as they are, and without the
rows that move data, which are what tells the cache. Errors are on held-out rows.
"""

from __future__ import annotations

import argparse

import numpy as np

import alphaflops as af
from alphaflops.fitting.forms import MULTIPLYING, rows_of
from alphaflops.measuring.device import describe_device
from alphaflops.measuring.shapes import Shape, to_table
from alphaflops.table import work_table

FORMS = ("roofline-alpha", "tiled", "hybrid")
_CHANNELS, _EXTENTS = 96, (14, 20, 28, 34, 40, 48, 56, 68, 80, 96, 112)


def ladder(budget_s: float) -> None:
    shapes = [Shape("conv2d", _CHANNELS, e, _CHANNELS, 3, 1, 1, _CHANNELS) for e in _EXTENTS]
    table = af.measure(to_table(shapes), budget_s=budget_s)
    rows = rows_of(work_table(table))
    print(f"depthwise 3x3, {_CHANNELS} channels:")
    for row, moved, macs in zip(table, rows.bytes_moved, rows.macs, strict=True):
        speed = macs / row["time_s"] / 1e9
        print(f"  {row['h_in']:4} x {row['w_in']:<4} {moved / 1e6:6.2f} MB {speed:6.1f} GMAC/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the calibration")
    options = parser.parse_args()
    device = describe_device(None)
    print(f"device: {device['name']}, {device['isa']}")
    ladder(options.budget / 10)

    table = af.measure(af.sample_shapes(300), budget_s=options.budget)
    multiplies = np.isin(rows_of(work_table(table)).kind, MULTIPLYING)
    whole, alone = af.fit(table), af.fit(table[multiplies])
    sizes = {kind: p.get("cache_bytes") for kind, p in whole.parameters.items()}
    prices = {kind: p.get("seconds_per_byte_beyond", 0.0) for kind, p in whole.parameters.items()}
    found = {size for size in sizes.values() if size}
    print(f"cache: {', '.join(f'{size / 2**20:.2f} MiB' for size in found) or 'none'}")
    print("ps a byte beyond: " + ", ".join(f"{k} {1e12 * p:.0f}" for k, p in prices.items()))
    print(f"\n{'MAPE':14}" + "".join(f"{form + ', without, with':>36}" for form in FORMS))
    for kind in np.unique(rows_of(work_table(table)).kind[multiplies]).tolist():
        both = ((alone.forms[f].cv_by_kind[kind], whole.forms[f].cv_by_kind[kind]) for f in FORMS)
        cells = (f"{100 * a.mape:.1f} %, {100 * b.mape:.1f} %" for a, b in both)
        print(f"{kind:14}" + "".join(f"{cell:>36}" for cell in cells))


if __name__ == "__main__":
    main()

"""What a fit of kinds that move data finds on devices that have nothing to be found.

    python benchmarks/chance.py [--devices 100] [--noise 0.1]

Every device has one rate of bytes for all operators of a kind, and no cache; readings scatter. The
rows are those that calibrations time. Printed is on how many devices some kind gets more than that.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from alphaflops.fitting.forms import MOVING, predict_s, rows_of
from alphaflops.fitting.traffic import fit_traffic
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.table import work_table

DESIGNS = (("native", "fused_relu", 300), ("torch", "eager", 700))
RATES = {
    "seconds_per_byte_read": 2e-11,
    "seconds_per_byte_written": 3e-11,
    "floor_s": 1e-6,
    "sharpness": 3.0,
}
_FOUND = {"a cache": "cache_bytes", "factors": "op_factors", "a price of taps": "seconds_per_tap"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation of ln time")
    options = parser.parse_args()
    for name, mode, n in DESIGNS:
        counts: Counter[str] = Counter()
        for seed in range(options.devices):
            rows = rows_of(work_table(sample_shapes(n, mode=mode, seed=seed)))
            noise = options.noise * np.random.default_rng(seed).normal(size=len(rows))
            log_time = np.log(predict_s(rows, RATES)) + noise
            own = {kind: rows.kind == kind for kind in MOVING if kind in rows.kind}
            fits = fit_traffic({kind: (rows[i], log_time[i]) for kind, i in own.items()})
            for what, key in _FOUND.items():
                counts[what] += any(key in fit.parameters for fit in fits.values())
        said = ", ".join(f"{what}: {counts[what]}" for what in _FOUND)
        print(f"{name}, {n} rows, {len(own)} kinds: of {options.devices} devices, {said}")


if __name__ == "__main__":
    main()

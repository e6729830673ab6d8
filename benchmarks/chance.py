"""What a fit finds on devices that have nothing to be found.

    python benchmarks/chance.py [--devices 100] [--noise 0.1] [--convolutions 40]

Every device has one rate of bytes for all operators of a kind, and no cache; readings scatter. The
rows are those that calibrations time. Printed is on how many devices some kind gets more than that.

Then devices with a cache for what moves data, and none for what multiplies: on how many of them
some kind that multiplies gets a price for what is beyond it all the same.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from alphaflops.fitting.forms import MOVING, MULTIPLYING, predict_s, rows_of
from alphaflops.fitting.rich import CORES, Facts
from alphaflops.fitting.solve import fit_forms
from alphaflops.fitting.traffic import fit_traffic
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.scenarios.calibrate import POINTS
from alphaflops.table import work_table

DESIGNS = (("native", "fused_relu"), ("torch", "eager"))
RATES = {
    "seconds_per_byte_read": 2e-11,
    "seconds_per_byte_written": 3e-11,
    "floor_s": 1e-6,
    "sharpness": 3.0,
}
MAC_S = 1.5e-11
CACHE = {"seconds_per_byte_beyond": 3e-11, "cache_bytes": 2.0**21}
_FOUND = {"a cache": "cache_bytes", "factors": "op_factors", "a price of taps": "seconds_per_tap"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation of ln time")
    parser.add_argument("--convolutions", type=int, default=40, help="devices of the second sort")
    options = parser.parse_args()
    for name, mode in DESIGNS:
        n = POINTS[mode]
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
        if options.convolutions:
            counts = Counter(
                form
                for seed in range(options.convolutions)
                for form in priced_beyond(n, mode, seed, options.noise)
            )
            said = ", ".join(f"{form}: {counts[form]}" for form in CORES)
            print(
                f"  a price beyond a cache, of {options.convolutions} devices: {said}", flush=True
            )


def priced_beyond(n: int, mode: str, seed: int, noise: float) -> set[str]:
    """Return forms that price bytes beyond a cache for what multiplies, where it has none."""
    rows = rows_of(work_table(sample_shapes(n, mode=mode, seed=seed)))
    time_s = predict_s(rows, RATES | CACHE)
    multiplies = np.isin(rows.kind, MULTIPLYING)
    own = rows[multiplies]
    moved_s = RATES["seconds_per_byte_read"] * own.bytes_moved
    time_s[multiplies] = RATES["floor_s"] + MAC_S * own.macs + moved_s
    time_s *= np.exp(noise * np.random.default_rng(seed).normal(size=len(rows)))
    forms, _ = fit_forms(rows, time_s, facts=Facts("cpu", 1.0))
    return {
        form
        for form in CORES
        if any("cache_bytes" in forms[form][kind].parameters for kind in np.unique(own.kind))
    }


if __name__ == "__main__":
    main()

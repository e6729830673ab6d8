"""Print how far profiles from data sheets are off on published convolution times.

Before it, what shares of the peaks the devices reach: medians of arithmetic over convolutions with
kernels beyond 1x1 whose work takes 0.3 ms or more at the peak, and of bandwidth over those whose
bytes take longer than their arithmetic, and 50 us or more. `from_datasheet` takes about the mean of
the former and the geometric mean of the latter.

    python benchmarks/datasheet.py [--data FOLDER]

The folder is --data, what ALPHAFLOPS_DATA names, or ../shared/data beside the checkout. Peaks and
bandwidths are the manufacturers' for fp32.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

import alphaflops as af
from alphaflops.fitting import evaluate
from alphaflops.fitting.forms import rows_of
from alphaflops.table import Table, work_table

DEVICES = {
    "conv_tesla_t4": {"peak_flops": 8.1e12, "bandwidth": 320e9, "cores": 2560},
    "conv_gtx_1080ti": {"peak_flops": 11.3e12, "bandwidth": 484e9, "cores": 3584},
    "conv_quadro_t2000": {"peak_flops": 3.3e12, "bandwidth": 128e9, "cores": 1024},
}


def reached(table: Table, peak_flops: float, bandwidth: float) -> tuple[float, float]:
    """Return the median shares of peak arithmetic and of bandwidth."""
    rows, time_s = rows_of(work_table(table)), table["time_s"]
    compute_s = 2 * rows.macs / peak_flops
    memory_s = (rows.bytes_read + rows.bytes_written) / bandwidth
    large = (rows.kind == "conv_spatial") & (compute_s > 3e-4)
    moving = (memory_s > compute_s) & (memory_s > 5e-5)
    return (
        float(np.median((compute_s / time_s)[large])),
        float(np.median((memory_s / time_s)[moving])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALPHAFLOPS_DATA", beside))
    parser.add_argument("--data", type=Path, default=folder, help="folder of the CSV files")
    folder = parser.parse_args().data
    print("| device | rows | arithmetic | bandwidth | MAPE | rank | inside the interval |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, sheet in DEVICES.items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            print(f"{path} is not there; --data names the folder that has it")
            continue
        table = af.read_table(path, need_time=True)
        arithmetic, memory = reached(table, sheet["peak_flops"], sheet["bandwidth"])
        errors = evaluate(af.from_datasheet(name, **sheet), table)
        print(
            f"| {name.removeprefix('conv_')} | {errors.n} | {arithmetic:.0%} | "
            f"{memory:.0%} | {errors.mape:.0%} | "
            f"{errors.spearman:.2f} | {errors.coverage_90:.1%} |"
        )


if __name__ == "__main__":
    main()

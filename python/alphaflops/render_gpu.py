"""Tables of what a GPU does, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from alphaflops.measuring.cuda_probe import GpuPeaks

__all__ = ["gpu_probe_table"]


def gpu_probe_table(peaks: GpuPeaks) -> Table:
    """Lay out what ``probe_gpu`` found; what has no kernel on this GPU is not shown."""
    device = peaks["device"]
    table = Table(
        title=f"{device['name']}, compute capability {device['compute_capability']}, "
        f"{device['sm_count']} multiprocessors ({peaks['path']})",
        header_style="bold",
    )
    table.add_column("at most")
    table.add_column("", justify="right")
    for dtype, rate in peaks["peak_ops_per_s"].items():
        unit = "TOP/s" if dtype == "int8" else "TFLOP/s"
        table.add_row(f"{dtype} multiply-adds", f"{rate / 1e12:,.1f} {unit}")
    for name, rate in (
        ("memory, copied", peaks["copy_bytes_per_s"]),
        ("L2, read", peaks["l2_read_bytes_per_s"]),
    ):
        if rate:
            table.add_row(name, f"{rate / 1e9:,.0f} GB/s")
    for name, time_s in (
        ("launch, from the host", peaks["launch_s"]),
        ("launch, in a CUDA graph", peaks["launch_graph_s"]),
        ("launch, on the device", peaks["launch_device_s"]),
    ):
        if time_s:
            table.add_row(name, f"{time_s * 1e6:,.2f} µs")
    if peaks["clock_hz"]:
        table.add_row("clock afterwards", f"{peaks['clock_hz'] / 1e6:,.0f} MHz")
    if peaks["temperature_c"]:
        table.add_row("temperature", f"{peaks['temperature_c']:,.0f} °C")
    return table

"""A report as text: CSV for machines, Markdown and HTML for people."""

from __future__ import annotations

import csv
import html
import io
import math
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alphaflops import training_report
from alphaflops.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

    from alphaflops.report import Report


_LEAST_MS_S = 1e-5  # what is shorter is printed in microseconds
_LEAST_MILLIONS = 1e5  # what is less is printed as it is


class Column(NamedTuple):
    """A column of the report; the lower its rank, the narrower a terminal that still shows it."""

    title: str
    rank: int
    cell: Callable[[Any], str]


PRINTED = (
    Column("operator", 1, lambda r: str(r["operator"])),
    Column("pass", 0, lambda r: str(r["pass"]).replace("_", " ")),
    Column("shape", 2, lambda r: str(r["shape"])),
    Column("MMACs", 0, lambda r: f"{r['macs'] / 1e6:,.1f}"),
    Column("MFLOPs", 5, lambda r: f"{r['flops'] / 1e6:,.1f}"),
    Column("params", 4, lambda r: f"{r['params']:,}"),
    Column("MB", 3, lambda r: f"{(r['bytes_read'] + r['bytes_written']) / 1e6:,.2f}"),
    Column("α", 1, lambda r: _number(r["alpha"], ".3f")),
    Column("α-MMACs", 5, lambda r: _number(r["alpha_flops"] / 1e6, ",.2f")),
    Column("ms", 0, lambda r: _number(r["time_s"] * 1e3, ",.3f") + " *" * int(r["extrapolated"])),
    Column("interval", 2, lambda r: _interval_ms(r["time_lo_s"], r["time_hi_s"])),
    Column("share", 0, lambda r: _number(r["share"], ".1%")),
)


def printed_columns(report: Report) -> list[Column]:
    """Return the columns that a report has, beside the layer's name."""
    absent = set()
    if report.time_interval_s is None:
        absent.add("interval")
    if report.training is None:
        absent.add("pass")
    return [c for c in PRINTED if c.title not in absent]


def to_dict(report: Report) -> dict[str, Any]:
    """Totals, head and layers as plain Python values; NaN becomes None."""
    interval = report.time_interval_s
    layers = [{c: plain(row[c]) for c in report.COLUMNS} for row in report.layers]
    return {
        **report.head,
        "macs": report.macs,
        "flops": report.flops,
        "alpha_flops": None if math.isnan(report.alpha_flops) else report.alpha_flops,
        "params": report.params,
        "bytes_read": report.bytes_read,
        "bytes_written": report.bytes_written,
        "time_s": report.time_s,
        "time_interval_s": None if interval is None else list(interval),
        "energy_j": report.energy_j,
        "extrapolated_share": report.extrapolated_share,
        "reuse_bytes": report.reuse_bytes if math.isfinite(report.reuse_bytes) else None,
        "memory": training_report.describe_memory(report.memory, report.graph),
        "launches": report.launches,
        "passes": report.passes,
        "unpriced": report.unpriced,
        "notes": report.notes,
        "layers": layers,
    }


def to_text(report: Report) -> str:
    """Write the slowest layers as a table as wide as the terminal, and the totals."""
    from rich.console import Console  # noqa: PLC0415  (takes longer to load than pricing takes)

    from alphaflops.render import report_table  # noqa: PLC0415

    width = shutil.get_terminal_size((120, 24)).columns
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, force_jupyter=False)
    table = report_table(
        report, width=width, all_rows="report.layers", all_columns="report.to_csv()"
    )
    console.print(table)
    return file.getvalue().rstrip("\n")


def one_line(report: Report) -> str:
    """Write network, profile, time, MACs and parameters in one line."""
    return (
        f"Report({report.graph.name!r} on {report.profile.name!r}: {time_line(report)}, "
        f"{report.macs / 1e6:,.1f} MMACs, {report.params:,} parameters)"
    )


def to_csv(report: Report) -> str:
    """Write the layers as CSV, a header line first; SI units, empty where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(report.COLUMNS)
    for row in report.layers:
        values = [plain(row[column]) for column in report.COLUMNS]
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue()


def to_pandas(report: Report) -> pd.DataFrame:
    """Return the layers as a data frame."""
    try:
        import pandas as pd  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            'to_pandas needs pandas: pip install "alphaflops[pandas]"'
        ) from error
    return pd.DataFrame(report.layers)


def to_markdown(report: Report) -> str:
    """Write head, totals and layers as a GitHub-flavoured Markdown document."""
    header, rows = _printed(report)
    lines = [f"**{report.title}**", "", *(f"- {line}" for line in report.summary), ""]
    lines.append("| " + " | ".join(header) + " |")
    lines.append("|" + " --- |" * len(header))
    for row in rows:
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def to_html(report: Report) -> str:
    """Write head, totals and layers as one HTML fragment."""
    header, rows = _printed(report)
    out = [f"<h2>{html.escape(report.title)}</h2>", "<ul>"]
    out += [f"<li>{html.escape(line)}</li>" for line in report.summary]
    out += ["</ul>", "<table>", "<thead><tr>"]
    out += [f"<th>{html.escape(cell)}</th>" for cell in header]
    out += ["</tr></thead>", "<tbody>"]
    for row in rows:
        out.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
    return "\n".join([*out, "</tbody>", "</table>", ""])


def time_line(report: Report) -> str:
    """Write the time, and its interval where the profile has intervals."""
    per_s, unit = (1e3, "ms") if report.time_s >= _LEAST_MS_S else (1e6, "µs")
    time = f"time {report.time_s * per_s:.3f} {unit}"
    if (interval := report.time_interval_s) is not None:
        low, high = (f"{end * per_s:.3f}" for end in interval)
        time += f" ({report.profile.core.interval_level:.0%} interval {low} to {high} {unit})"
    return time


def summary(report: Report) -> list[str]:
    """Totals and notes, a line each."""
    counts = [_counted(report.macs, "MACs"), _counted(report.flops, "FLOPs")]
    if not np.isnan(report.alpha_flops):
        counts.append(f"{_counted(report.alpha_flops, ' α-FLOPs')} (in MACs)")
    lines = [
        time_line(report),
        ", ".join([*counts, f"{report.params:,} parameters"]),
        f"{_counted(report.bytes_read, 'B')} read, {_counted(report.bytes_written, 'B')} written",
        ", ".join(f"{n} {mode}" for mode, n in report.launches.items()).replace(
            " ", " launches ", 1
        )
        + f"; priced: {report.mode}",
    ]
    if (share := report.prediction.weight_share) < 1:
        after = f"used again after {report.reuse_bytes / 1e6:,.1f} MB"
        lines.append(f"weights, {after}, are read in {share:.0%} of the time from memory")
    lines += training_report.memory_lines(report.memory, report.graph, report.training)
    if report.training is not None:
        lines += training_report.pass_lines(report.passes)
    if report.energy_j is not None:
        lines.append(f"energy {report.energy_j * 1e3:,.3f} mJ")
    return lines + report.notes


def plain(value: Any) -> Any:
    """Return a NumPy scalar as a Python value, NaN as None."""
    python = value.item()
    return None if isinstance(python, float) and np.isnan(python) else python


def _printed(report: Report) -> tuple[list[str], list[list[str]]]:
    columns = printed_columns(report)
    rows = [[str(row["name"]), *(c.cell(row) for c in columns)] for row in report.layers]
    return ["layer", *(c.title for c in columns)], rows


def _number(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)


def _counted(count: float, unit: str) -> str:
    """Write a total in millions, or by itself where it is small."""
    if count >= _LEAST_MILLIONS:
        return f"{count / 1e6:,.1f} M{unit}"
    return f"{count:,.0f} {unit.strip()}"


def _interval_ms(low_s: float, high_s: float) -> str:
    return "–" if np.isnan(low_s) else f"{low_s * 1e3:,.3f} to {high_s * 1e3:,.3f}"

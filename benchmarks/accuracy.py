"""Print how far off the cost model is on published layer timings, and how far off it has to be.

    python benchmarks/accuracy.py [--data FOLDER] [--seeds 5] [--only NAME...] [--plots FOLDER]

Every form is fitted to some rows and tested on the rest: 300 random rows or 80 % of them, mean over
seeds; on the paper's data each line, and each experiment, is left out in turn. Figures are given
with the device's multiprocessors known and guessed, and where times drift along the rows, with the
order known. After that come the noise floors of the files. The tables are Markdown.

The files are not part of this repository: they lie in ../shared/data beside it, or in the folder
that --data or ALPHAFLOPS_DATA names. One that is absent is skipped. Whole networks from few
timings are in benchmarks/few_shot.py; measured networks of this processor in networks.py.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from noise_floor import Limits, print_floor
from numpy.lib import recfunctions

import alphaflops as af
from alphaflops.fitting import Errors, Fit
from alphaflops.table import Table, read_table

ORDER = "measured_as"  # the row's number in the file, as a column


class Device(NamedTuple):
    """A file of layer timings, and what is known of its device."""

    file: str
    called: str
    sms: int
    limits: Limits  # 64 or 128 MACs a cycle and multiprocessor at the highest clock; memory
    drifts: bool = False


RANDOM = (
    Device("conv_tesla_t4.csv", "Tesla T4", 40, Limits(4.07e12, 320e9), drifts=True),
    Device("conv_gtx_1080ti.csv", "GTX 1080 Ti", 28, Limits(5.67e12, 484e9)),
)
PAPER = Device("conv_quadro_t2000.csv", "Quadro T2000", 16, Limits(1.83e12, 128e9))
LEFT_OUT = {"each line": ("experiment", "line"), "each experiment": ("experiment",)}


class Scored(NamedTuple):
    """A form's errors, one for each seed."""

    form: str
    errors: list[Errors]

    def line(self) -> str:
        """Return a row of a Markdown table."""
        mean = [float(np.mean([e[k] for e in map(_numbers, self.errors)])) for k in range(5)]
        mape = [100 * e.mape for e in self.errors]
        spread = f"{min(mape):.1f} to {max(mape):.1f}" if len(mape) > 1 else "–"
        shares = [f"{100 * value:.1f} %" for value in (*mean[:3], mean[4])]
        cells = (self.form, *shares[:3], f"{mean[3]:.3f}", shares[3], spread, str(len(mape)))
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| form | MAPE | median | within 10 % | rank | 90 % covers | MAPE of seeds, % | seeds |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def _numbers(e: Errors) -> tuple[float, ...]:
    return (e.mape, e.mdape, e.within_10pct, e.spearman, e.coverage_90)


def facts_of(device: Device, known: bool) -> dict[str, float] | None:
    return {"sms": float(device.sms)} if known else None


def random_rows(
    device: Device, table: Table, training: int, seeds: int, *, facts: bool, order: bool = False
) -> Iterator[Scored]:
    """Fit `training` random rows and test the rest, for each seed."""
    errors: dict[str, list[Errors]] = {}
    kept: list[str] = []
    for seed in range(seeds):
        shuffled = np.random.default_rng(seed).permutation(len(table))
        fitted = af.fit(
            table[shuffled[:training]],
            test=table[shuffled[training:]],
            device_facts=facts_of(device, facts),
            order=ORDER if order else None,
            seed=seed,
        )
        kept.append(fitted.selected)
        for form, found in fitted.forms.items():
            assert found.test is not None
            errors.setdefault(form, []).append(found.test)
    yield from _with_selected(errors, kept)


def left_out(
    device: Device, table: Table, groups: Sequence[str], *, facts: bool
) -> Iterator[Scored]:
    """Leave each group out in turn."""
    fitted = af.fit(table, groups=groups, device_facts=facts_of(device, facts))
    errors = {form: [found.cv] for form, found in fitted.forms.items()}
    yield from _with_selected(errors, [fitted.selected])


def _with_selected(errors: dict[str, list[Errors]], kept: list[str]) -> Iterator[Scored]:
    yield from (Scored(form, own) for form, own in errors.items())
    counts = Counter(kept)
    names = ", ".join(f"{form} {n}×" if len(kept) > 1 else form for form, n in counts.items())
    chosen = [errors[form][k] for k, form in enumerate(kept)]
    yield Scored(f"**selected**: {names}", chosen)


def print_scores(title: str, scores: Iterator[Scored]) -> None:
    started = time.perf_counter()
    lines = [score.line() for score in scores]
    print(f"\n{title} ({time.perf_counter() - started:.0f} s)\n\n{HEAD}")
    print("\n".join(lines), flush=True)


def print_random(device: Device, table: Table, seeds: int) -> None:
    most = len(table) * 4 // 5
    numbered = recfunctions.append_fields(
        table, ORDER, np.arange(len(table), dtype=float), usemask=False
    )
    for training, called in ((300, "300 rows fitted"), (most, f"80 % fitted ({most} rows)")):
        for facts in (True, False):
            about = f"{device.sms} multiprocessors known" if facts else "device not known"
            scores = random_rows(device, table, training, seeds, facts=facts)
            print_scores(f"{device.called}, {called}, {about}", scores)
        if device.drifts:
            scores = random_rows(device, numbered, training, seeds, facts=True, order=True)
            print_scores(f"{device.called}, {called}, order of the rows known", scores)


def fit_all(device: Device, table: Table, groups: Sequence[str] | None = None) -> Fit:
    return af.fit(table, groups=groups, device_facts=facts_of(device, True), name=device.called)


def read(folder: Path, device: Device) -> Table | None:
    path = folder / device.file
    if not path.is_file():
        print(f"\n{device.called}: skipped, {device.file} is not in the data folder (--data)")
        return None
    return read_table(path, need_time=True)


def main() -> None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("ALPHAFLOPS_DATA", beside))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="files by a part of their name")
    parser.add_argument("--plots", type=Path, help="write pictures to this folder")
    parser.add_argument("--no-tables", action="store_true", help="noise floors and pictures only")
    options = parser.parse_args()
    folder = Path(options.data)

    def wanted(device: Device) -> bool:
        return not options.only or any(part in device.file for part in options.only)

    fits: list[tuple[Device, Table, Fit]] = []
    for device in filter(wanted, (*RANDOM, PAPER)):
        table = read(folder, device)
        if table is None:
            continue
        if device in RANDOM:
            if not options.no_tables:
                print_random(device, table, options.seeds)
            fits.append((device, table, fit_all(device, table)))
            continue
        for called, groups in LEFT_OUT.items():
            for facts in (True, False) if not options.no_tables else ():
                about = f"{device.sms} multiprocessors known" if facts else "device not known"
                scores = left_out(device, table, groups, facts=facts)
                print_scores(f"{device.called}, {called} left out, {about}", scores)
        fits.append((device, table, fit_all(device, table, LEFT_OUT["each line"])))

    print("\n## Noise floors")
    for device, table, fitted in fits:
        print_floor(device.called, table, fitted, device.limits)
        if device.drifts:
            known = af.fit(table, device_facts=facts_of(device, True), order="row")
            print_floor(f"{device.called}, order known", table, known, device.limits)
    if options.plots:
        draw(options.plots, fits)


def draw(folder: Path, fits: list[tuple[Device, Table, Fit]]) -> None:
    from paper_figures import draw_paper  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for device, table, fitted in fits:
        stem = device.file.removesuffix(".csv")
        fitted.plot(folder / f"{stem}.png")
        if device is PAPER:
            draw_paper(table, fitted, folder / "paper.png")
    print(f"\npictures are in {folder}")


if __name__ == "__main__":
    main()

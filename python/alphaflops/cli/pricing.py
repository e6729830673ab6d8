"""Commands that price networks: estimate, compare, devices."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from alphaflops.cli.options import (
    NETWORK,
    AsJson,
    Batch,
    Causal,
    Cold,
    Device,
    DType,
    Format,
    Inputs,
    Mode,
    Model,
    Output,
    emit,
    emit_table,
    in_range,
    progress_console,
    shapes_of,
    table_width,
)
from alphaflops.errors import DeviceError, MissingExtraError, ModelError

if TYPE_CHECKING:
    from alphaflops.cuda import DeviceInfo


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(estimate)
    app.command()(compare)
    app.command()(devices)


def estimate(
    model: Model,
    device: Device = "quadro-t2000",
    batch: Batch = None,
    dtype: DType = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="Which operators share a launch; as the profile has it where left out."),
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f")] = Format.table,
    top: Annotated[int, typer.Option(min=0, help="Layers in the table; 0 for all.")] = 15,
    strict: Annotated[
        bool, typer.Option("--strict", help="An operator without a price is an error.")
    ] = False,
    inputs: Inputs = None,
    causal: Causal = False,
    cold: Cold = False,
    output: Output = None,
    training: Annotated[
        bool, typer.Option("--training", help="Price a step of training, not a forward pass.")
    ] = False,
    optimizer: Annotated[
        str, typer.Option(help="Of --training: sgd, momentum, adam, adamw or none.")
    ] = "sgd",
    frozen: Annotated[
        list[str] | None,
        typer.Option(help="Of --training: a layer, or group of layers, that is not trained."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Of --training: a group of layers that runs again to save memory."),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(callback=in_range, help="Of --training: micro-batches a step.")
    ] = 1,
    recompute_attention: Annotated[
        bool, typer.Option("--recompute-attention", help="Of --training: keep no scores.")
    ] = False,
) -> None:
    """Price one network on one device."""
    from alphaflops._core import Training  # noqa: PLC0415
    from alphaflops.frontends import load  # noqa: PLC0415
    from alphaflops.render import report_table  # noqa: PLC0415
    from alphaflops.report import estimate as price  # noqa: PLC0415

    graph = load(model, batch=batch, dtype=dtype, inputs=shapes_of(inputs), causal=causal)
    step = Training(optimizer, frozen or (), checkpoint or (), accumulate, recompute_attention)
    report = price(
        graph,
        device,
        mode=None if mode is None else mode.value,
        strict=strict,
        training=step if training else None,
        reuse_bytes=math.inf if cold and not training else None,
    )
    if format is Format.table:
        emit_table(report_table(report, top, table_width(output)), output)
        return
    text = {
        Format.json: report.to_json,
        Format.csv: report.to_csv,
        Format.markdown: report.to_markdown,
        Format.html: report.to_html,
    }[format]()
    emit(text, output)


def compare(
    models: Annotated[list[str], typer.Argument(help=NETWORK)],
    devices: Annotated[
        str, typer.Option("--devices", help="Profiles, separated by commas.")
    ] = "quadro-t2000",
    batch: Batch = None,
    dtype: DType = None,
    inputs: Inputs = None,
    causal: Causal = False,
    cold: Cold = False,
    as_json: AsJson = False,
) -> None:
    """Price several networks on several devices, a row a network."""
    from alphaflops.frontends import load  # noqa: PLC0415
    from alphaflops.profiles import load_profile  # noqa: PLC0415
    from alphaflops.render import CAVEATS, caveats  # noqa: PLC0415
    from alphaflops.report import estimate as price  # noqa: PLC0415

    profiles = [load_profile(name) for name in devices.split(",")]
    graphs = [
        load(model, batch=batch, dtype=dtype, inputs=own, causal=causal)
        for model, own in zip(models, _inputs_of(models, shapes_of(inputs)), strict=True)
    ]
    reuse_bytes = math.inf if cold else None
    reports = [
        [price(graph, profile, reuse_bytes=reuse_bytes) for profile in profiles] for graph in graphs
    ]
    if as_json:
        rows = [
            {
                "network": graph.name,
                "macs": row[0].macs,
                **{
                    key: {report.profile.name: getattr(report, key) for report in row}
                    for key in ("time_s", "time_interval_s", "unpriced_share", "extrapolated_share")
                },
            }
            for graph, row in zip(graphs, reports, strict=True)
        ]
        emit(json.dumps({"networks": rows}, indent=2), None)
        return
    table = Table(header_style="bold")
    table.add_column("network")
    table.add_column("MMACs", justify="right")
    for profile in profiles:
        table.add_column(f"{profile.name} ms", justify="right")
    for graph, row in zip(graphs, reports, strict=True):
        times = [f"{report.time_s * 1e3:,.3f}{caveats(report)}" for report in row]
        table.add_row(graph.name, f"{row[0].macs / 1e6:,.1f}", *times)
    table.caption = CAVEATS
    table.caption_justify = "left"
    emit_table(table, None)


def _inputs_of(
    models: list[str], shapes: dict[str, tuple[int, ...]]
) -> list[dict[str, tuple[int, ...]]]:
    """Give each model the shapes of the inputs that it has."""
    from alphaflops.frontends import input_names  # noqa: PLC0415

    names = [input_names(model) if shapes else () for model in models]
    known = sorted({name for own in names for name in own})
    for name in shapes:
        if name not in known:
            there = f"they have {', '.join(known)}" if known else "only .onnx files have some"
            raise ModelError(f"--input: none of the models has an input '{name}'; {there}")
    return [{name: shapes[name] for name in own if name in shapes} for own in names]


def devices(as_json: AsJson = False) -> None:
    """List the shipped device profiles, and the GPUs that are here."""
    from alphaflops.profiles import load_profile, shipped_profiles  # noqa: PLC0415

    profiles = [load_profile(name) for name in shipped_profiles()]
    gpus, why_none = _gpus()
    if as_json:
        listed = [
            {"name": p.name, "device": p.device_name, "description": p.description}
            for p in profiles
        ]
        here = [
            {
                "device": gpu.name,
                "compute_capability": gpu.arch / 10,
                "memory_bytes": gpu.memory_bytes,
            }
            for gpu in gpus
        ]
        emit(json.dumps({"devices": listed, "gpus": here}, indent=2, ensure_ascii=False), None)
        return
    table = Table(header_style="bold")
    for name in ("name", "device", "what it is"):
        table.add_column(name)
    for p in profiles:
        table.add_row(p.name, p.device_name, p.description)
    for gpu in gpus:
        table.add_row(
            f"(GPU {gpu.index} here)",
            gpu.name,
            f"compute capability {gpu.arch / 10}, {gpu.sm_count} multiprocessors; make its profile "
            "with alphaflops calibrate --backend cuda",
        )
    emit_table(table, None)
    if why_none:
        progress_console().print(
            f"no GPU listed: {why_none}", highlight=False, markup=False, soft_wrap=True
        )


def _gpus() -> tuple[list[DeviceInfo], str]:
    """Return the GPUs that are here, or why there are none."""
    from alphaflops.cuda import devices as here  # noqa: PLC0415

    try:
        return here(), ""
    except (DeviceError, MissingExtraError) as error:
        return [], str(error)

"""Populations priced on a GPU: CuPy arrays in and out, one kernel (cuda/kernels/population.cuh)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from alphaflops.errors import MissingExtraError, ModelError, UnsupportedError

if TYPE_CHECKING:
    from alphaflops.spaces.compiled import CompiledSpace

__all__ = ["evaluate_on_gpu", "is_on_gpu"]

# Structs of population.cuh.
_LOOKUP = np.dtype(
    [
        ("offset", np.uint32),
        ("digits", np.int32),
        ("stride", np.uint32, 4),
        ("position", np.uint16, 4),
        ("last", np.uint8, 4),
        ("unused", np.int32),
    ],
    align=True,
)
_FINISH = np.dtype(
    [
        ("kind", np.int32),
        ("column", np.int32),
        ("first_width", np.int32),
        ("widths", np.int32),
        ("integer", np.int32),
        ("unused", np.int32),
        ("scale", np.float64),
    ],
    align=True,
)
_DIGIT = np.dtype([("position", np.int32), ("last", np.int32)], align=True)
_POINTERS = (
    "codes", "values", "lookups", "base", "finishes", "widths", "others", "output", "error",
)  # fmt: skip
_INTEGERS = (
    "positions", "columns", "quantities", "sums", "peaks", "other_count", "value_count",
    "lookups_offset", "codes_offset", "aligned",
)  # fmt: skip
_PARAMS = np.dtype(
    [(name, np.uint64) for name in _POINTERS]
    + [("rows", np.int64)]
    + [(name, np.int32) for name in _INTEGERS],
    align=True,
)
_KINDS = {"linear": 0, "interval": 1, "peak": 2}

_MADE_FOR = (1, 2, 4, 8)  # columns that have a kernel of their own
_SHARED_BYTES = 48 * 1024  # what a block gets without asking for more
_THREADS = (256, 128, 64, 32)
_BLOCKS_A_PROCESSOR = 8
_WORD = 16  # bytes that are copied at a time


@dataclass(frozen=True)
class _OnDevice:
    """Tables of some metrics on a device, and what prices with them."""

    kernel: Any
    arrays: dict[str, Any]
    params: np.ndarray[Any, np.dtype[Any]]  # [1], without codes and results
    threads: int
    most_blocks: int
    shared_bytes: int


def is_on_gpu(codes: Any) -> bool:
    """Whether an array lies on a GPU, whoever made it."""
    return hasattr(codes, "__cuda_array_interface__")


def evaluate_on_gpu(
    compiled: CompiledSpace, codes: Any, metrics: tuple[str, ...], single: bool, out: Any
) -> Any:
    """Price networks on the device where their codes are.

    Tables are copied there once. It waits for the kernel, to say where codes are wrong.

    Returns
    -------
    CuPy array [n], or [n, profiles]; a dict of them by metric unless `single`
        CuPy has no structured arrays.

    Raises
    ------
    MissingExtraError
        CuPy is not installed.
    ModelError
        Codes of another dtype or layout than uint8 [n, positions] side by side; what is no code;
        an `out` that does not fit or is on another device.
    UnsupportedError
        Tables or codes too large for the kernel.
    """
    try:
        import cupy  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "codes on a GPU take CuPy: pip install 'alphaflops[cuda13]', or cuda12 for a driver of "
            "CUDA 12"
        ) from error
    from alphaflops.cuda.cupy_driver import translated  # noqa: PLC0415

    name = compiled.space.name
    array = cupy.asarray(codes)
    _check_codes(compiled, array)
    device = int(array.device.id)
    n = len(array)
    quantities = compiled.quantities(metrics)
    with translated(cupy, f"{name}: pricing {n} codes on device {device}"), array.device:
        known = compiled.on_device.get((metrics, device))
        if known is None:
            known = compiled.on_device[metrics, device] = _upload(cupy, compiled, metrics, device)
        if out is None:
            rows = cupy.empty((len(quantities), n), np.float64)
        else:
            _check_out(compiled, out, quantities, n=n, device=device, single=single)
            rows = out.reshape(1, n)
        flag = cupy.zeros(1, np.uint64)
        params = known.params.copy()
        address = int(array.data.ptr)
        params["codes"], params["output"] = address, int(rows.data.ptr)
        params["error"], params["rows"] = int(flag.data.ptr), n
        params["aligned"] = address % _WORD == 0
        if n:
            blocks = min(-(-n // known.threads), known.most_blocks)
            known.kernel((blocks,), (known.threads,), (params,), shared_mem=known.shared_bytes)
        word = int(flag.get()[0])
        if word:
            _fail(compiled, array, word ^ (2**64 - 1))
    return _results(compiled, rows, metrics, single)


def _check_codes(compiled: CompiledSpace, array: Any) -> None:
    name, positions = compiled.space.name, compiled.space.positions
    if array.ndim != 2 or array.shape[1] != positions:  # noqa: PLR2004
        raise ModelError(
            f"{name}: codes have shape {list(array.shape)}; it must be [n, {positions}]"
        )
    if array.dtype != np.uint8:
        raise ModelError(
            f"{name}: codes on the GPU are {array.dtype}; they must be uint8: codes.astype('uint8')"
        )
    if not array.flags.c_contiguous:
        raise ModelError(
            f"{name}: codes on the GPU have strides {array.strides}; they must be contiguous: "
            "cupy.ascontiguousarray(codes)"
        )


def _check_out(
    compiled: CompiledSpace,
    out: Any,
    quantities: list[tuple[str, int, bool]],
    *,
    n: int,
    device: int,
    single: bool,
) -> None:
    name = compiled.space.name
    if not single or len(quantities) != 1:
        raise ModelError(f"{name}: out on the GPU takes one metric of one profile")
    if not is_on_gpu(out):
        raise ModelError(f"{name}: out is not on the GPU where the codes are; give a CuPy array")
    dtype = np.dtype(np.int64 if quantities[0][2] else np.float64)
    if out.shape != (n,) or out.dtype != dtype or not out.flags.c_contiguous:
        raise ModelError(
            f"{name}: out is {list(out.shape)} of {out.dtype}; it must be [{n}] of {dtype}, "
            "contiguous"
        )
    if int(out.device.id) != device:
        raise ModelError(
            f"{name}: codes are on device {device} and out on device {int(out.device.id)}; give "
            "both on one"
        )


def _fail(compiled: CompiledSpace, array: Any, row: int) -> None:
    code = array[row].get()
    try:
        compiled.space.check(code[np.newaxis])
    except ModelError as error:
        raise ModelError(str(error).replace("code 0 has", f"code {row} has", 1)) from None
    raise ModelError(f"{compiled.space.name}: codes changed while they were read")


def _results(compiled: CompiledSpace, rows: Any, metrics: tuple[str, ...], single: bool) -> Any:
    results: dict[str, Any] = {}
    at = 0
    several = len(compiled.profiles) > 1
    for metric in metrics:
        own = compiled.quantities((metric,))
        part = rows[at : at + len(own)]
        at += len(own)
        integer = own[0][2]
        part = part.view(np.int64) if integer else part
        results[metric] = part.T if several and not integer else part[0]
    return results[metrics[0]] if single else results


def _upload(cupy: Any, compiled: CompiledSpace, metrics: tuple[str, ...], device: int) -> _OnDevice:
    from alphaflops.cuda.cubins import cubin_of  # noqa: PLC0415

    host, params = pack(compiled, metrics)
    positions = compiled.space.positions
    fit = [threads for threads in _THREADS if threads * positions <= _SHARED_BYTES]
    if not fit:
        raise UnsupportedError(
            f"{compiled.space.name}: {positions} positions are more than the GPU takes, "
            f"{_SHARED_BYTES // _THREADS[-1]}; evaluate on the processor"
        )
    threads = fit[0]
    lookups_offset = _up(host["values"].nbytes)
    codes_offset = _up(lookups_offset + host["lookups"].nbytes)
    shared = codes_offset + threads * positions <= _SHARED_BYTES
    if shared:
        params["lookups_offset"], params["codes_offset"] = lookups_offset, codes_offset
    arrays = {
        # Nothing is never read; an address is never zero.
        name: cupy.asarray(np.frombuffer(each.tobytes() or bytes(8), np.uint8))
        for name, each in host.items()
    }
    for name, each in arrays.items():
        params[name] = int(each.data.ptr)
    columns = int(params["columns"][0])
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(device)
    arch = 10 * properties["major"] + properties["minor"]
    module = cupy.RawModule(path=str(cubin_of("population.cuh", arch)))
    kernel = module.get_function(
        f"population_{columns if columns in _MADE_FOR else 0}_{'shared' if shared else 'global'}"
    )
    return _OnDevice(
        kernel,
        arrays,
        params,
        threads,
        _BLOCKS_A_PROCESSOR * properties["multiProcessorCount"],
        (codes_offset if shared else 0) + threads * positions,
    )


def pack(
    compiled: CompiledSpace, metrics: tuple[str, ...]
) -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, np.dtype[Any]]]:
    """Return what the kernel reads, as arrays by name, and its parameters but for addresses."""
    tables = compiled.tables(metrics)
    values = np.concatenate([tables["values"], tables["peak_values"]])
    if len(values) >= 2**31:
        raise UnsupportedError(
            f"{compiled.space.name}: tables of {values.nbytes / 2**30:.0f} GiB are too large for "
            "the GPU; evaluate on the processor"
        )
    last = np.array([len(choices) - 1 for choices in compiled.space.choices])
    lookups = [_lookup(row, 0, last) for row in tables["sums"]]
    lookups += [_lookup(row, len(tables["values"]), last) for row in tables["peaks"]]
    read = {int(p) for each in lookups for p in each["position"][: int(each["digits"])]}
    others = [(p, last[p]) for p in range(len(last)) if p not in read]
    finishes: list[tuple[float, ...]] = []
    widths: list[int] = []
    quantities = compiled.quantities(metrics)
    for (kind, column, scale, own), (_, _, integer) in zip(
        tables["finish"], quantities, strict=True
    ):
        finishes.append((_KINDS[kind], column, len(widths), len(own), integer, 0, scale))
        widths += own
    params = np.zeros(1, _PARAMS)
    params["positions"], params["columns"] = len(last), tables["columns"]
    params["quantities"] = len(quantities)
    params["sums"], params["peaks"] = len(tables["sums"]), len(tables["peaks"])
    params["other_count"], params["value_count"] = len(others), len(values)
    return {
        "values": values,
        "lookups": np.array(lookups, _LOOKUP),
        "base": np.append(tables["base"], tables["base_peak"]),
        "finishes": np.array(finishes, _FINISH),
        "widths": np.array(widths, np.int32),
        "others": np.array(others, _DIGIT),
    }, params


def _lookup(row: Any, offset: int, last: Any) -> Any:
    """Convert a row of ``Evaluator.tables``: offset, digits, position and stride of each."""
    lookup = np.zeros((), _LOOKUP)
    digits = int(row[1])
    positions = row[2 : 2 + 2 * digits : 2]
    lookup["offset"], lookup["digits"] = row[0] + offset, digits
    lookup["position"][:digits], lookup["stride"][:digits] = positions, row[3 : 3 + 2 * digits : 2]
    lookup["last"][:digits] = last[positions]
    return lookup


def _up(size: int) -> int:
    return -(-size // _WORD) * _WORD

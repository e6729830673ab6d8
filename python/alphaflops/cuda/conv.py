"""Convolutions on arrays that are on a GPU already."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from alphaflops._cuda_plan import Plan, conv_plans
from alphaflops.cuda.arrays import DeviceArray, as_device_array, empty_like_of, stream_of
from alphaflops.cuda.driver import Driver, Memory, open_driver
from alphaflops.cuda.without import usable
from alphaflops.errors import ShapeError, UnsupportedError

__all__ = ["conv2d"]

_IMAGE = 4  # axes
_ALIGNMENT = 16  # bytes, of what kernels read and write at once
_PADDINGS = 4  # top, bottom, left, right


def conv2d(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str = "none",
    tf32: bool = False,
    algorithm: str | None = None,
    tile: str | None = None,
    out: Any = None,
    stream: Any = None,
    path: str | None = None,
) -> Any:
    """Convolve images on a GPU; nothing is copied, and nothing waited for.

    Parameters
    ----------
    x
        Images [n, h, w, c_in], of CuPy, PyTorch, or whatever has ``__cuda_array_interface__`` or
        DLPack; fp32, fp16, bf16 or int8; contiguous. A tensor of PyTorch that is channels_last is
        that after ``permute(0, 2, 3, 1)``, which copies nothing.
    w
        Weights [c_out, k_h, k_w, c_in / groups], of the same type.
    bias
        [c_out], fp32, or int32 for int8; None for none.
    stride, dilation
        Of both axes, or one of each.
    padding
        Of all sides; of top and bottom, left and right; or (top, bottom, left, right).
    groups
        Of channels.
    activation
        none, relu or relu6, in the same launch.
    tf32
        Round fp32 to TF32 and use the tensor cores.
    algorithm, tile
        Of the plan; the one that is guessed best where left out.
    out
        Where to write, [n, h_out, w_out, c_out]; int32 for int8. Made where left out, which needs
        `x` to be of CuPy or PyTorch.
    stream
        Of CuPy or PyTorch, or its handle; the current one of the library that made `x`.
    path
        native or cupy; the first of them that is installed.

    Returns
    -------
    array
        `out`.

    Raises
    ------
    ShapeError
        Sizes that do not fit each other, an array that is not contiguous, not on the device, or
        does not begin at a multiple of 16 bytes.
    UnsupportedError
        A type, algorithm or device without a kernel.
    MissingExtraError, NoDeviceError, DriverError, DeviceMemoryError, BrokenContextError
        As of ``open_driver``.
    """
    image, weights = as_device_array(x, "x"), as_device_array(w, "w")
    shift = None if bias is None else as_device_array(bias, "bias")
    sizes = _sizes(image, weights, groups) | _window(stride, padding, dilation)
    dtype = "tf32" if tf32 else image.dtype
    _check(image, weights, shift, sizes, tf32)
    driver = _driver(path, image.device)
    options = usable(
        conv_plans(sizes, driver.info().target, dtype, "forward", activation, bias is not None)
    )
    plan = _chosen(options, algorithm, tile, dtype)
    shape = (sizes["batch"], *_extents(sizes), sizes["c_out"])
    result = empty_like_of(x, shape, _result(dtype)) if out is None else out
    target = as_device_array(result, "out")
    if (target.shape, target.dtype, target.device) != (shape, _result(dtype), image.device):
        raise ShapeError(
            f"out is {target.dtype} of shape {target.shape} on device {target.device}; it must be "
            f"{_result(dtype)} of shape {shape} on device {image.device}"
        )
    arrays = {"x": image, "w": weights, "out": target}
    addresses = {"input": image.address, "weights": weights.address, "output": target.address}
    if shift is not None:
        arrays["bias"], addresses["bias"] = shift, shift.address
    _check_alignment(arrays)
    handle = stream_of(stream, x)
    if plan.workspace_bytes:
        addresses["workspace"] = _workspace(path, image.device, handle, plan.workspace_bytes)
    driver.program([(plan, addresses)]).launch(handle)
    return result


def _result(dtype: str) -> str:
    return {"int8": "int32", "tf32": "fp32"}.get(dtype, dtype)


def _window(
    stride: int | tuple[int, int],
    padding: int | Sequence[int],
    dilation: int | tuple[int, int],
) -> dict[str, int]:
    sides = [padding] if isinstance(padding, int) else list(padding)
    if len(sides) not in (1, 2, _PADDINGS):
        raise ShapeError(f"padding is {tuple(sides)}; give one number, two or four")
    if len(sides) < _PADDINGS:  # of both axes, or of one after the other
        sides = [sides[0], sides[0], sides[-1], sides[-1]]
    names = ("pad_top", "pad_bottom", "pad_left", "pad_right")
    window = dict(zip(names, sides, strict=True))
    for name, value in (("stride", stride), ("dilation", dilation)):
        along_h, along_w = (value, value) if isinstance(value, int) else value
        window |= {f"{name}_h": along_h, f"{name}_w": along_w}
    return window


def _sizes(x: DeviceArray, w: DeviceArray, groups: int) -> dict[str, int]:
    for name, array in (("x", x), ("w", w)):
        if len(array.shape) != _IMAGE:
            raise ShapeError(f"{name} has shape {array.shape}; it needs four axes, channels last")
    (batch, h_in, w_in, c_in), (c_out, k_h, k_w, depth) = x.shape, w.shape
    if groups < 1 or depth * groups != c_in:
        raise ShapeError(
            f"w has {depth} channels in a group, and x has {c_in} in {groups} groups; w is "
            "[c_out, k_h, k_w, c_in / groups]"
        )
    given = {"batch": batch, "h_in": h_in, "w_in": w_in, "c_in": c_in, "c_out": c_out}
    return given | {"k_h": k_h, "k_w": k_w, "groups": groups}


def _extents(sizes: dict[str, int]) -> tuple[int, int]:
    def extent(axis: str, before: str, after: str) -> int:
        reach = sizes[f"dilation_{axis}"] * (sizes[f"k_{axis}"] - 1)
        padded = sizes[f"{axis}_in"] + sizes[before] + sizes[after]
        return (padded - reach - 1) // sizes[f"stride_{axis}"] + 1

    return extent("h", "pad_top", "pad_bottom"), extent("w", "pad_left", "pad_right")


def _check(
    x: DeviceArray, w: DeviceArray, bias: DeviceArray | None, sizes: dict[str, int], tf32: bool
) -> None:
    if tf32 and x.dtype != "fp32":
        raise UnsupportedError(f"tf32 is a way to multiply fp32; x is {x.dtype}")
    if w.dtype != x.dtype:
        raise UnsupportedError(f"x is {x.dtype} and w is {w.dtype}; they must be of one type")
    for name, array in (("w", w), ("bias", bias)):
        if array is not None and array.device != x.device:
            raise ShapeError(
                f"{name} is on device {array.device} and x on device {x.device}; move one of them"
            )
    if bias is not None and bias.shape != (sizes["c_out"],):
        raise ShapeError(f"bias has shape {bias.shape}; it must be ({sizes['c_out']},)")
    sums = "int32" if x.dtype == "int8" else "fp32"
    if bias is not None and bias.dtype != sums:
        raise UnsupportedError(f"bias is {bias.dtype}; it must be {sums}, as the sums are")


def _check_alignment(arrays: dict[str, DeviceArray]) -> None:
    """Raise ShapeError where 16 bytes cannot be read at once: a fault that would stay."""
    for name, array in arrays.items():
        if array.address % _ALIGNMENT:
            raise ShapeError(
                f"{name} begins at address {array.address:#x}, which is no multiple of "
                f"{_ALIGNMENT} bytes; give a copy of it (PyTorch: .clone())"
            )


def _chosen(options: list[Plan], algorithm: str | None, tile: str | None, dtype: str) -> Plan:
    for plan in options:
        if algorithm in (None, plan.algorithm) and tile in (None, plan.tile):
            return plan
    if not options:
        raise UnsupportedError(f"no kernel does this convolution in {dtype} on this GPU")
    known = ", ".join(sorted({f"{plan.algorithm} {plan.tile}".strip() for plan in options}))
    raise UnsupportedError(f"algorithm {algorithm!r} with tile {tile!r} is not known here; {known}")


@cache
def _driver(path: str | None, device: int) -> Driver:
    return open_driver(path, device)


#: Scratch memory by device and stream: work on one stream comes one after the other.
_workspaces: dict[tuple[str | None, int, int], Memory] = {}


def _workspace(path: str | None, device: int, stream: int, size: int) -> int:
    key = (path, device, stream)
    if key not in _workspaces or len(_workspaces[key]) < size:
        _workspaces[key] = _driver(path, device).allocate(size)
    return _workspaces[key].address

"""Arrays on a GPU, whoever made them: where they are, what is in them; never a copy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from alphaflops.errors import ShapeError, UnsupportedError

__all__ = ["DeviceArray", "as_device_array", "empty_like_of", "stream_of"]

_ITEM_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "int32": 4}
_TYPES = {"<f4": "fp32", "<f2": "fp16", "|i1": "int8", "<i4": "int32"}
_DLPACK_GPUS = (2, 13)  # CUDA, CUDA managed
_TORCH_TYPES = {
    "torch.float32": "fp32",
    "torch.float16": "fp16",
    "torch.bfloat16": "bf16",
    "torch.int8": "int8",
    "torch.int32": "int32",
}


@dataclass(frozen=True)
class DeviceArray:
    """Contiguous memory on a device."""

    address: int
    shape: tuple[int, ...]
    dtype: str
    device: int


def as_device_array(array: Any, name: str) -> DeviceArray:
    """Look at an array of CuPy, PyTorch, or whatever has ``__cuda_array_interface__`` or DLPack.

    Raises
    ------
    ShapeError
        It is no array on a GPU, or not contiguous; the message says what to do.
    UnsupportedError
        Its element type is none of fp32, fp16, bf16, int8, int32.
    """
    if type(array).__module__.split(".")[0] == "torch":
        return _of_torch(array, name)
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None and hasattr(array, "__dlpack__"):
        return _of_dlpack(array, name)
    if interface is None:
        raise ShapeError(
            f"{name} is {_kind(array)}, not an array on a GPU; give one of CuPy or PyTorch, or "
            "whatever has __cuda_array_interface__"
        )
    shape = tuple(int(n) for n in interface["shape"])
    typestr = interface["typestr"]
    dtype = _TYPES.get(typestr)
    if dtype is None and str(getattr(array, "dtype", "")) == "bfloat16":
        dtype = "bf16"
    if dtype is None:
        raise _unknown(name, typestr)
    _check_strides(name, shape, interface.get("strides"), _ITEM_BYTES[dtype])
    if interface.get("mask") is not None:
        raise ShapeError(f"{name} is masked; give a plain array")
    device = getattr(getattr(array, "device", None), "id", 0)
    return DeviceArray(int(interface["data"][0]), shape, dtype, int(device))


def _kind(array: Any) -> str:
    return f"a {type(array).__module__}.{type(array).__qualname__}"


def _unknown(name: str, dtype: object) -> UnsupportedError:
    return UnsupportedError(
        f"{name} has elements of {dtype}; use float32, float16, bfloat16, int8 or int32"
    )


def _check_strides(
    name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None, item: int
) -> None:
    """Raise ShapeError unless elements lie one behind the other, the last axis fastest."""
    if strides is None:
        return
    expected = item
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            raise ShapeError(
                f"{name} of shape {shape} has strides {tuple(strides)} bytes: it is not "
                "contiguous; give ascontiguousarray of it (PyTorch: .contiguous())"
            )
        expected *= size


def _of_torch(tensor: Any, name: str) -> DeviceArray:
    if not tensor.is_cuda:
        raise ShapeError(f"{name} is a tensor on {tensor.device}; move it to the GPU (.cuda())")
    dtype = _TORCH_TYPES.get(str(tensor.dtype))
    if dtype is None:
        raise _unknown(name, tensor.dtype)
    shape, item = tuple(tensor.shape), _ITEM_BYTES[dtype]
    _check_strides(name, shape, tuple(item * s for s in tensor.stride()), item)
    return DeviceArray(int(tensor.data_ptr()), shape, dtype, int(tensor.device.index or 0))


def _of_dlpack(array: Any, name: str) -> DeviceArray:
    kind, _ = array.__dlpack_device__()
    if int(kind) not in _DLPACK_GPUS:
        raise ShapeError(f"{name} is {_kind(array)} that is not on a GPU; copy it there")
    try:
        import cupy  # noqa: PLC0415
    except ImportError as error:
        raise ShapeError(
            f"{name} is {_kind(array)}, which only DLPack reads; that takes CuPy: "
            'pip install "alphaflops[cuda13]"'
        ) from error
    try:
        return as_device_array(cupy.from_dlpack(array), name)
    except (BufferError, RuntimeError, TypeError) as error:
        raise ShapeError(f"{name} is {_kind(array)}, not an array on a GPU: {error}") from error


def empty_like_of(array: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Make an array of the library that made another, on the same device.

    Raises
    ------
    ShapeError
        That library is neither CuPy nor PyTorch.
    """
    maker = type(array).__module__.split(".")[0]
    if maker == "torch":
        of_same = array.dtype if dtype != "int32" else None
        if of_same is not None:
            return array.new_empty(shape)
        import torch  # noqa: PLC0415

        return array.new_empty(shape, dtype=torch.int32)
    if maker == "cupy":
        import cupy  # noqa: PLC0415

        with array.device:
            return cupy.empty(shape, "int32" if dtype == "int32" else array.dtype)
    raise ShapeError(f"x is {_kind(array)}; give out, an array of shape {shape} of the same kind")


def bytes_of(array: DeviceArray) -> int:
    """Return how much memory an array takes."""
    return math.prod(array.shape) * _ITEM_BYTES[array.dtype]


def stream_of(stream: Any, array: Any) -> int:
    """Return the handle of a stream: of CuPy, PyTorch, a number, or what is current for `array`.

    Raises
    ------
    ShapeError
        It is none of them.
    """
    if stream is None:
        return _current(array)
    if isinstance(stream, int):
        return stream
    for attribute in ("ptr", "cuda_stream"):
        if (handle := getattr(stream, attribute, None)) is not None:
            return int(handle)
    if (protocol := getattr(stream, "__cuda_stream__", None)) is not None:
        _, handle = protocol() if callable(protocol) else protocol
        return int(handle)
    raise ShapeError(f"stream is {_kind(stream)}; give one of CuPy or PyTorch, or its handle")


def _current(array: Any) -> int:
    maker = type(array).__module__.split(".")[0]
    if maker == "torch":
        import torch  # noqa: PLC0415

        return int(torch.cuda.current_stream(array.device).cuda_stream)
    if maker == "cupy":
        import cupy  # noqa: PLC0415

        return int(cupy.cuda.get_current_stream().ptr)
    return 0

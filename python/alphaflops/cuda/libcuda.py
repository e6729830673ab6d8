"""The driver's functions that CuPy does not have: launches with attributes, and tensor maps."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from alphaflops._cuda_plan import Launch, TensorMap
from alphaflops.errors import BrokenContextError, DeviceError, NoDeviceError

__all__ = ["STAYING", "TENSOR_MAP_BYTES", "allow_shared", "encode", "launch"]

TENSOR_MAP_BYTES = 128
_MOST_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_CLUSTER, _OVERLAP = 4, 6  # CU_LAUNCH_ATTRIBUTE_...
# CU_TENSOR_MAP_DATA_TYPE_...; fp32 is UINT32, bits as they are, and tf32 is rounded on the way.
_TYPES = {"fp32": 2, "tf32": 11, "fp16": 6, "bf16": 9, "int8": 0}
_PROMOTE_TO_128 = 2
#: Faults after which a context answers nothing else: memory that lost bits, addresses, time-outs,
#: instructions, launches.
STAYING = {214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719}


class _Attribute(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint),
        ("pad", ctypes.c_char * 4),
        ("value", ctypes.c_uint * 16),
    )


class _Config(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoDeviceError(
            "no NVIDIA driver is installed (libcuda.so.1); install the driver of your GPU"
        ) from error
    library.cuGetErrorString.argtypes = (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p))
    return library


def _check(code: int, doing: str) -> None:
    if code:
        said = ctypes.c_char_p()
        _library().cuGetErrorString(code, ctypes.byref(said))
        text = said.value.decode() if said.value else "unknown error"
        if code in STAYING:
            raise BrokenContextError(
                f"{doing}: {text} (code {code}). The process's CUDA context is broken and every "
                "later call in it fails: start a new process"
            )
        raise DeviceError(f"{doing}: {text} (code {code})")


def allow_shared(function: int, size: int, symbol: str) -> None:
    """Let a kernel have more than 48 KB of shared memory."""
    code = _library().cuFuncSetAttribute(ctypes.c_void_p(function), _MOST_DYNAMIC_SHARED, size)
    _check(code, f"{symbol}: asking for {size} bytes of shared memory")


def launch(function: int, what: Launch, parameters: Any, stream: int) -> None:
    """Enqueue one launch; `parameters` is a ctypes buffer with every address filled in."""
    attributes = (_Attribute * 2)()
    count = 0
    if tuple(what.cluster) != (1, 1, 1):
        attributes[count].id = _CLUSTER
        attributes[count].value[:3] = what.cluster
        count += 1
    if what.overlaps_before:
        attributes[count].id = _OVERLAP
        attributes[count].value[0] = 1
        count += 1
    config = _Config(
        (ctypes.c_uint * 3)(*what.grid),
        (ctypes.c_uint * 3)(*what.block),
        what.shared_bytes,
        stream,
        attributes,
        count,
    )
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(parameters))
    code = _library().cuLaunchKernelEx(
        ctypes.byref(config), ctypes.c_void_p(function), arguments, None
    )
    _check(code, f"launching {what.symbol}")


def encode(tensor_map: TensorMap, address: int) -> bytes:
    """Return the bytes that stand for a tensor map of memory at an address."""
    room = ctypes.create_string_buffer(TENSOR_MAP_BYTES + 64)
    at = -(-ctypes.addressof(room) // 64) * 64  # the driver wants it aligned
    t = tensor_map
    head = (
        ctypes.c_void_p(at),
        _TYPES[t.dtype],
        t.rank,
        ctypes.c_void_p(address),
        (ctypes.c_uint64 * 5)(*t.sizes),
        (ctypes.c_uint64 * 4)(*t.strides_bytes),
    )
    tail = ((ctypes.c_uint * 5)(*t.element_strides), 0, t.swizzle, _PROMOTE_TO_128, 0)
    if t.im2col:
        corners = ((ctypes.c_int * 3)(*t.lower_corner), (ctypes.c_int * 3)(*t.upper_corner))
        code = _library().cuTensorMapEncodeIm2col(
            *head, *corners, t.channels_per_pixel, t.pixels_per_column, *tail
        )
    else:
        code = _library().cuTensorMapEncodeTiled(*head, (ctypes.c_uint * 5)(*t.box), *tail)
    _check(code, "encoding a tensor map, whose address and strides are multiples of 16 bytes")
    return ctypes.string_at(at, TENSOR_MAP_BYTES)

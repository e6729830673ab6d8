"""Reading an ONNX file without its weights, in memory that does not depend on their size.

An ONNX file is one protobuf message: fields, each a key (number << 3 | wire type) and a payload,
some of which are messages again. Before protobuf sees it the file is copied field by field,
stepping over what a cost does not depend on: the elements of every stored tensor of a kilobyte or
more, and of larger ones in nodes. Smaller tensors stay, because shapes are computed from them.
Field numbers are those of onnx.proto; the encoding is
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TypeAlias

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto

from alphaflops.errors import ModelError

_SMALL_TENSOR = 1 << 10  # bytes; a stored tensor below it is copied whole
_SMALL = 1 << 15  # and any other message
_LONGEST_LEAF = 1 << 20  # bytes; no name, shape or list of attributes comes near
_DEEPEST = 100  # protobuf's own limit on messages in messages

# The fields that are kept of a message: those that are messages again by their own fields.
_Fields: TypeAlias = Mapping[int, "_Fields | None"]
_TENSOR: _Fields = {1: None, 2: None, 8: None}  # dims, data_type, name
_SPARSE_TENSOR: _Fields = {1: _TENSOR, 2: _TENSOR, 3: None}
_ATTRIBUTE: dict[int, _Fields | None] = {
    **dict.fromkeys((1, 8, 20, 21)),  # name, ints, type, ref_attr_name
    5: _TENSOR,
    10: _TENSOR,
    22: _SPARSE_TENSOR,
    23: _SPARSE_TENSOR,
}
_NODE: _Fields = {**dict.fromkeys((1, 2, 3, 4, 7, 8)), 5: _ATTRIBUTE}
_GRAPH: _Fields = {
    **dict.fromkeys((2, 11, 12, 13)),  # name, inputs, outputs, shapes of the tensors between
    1: _NODE,
    5: _TENSOR,
    15: _SPARSE_TENSOR,
}
_ATTRIBUTE[6] = _ATTRIBUTE[11] = _GRAPH  # bodies of If and Loop
_FUNCTION: _Fields = {**dict.fromkeys((1, 4, 5, 6, 9, 10, 11, 12, 13)), 7: _NODE}
_MODEL: _Fields = {**dict.fromkeys((1, 2, 3, 8)), 7: _GRAPH, 25: _FUNCTION}

_VARINT, _FIXED64, _MESSAGE, _FIXED32 = 0, 1, 2, 5
_SIZES = {_VARINT: 0, _FIXED64: 8, _FIXED32: 4}


class _MalformedError(Exception):
    """The bytes are not the message that they should be."""


def read_model(path: str | os.PathLike[str]) -> ModelProto:
    """Read the graph of an ONNX file; large tensors keep name, type and shape only.

    Raises
    ------
    ModelError
        There is no such file, it cannot be read, or it is not a whole ONNX model.
    """
    where = Path(path)
    if where.is_dir():
        raise ModelError(f"{where}: this is a folder; give the .onnx file in it")
    try:
        with where.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:
                raise _MalformedError("it is empty")
            model: ModelProto = ModelProto.FromString(_projected(stream, size, _MODEL))
    except FileNotFoundError as error:
        raise ModelError(f"{where}: there is no such file; check the path") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{where}: cannot be read ({error}); check the path") from error
    except (_MalformedError, DecodeError) as error:
        raise ModelError(
            f"{where}: this is not an ONNX model, or it is cut short ({error}); "
            "export it again with torch.onnx.export, or repeat the download"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(
            f"{where}: there is no ONNX graph in this file; give a model that was written by "
            "torch.onnx.export or onnx.save"
        )
    return model


def _projected(stream: BinaryIO, end: int, fields: _Fields, depth: int = 0) -> bytes:
    """Return the message from here to `end` with nothing but `fields`."""
    if depth > _DEEPEST:
        raise _MalformedError("messages are nested too deep")
    out = bytearray()
    at = stream.tell()
    while at < end:
        key, at = _read_varint(stream, at)
        number, wire = key >> 3, key & 7
        value, at = _read_varint(stream, at) if wire in (_VARINT, _MESSAGE) else (0, at)
        size = value if wire == _MESSAGE else _SIZES.get(wire)
        if size is None or number == 0:
            raise _MalformedError(f"byte {at} does not begin a field")
        if at + size > end:
            raise _MalformedError(f"byte {at} begins {size} bytes of which {end - at} are there")
        start, at = at, at + size
        if number not in fields:
            if size:
                stream.seek(at)
            continue
        nested = fields[number]
        small = _SMALL_TENSOR if nested is _TENSOR else _SMALL
        if wire == _MESSAGE and nested is not None and size >= small:
            payload = _projected(stream, at, nested, depth + 1)
        elif size <= _LONGEST_LEAF:
            payload = stream.read(size)
        else:
            raise _MalformedError(f"the field at byte {start} has {size} bytes")
        out += _varint(key)
        if wire == _VARINT:
            out += _varint(value)
        if wire == _MESSAGE:
            out += _varint(len(payload))
        out += payload
    if at != end:
        raise _MalformedError(f"a field runs past byte {end}")
    return bytes(out)


def _read_varint(stream: BinaryIO, at: int) -> tuple[int, int]:
    """Return a number (seven bits a byte, least first; the high bit: more follow), and its end."""
    value = 0
    for count in range(10):
        byte = stream.read(1)
        if not byte:
            raise _MalformedError("the file ends within a field")
        value |= (byte[0] & 0x7F) << (7 * count)
        if byte[0] < 0x80:  # noqa: PLR2004
            return value, at + count + 1
    raise _MalformedError(f"byte {at} begins no number")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

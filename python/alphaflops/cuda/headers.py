"""The device headers that are shipped with the package."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from alphaflops.errors import IoError

__all__ = ["entry_headers", "folder", "source_hash"]

_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


@cache
def folder() -> Path:
    """Return where the headers are: in the package, or in the source tree that it is run from.

    Raises
    ------
    IoError
        They are in neither.
    """
    shipped = Path(__file__).parent / "kernels"
    in_tree = Path(__file__).resolve().parents[3] / "cuda" / "kernels"
    for each in (shipped, in_tree):
        if (each / "device.cuh").is_file():
            return each
    raise IoError(f"the device headers are not in {shipped}; install alphaflops again")


def entry_headers() -> list[str]:
    """Return the headers that have kernels: those that no other includes."""
    texts = {header.name: header.read_text() for header in folder().glob("*.cuh")}
    included = {name for text in texts.values() for name in _INCLUDE.findall(text)}
    return sorted(texts.keys() - included)


@cache
def source_hash() -> str:
    """Return a hash of all headers: any may include any."""
    digest = hashlib.sha256()
    for header in sorted(folder().glob("*.cuh")):
        digest.update(header.name.encode() + b"\0" + header.read_bytes() + b"\0")
    return digest.hexdigest()

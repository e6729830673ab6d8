"""Machine code of the device headers, compiled once a GPU and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from alphaflops.cuda import nvrtc
from alphaflops.cuda.headers import folder, source_hash

__all__ = ["cache_folder", "cubin_of"]


def cache_folder() -> Path:
    """Return where compiled kernels are kept: XDG_CACHE_HOME, or ~/.cache, and alphaflops."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "alphaflops" / "cubins"


def cubin_of(header: str, arch: int) -> Path:
    """Return a file with the machine code of a header for ten times a compute capability.

    Compiled when it is first asked for, which takes seconds; the name has the GPU, the compiler and
    a hash of all sources.

    Raises
    ------
    MissingExtraError, DeviceError
        As of ``nvrtc.compile_source``.
    """
    options = nvrtc.options_for(arch, folder())
    flags = " ".join(options[:-1])  # wherever the headers are
    key = hashlib.sha256(f"{source_hash()} {flags} {nvrtc.version()}".encode()).hexdigest()[:20]
    path = cache_folder() / f"{Path(header).stem}-sm_{arch}-{key}.cubin"
    if path.is_file():
        return path
    cubin = nvrtc.compile_source(f'#include "{header}"\n', f"{path.stem}.cu", options)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process may be writing the same: whoever is last puts the same bytes there, whole.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(cubin)
    os.replace(file.name, path)
    return path

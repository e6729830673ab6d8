"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from alphaflops.errors import IoError


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` in UTF-8; as `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace `path` by `data` at once; on any failure the old file stands.

    Raises
    ------
    IoError
        The folder is missing or read-only, the path is a folder, or the disk is full.
    """
    target = Path(path)
    temporary = None
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "it is a folder; name a file")
        if target.exists() and not target.is_file():  # a device such as /dev/stdout
            with target.open("wb") as stream:
                stream.write(data)
            return
        with tempfile.NamedTemporaryFile(
            "wb", dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as stream:
            temporary = Path(stream.name)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise IoError(
            f"{target}: cannot write this file ({error.strerror}); "
            "choose another path with -o, or free space"
        ) from error

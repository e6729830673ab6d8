"""NVIDIA's run-time compiler: device source to machine code, without a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from alphaflops.errors import DeviceError, MissingExtraError

__all__ = ["compile_source", "options_for", "version"]

_OLDEST = (12, 4)  # 12.0 lacks built-in functions that the headers use; between was not tried
_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def _candidates() -> Iterator[str]:
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for part in ("cu13/lib", "cuda_nvrtc/lib"):
            yield from (str(Path(root, part, name)) for name in _NAMES)
    yield from _NAMES
    for toolkit in (os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if toolkit:
            yield from (str(Path(toolkit, "lib64", name)) for name in _NAMES)


def _load(path: Path) -> ctypes.CDLL:
    if path.is_absolute():  # not all versions look for these in their own folder
        for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins))
    return ctypes.CDLL(str(path))


def _version_of(library: ctypes.CDLL) -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


@cache
def _library() -> ctypes.CDLL:
    for candidate in _candidates():
        try:
            library = _load(Path(candidate))
        except OSError:
            continue
        if _version_of(library) < _OLDEST:
            continue
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        return library
    raise MissingExtraError(
        f"NVIDIA's run-time compiler is not installed (libnvrtc.so {_OLDEST[0]}.{_OLDEST[1]} or "
        'newer): pip install "alphaflops[cuda13]", or cuda12 for a driver of CUDA 12'
    )


def version() -> tuple[int, int]:
    """Return the compiler's version.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    return _version_of(_library())


def options_for(arch: int, include: Path, *, kind: str = "sm") -> list[str]:
    """Return what every device header is compiled with, for ten times a compute capability.

    The instructions of Hopper alone exist under the name sm_90a only. With kind ``"compute"`` the
    result is PTX, which the driver would compile further.
    """
    name = "90a" if arch == 90 else str(arch)  # noqa: PLR2004
    return [
        f"--gpu-architecture={kind}_{name}",
        "--std=c++20",
        "--device-as-default-execution-space",  # or versions before 13.5 refuse some lambdas
        f"--include-path={include}",
    ]


def _error(code: int, doing: str) -> DeviceError:
    said = _library().nvrtcGetErrorString(code)
    return DeviceError(f"{doing}: {said.decode() if said else code}")


def compile_source(source: str, name: str, options: Sequence[str]) -> bytes:
    """Compile to machine code (cubin), or to PTX where the options say compute.

    Raises
    ------
    MissingExtraError
        The compiler is not installed.
    DeviceError
        The source does not compile; the message has the compiler's log.
    """
    library = _library()
    program = ctypes.c_void_p()
    code = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), name.encode(), 0, None, None
    )
    if code:
        raise _error(code, f"{name}: making a program")
    try:
        encoded = [option.encode() for option in options]
        code = library.nvrtcCompileProgram(
            program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded)
        )
        if code:
            raise _error(code, f"{name}: {_log(program)}")
        kind = "PTX" if any("=compute_" in option for option in options) else "CUBIN"
        size = ctypes.c_size_t()
        getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
        made = ctypes.create_string_buffer(size.value)
        if code := getattr(library, f"nvrtcGet{kind}")(program, made):
            raise _error(code, f"{name}: taking what was compiled")
        return made.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _log(program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    _library().nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(max(size.value, 1))
    _library().nvrtcGetProgramLog(program, log)
    return log.value.decode(errors="replace").strip()

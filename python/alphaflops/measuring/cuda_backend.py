"""The cuda backend: the kernels of this package on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from alphaflops import _core
from alphaflops.cuda.driver import Driver, open_driver
from alphaflops.cuda.nvml import Watch, open_watch
from alphaflops.errors import UnsupportedError
from alphaflops.measuring.backends import Session
from alphaflops.measuring.cuda_session import CACHES, CudaSession
from alphaflops.measuring.device import Device, describe_device

__all__ = ["CudaBackend"]


class CudaBackend:
    """Fused launches on a GPU, timed by its own clock.

    Parameters
    ----------
    cache
        context, cold or hot.
    path
        native or cupy; the first of them that is installed.
    driver, watch
        Opened where left out.

    Raises
    ------
    UnsupportedError
        No such cache or path.
    MissingExtraError, NoDeviceError, DriverError, BrokenContextError
        As of ``alphaflops.cuda.open_driver``.
    """

    mode = "fused_relu"
    by_mode = False
    is_gpu = True
    times_reuse = False

    def __init__(
        self,
        cache: str = "context",
        path: str | None = None,
        *,
        driver: Driver | None = None,
        watch: Watch | None = None,
    ) -> None:
        if cache not in CACHES:
            raise UnsupportedError(f"cache {cache!r} is not known; use {', '.join(CACHES)}")
        self._cache = cache
        self._driver = open_driver(path) if driver is None else driver
        self._watch = open_watch(self._driver.info().pci_bus) if watch is None else watch

    def device(self) -> Device:
        """Describe the GPU, and the machine that it is in."""
        info = self._driver.info()
        device = describe_device(None)
        device["name"] = info.name
        device["isa"] = f"sm_{info.arch}"
        device["compiler"] = f"CUDA {_version(info.runtime_version)}"
        device["l2_bytes"] = info.l2_bytes
        device["memory_bytes"] = info.memory_bytes
        device["l1d_bytes"] = device["l3_bytes"] = 0
        return device

    def about(self) -> Mapping[str, object]:
        """Return what the table says, and which kernels and driver."""
        return {
            **self.provenance(),
            "kernels": f"alphaflops {_core.__version__}",
            "driver": self._driver.info().driver_version,
        }

    def provenance(self) -> Mapping[str, str | int]:
        """Return device, architecture, state of the cache, and the path that timed it."""
        info = self._driver.info()
        return {
            "backend": "cuda",
            "device": info.name,
            "isa": f"sm_{info.arch}",
            "cache": self._cache,
            "mode": self.mode,
            "path": self._driver.path,
            "sms": info.sm_count,
        }

    @contextmanager
    def session(self, training: bool = False) -> Iterator[Session]:
        """Take memory for flushing; say at the end what throttling spoilt."""
        if training:
            raise UnsupportedError("the cuda backend does not train yet; use the torch backend")
        session = CudaSession(self._driver, self._watch, self._cache)
        try:
            yield session
        finally:
            session.throttling.say()


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"

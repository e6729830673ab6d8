"""What runs operators and networks while they are timed: our kernels, on CPU or GPU, or PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.frontends.traced import Traced
from alphaflops.measuring.device import Device, describe_device, pinned
from alphaflops.measuring.readings import Sample

__all__ = [
    "BACKENDS",
    "Backend",
    "Bench",
    "HasProvenance",
    "NativeBackend",
    "Network",
    "Session",
    "backend_of",
    "named",
]

BACKENDS = ("native", "torch", "cuda")


class Bench(Protocol):
    """One operator, ready to be timed."""

    def warm_up(self) -> float:
        """Call a few times; return about what one call takes, in seconds."""

    def sample(self, iterations: int) -> Sample:
        """Time so many calls."""


class Reuse(NamedTuple):
    """After how many bytes and, at least, seconds the same weights are used again."""

    bytes: int
    seconds: float


class Network(Protocol):
    """A whole network, ready to be timed."""

    def sample(self, passes: int) -> Sample:
        """Time so many forward passes; the first call may be slow."""


class Session(Protocol):
    """A backend at work."""

    @property
    def between_s(self) -> float:
        """What a call costs in a sample beyond what is timed, about."""

    def bench(self, graph: Graph, pass_: str = "forward", reuse: Reuse | None = None) -> Bench:
        """Make one pass of a graph's one operator ready; raises Error where it cannot be run.

        Its weights come from memory, or from where they are when they are used again.
        """

    def network(self, graph: Graph, seed: int) -> Network:
        """Make a network with random weights ready; raises Error where it cannot be run."""

    def iterations_for(self, call_s: float) -> int:
        """So many calls that a sample is long beside the clock's resolution."""


@runtime_checkable
class RunsModules(Protocol):
    """A session of PyTorch, which runs a user's own module in place of its graph."""

    def module(self, traced: Traced, seed: int) -> Network:
        """Make a module ready, with random inputs; raises Error where it cannot be run."""


class Backend(Protocol):
    """What is measured, and how."""

    @property
    def mode(self) -> str:
        """Which operators share a launch: fused, fused_relu or eager."""

    @property
    def by_mode(self) -> bool:
        """Whether an operator's readings have a mode that a network sees, beside others."""

    @property
    def is_gpu(self) -> bool:
        """Whether it runs on a GPU, which a single image leaves idle for the most part."""

    @property
    def times_reuse(self) -> bool:
        """Whether its sessions time weights that are used again after so many bytes."""

    def device(self) -> Device:
        """Describe what the operators run on."""

    def about(self) -> Mapping[str, object]:
        """Return what samples must agree in to be of one campaign, in words."""

    def provenance(self) -> Mapping[str, str | int]:
        """Columns of the measurement table that say how it came about."""

    def session(self, training: bool = False) -> AbstractContextManager[Session]:
        """Set the process up for timing, of inference or of training, and back again."""


class NativeBackend:
    """The kernels of this package, one thread."""

    mode = "fused_relu"  # the kernels of products apply no other activation
    by_mode = False
    is_gpu = False

    def __init__(self, isa: str | None = None, cache: str = "context") -> None:
        self._device = describe_device(isa)
        self._cache = cache

    @property
    def times_reuse(self) -> bool:
        """Whether weights come from memory unless a row says otherwise."""
        return self._cache == "context"

    def device(self) -> Device:
        """Describe this processor."""
        return self._device

    def about(self) -> Mapping[str, object]:
        """Return what the table says, and caches and kernels."""
        device = self._device
        return {
            "device": device["name"],
            "isa": device["isa"],
            "caches": [device["l1d_bytes"], device["l2_bytes"], device["l3_bytes"]],
            "kernels": f"alphaflops {device['library']}, {device['compiler']}",
            "backend": "native",
            "cache": self._cache,
        }

    def provenance(self) -> Mapping[str, str | int]:
        """Return backend, device, instruction set and state of the cache."""
        return {
            "backend": "native",
            "device": self._device["name"],
            "isa": self._device["isa"],
            "mode": self.mode,
            "cache": self._cache,
        }

    @contextmanager
    def session(self, training: bool = False) -> Iterator[Session]:
        """Bind the thread to one processor."""
        if training:
            raise UnsupportedError("the native kernels do not train; use the torch backend")
        with pinned():
            yield _NativeSession(self._device["isa"], self._cache)


class _NativeSession:
    between_s = 0.0

    def __init__(self, isa: str, cache: str) -> None:
        self._isa, self._cache = isa, cache
        self._workbench = _core.Workbench()

    def bench(self, graph: Graph, pass_: str = "forward", reuse: Reuse | None = None) -> Bench:
        return _core.Bench(graph, self._workbench, self._isa, self._cache, 0, *(reuse or ()))

    def network(self, graph: Graph, seed: int) -> Network:
        return _NativeNetwork(_core.Executor(graph, NativeBackend.mode, self._isa, seed))

    def iterations_for(self, call_s: float) -> int:
        return _core.Bench.iterations_for(call_s)


class _NativeNetwork:
    def __init__(self, executor: _core.Executor) -> None:
        self._executor = executor

    def sample(self, passes: int) -> Sample:
        return _core.sample_network(self._executor, passes)


def _native(isa: str | None, cache: str, **others: Any) -> Backend:
    _refuse("native", others)
    return NativeBackend(isa, cache)


def _torch(isa: str | None, cache: str, path: str | None, **torch_options: Any) -> Backend:
    from alphaflops.measuring.torch_backend import TorchBackend  # noqa: PLC0415

    _refuse("torch", {"isa": isa, "path": path})
    if cache != "context":
        raise UnsupportedError(f"cache {cache!r} is not known to the torch backend; use context")
    return TorchBackend(**{k: v for k, v in torch_options.items() if v is not None})


def _cuda(isa: str | None, cache: str, path: str | None, **others: Any) -> Backend:
    from alphaflops.measuring.cuda_backend import CudaBackend  # noqa: PLC0415

    _refuse("cuda", {"isa": isa, **others})
    return CudaBackend(cache, path)


def _refuse(name: str, options: Mapping[str, object]) -> None:
    for option, value in options.items():
        if value is not None:
            raise ShapeError(f"{option} is {value!r}; the {name} backend has no such option")


_MAKERS: dict[str, Callable[..., Backend]] = {"native": _native, "torch": _torch, "cuda": _cuda}


def named(
    name: str,
    *,
    isa: str | None = None,
    cache: str = "context",
    layout: str | None = None,
    threads: int | None = None,
    on: str | None = None,
    cuda_graph: bool | None = None,
    cudnn_benchmark: bool | None = None,
    path: str | None = None,
) -> Backend:
    """Return a backend by its name.

    Parameters
    ----------
    name
        One of ``BACKENDS``.
    isa
        scalar, avx2, avx512 or neon; the best of this processor by default. Native only.
    cache
        context or hot; cuda has cold as well, torch has context only.
    layout, threads, on, cuda_graph, cudnn_benchmark
        As of ``TorchBackend``; torch only.
    path
        As of ``CudaBackend``; cuda only.

    Raises
    ------
    UnsupportedError
        No such backend, or something that it does not do here.
    ShapeError
        An option that this backend does not have.
    MissingExtraError
        PyTorch is not installed, or what the cuda backend needs; the message says how to get it.
    NoDeviceError, DriverError, BrokenContextError
        As of ``CudaBackend``.
    """
    if name not in _MAKERS:
        raise UnsupportedError(f"backend {name!r} is not known; use {' or '.join(BACKENDS)}")
    return _MAKERS[name](
        isa,
        cache,
        layout=layout,
        threads=threads,
        on=on,
        cuda_graph=cuda_graph,
        cudnn_benchmark=cudnn_benchmark,
        path=path,
    )


class HasProvenance(Protocol):
    """A profile."""

    @property
    def data(self) -> dict[str, Any]:
        """The whole file."""


def backend_of(profile: HasProvenance, *, isa: str | None = None) -> Backend:
    """Return the backend that a profile was measured with, set up in the same way.

    Profiles of what is not here are held against the native kernels; `isa` is theirs, by default
    the profile's where this processor has it.
    """
    how = profile.data["provenance"]
    if how["backend"] == "cuda" and how.get("path") is not None:
        return named("cuda", isa=isa, cache=how.get("cache", "context"), path=how["path"])
    if how["backend"] != "torch":
        same = how.get("isa") if how.get("isa") in _core.available_isas() else None
        cache = how.get("cache", "context") if how["backend"] == "native" else "context"
        return named("native", isa=isa or same, cache=cache)
    options = {name: how.get(name) for name in ("layout", "threads", "on")}
    if how.get("on") == "cuda":
        options |= {name: bool(how.get(name)) for name in ("cuda_graph", "cudnn_benchmark")}
    return named("torch", isa=isa, **options)

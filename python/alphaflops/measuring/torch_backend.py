"""The torch backend: operators and networks as PyTorch runs them eagerly.

docs/measuring.md says what is simulated around a timed call, and why so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.measuring.backends import Session
from alphaflops.measuring.device import Device, describe_device, pinned
from alphaflops.measuring.probe import check_threads
from alphaflops.measuring.torch_operators import LAYOUTS, import_torch

__all__ = ["TorchBackend"]


class TorchBackend:
    """PyTorch, eagerly, on this processor (fp32, bf16) or a GPU (fp32, tf32, fp16, bf16).

    Parameters
    ----------
    layout
        nchw or channels_last.
    threads
        Of PyTorch's own pool, for work within an operator.
    on
        cpu or cuda; cuda where PyTorch finds a GPU.
    cuda_graph
        Whether calls on a GPU are captured as CUDA graphs, which leaves out what the host takes to
        launch them.
    cudnn_benchmark
        PyTorch's switch of that name, on a GPU: whether cuDNN tries its algorithms. As it stands
        where left out.

    Raises
    ------
    MissingExtraError
        PyTorch is not installed.
    UnsupportedError
        A layout that is not known, more threads than processors, a GPU that is not there.
    ShapeError
        An option of GPUs for a processor.
    """

    mode = "eager"
    times_reuse = False

    def __init__(
        self,
        layout: str = "nchw",
        threads: int = 1,
        on: str | None = None,
        *,
        cuda_graph: bool = False,
        cudnn_benchmark: bool | None = None,
    ) -> None:
        torch = import_torch()
        if layout not in LAYOUTS:
            raise UnsupportedError(f"layout {layout!r} is not known; use {' or '.join(LAYOUTS)}")
        check_threads(threads)
        has_gpu = torch.cuda.is_available()
        if on not in (None, "cpu", "cuda") or (on == "cuda" and not has_gpu):
            known = "cpu or cuda" if has_gpu else "cpu: PyTorch finds no GPU"
            raise UnsupportedError(f"the torch backend cannot run on {on!r}; use {known}")
        self._layout, self._threads = layout, threads
        self._on = on or ("cuda" if has_gpu else "cpu")
        if self._on == "cpu" and (cuda_graph or cudnn_benchmark):
            raise ShapeError("cuda_graph and cudnn_benchmark are options on a GPU; leave them out")
        self._cuda_graph, self._cudnn_benchmark = cuda_graph, cudnn_benchmark

    @property
    def by_mode(self) -> bool:
        """Whether there are several threads on a processor.

        Calls whose threads slept take half a millisecond more, up to every second one here, and
        hardly any within a network, which keeps its threads awake.
        """
        return self._on == "cpu" and self._threads > 1

    @property
    def is_gpu(self) -> bool:
        """Whether PyTorch runs on a GPU."""
        return self._on == "cuda"

    def device(self) -> Device:
        """Describe the processor, with the GPU's name where one is measured."""
        torch = import_torch()
        device = describe_device(None)
        device["isa"] = torch.backends.cpu.get_cpu_capability().lower()
        device["compiler"] = f"PyTorch {torch.__version__}"
        if self._on == "cuda":
            about = _gpu()
            device["name"], device["isa"] = about.name, f"sm_{about.major}{about.minor}"
            device["compiler"] += f", CUDA {torch.version.cuda}"
            device["compiler"] += f", cuDNN {torch.backends.cudnn.version()}"
            device["memory_bytes"] = about.total_memory
            device["l2_bytes"] = getattr(about, "L2_cache_size", 0)
            device["l1d_bytes"] = device["l3_bytes"] = 0
        return device

    def about(self) -> Mapping[str, object]:
        """Everything that the table says; a sample taken otherwise is of another campaign."""
        return self.provenance()

    def provenance(self) -> Mapping[str, str | int]:
        """Return what ran; on a GPU also how it was launched, and who chose cuDNN's algorithms."""
        torch = import_torch()
        device = self.device()
        on_gpu = {} if self._on == "cpu" else {"sms": _gpu().multi_processor_count}
        return {
            "backend": "torch",
            "device": device["name"],
            "isa": device["isa"],
            "cache": "context",
            "mode": self.mode,
            "torch": str(torch.__version__),
            "on": self._on,
            "layout": self._layout,
            "threads": self._threads,
            **on_gpu,
            "cuda_graph": int(self._cuda_graph),
            "cudnn_benchmark": int(self._tries_algorithms()),
        }

    def _tries_algorithms(self) -> bool:
        switch = bool(import_torch().backends.cudnn.benchmark)
        return switch if self._cudnn_benchmark is None else self._cudnn_benchmark

    @contextmanager
    def session(self, training: bool = False) -> Iterator[Session]:
        """Set threads and switches, and turn gradients off, or on for training."""
        torch = import_torch()
        before = torch.get_num_threads(), torch.backends.cudnn.benchmark
        is_alone = self._threads == 1 and self._on == "cpu"
        bound: AbstractContextManager[object] = pinned() if is_alone else nullcontext()
        if training and self._on == "cuda":
            raise UnsupportedError("the torch backend times training on a processor only; use cpu")
        gradients = torch.enable_grad() if training else torch.inference_mode()
        with bound, gradients:
            torch.set_num_threads(self._threads)
            torch.backends.cudnn.benchmark = self._tries_algorithms()
            try:
                if self._on == "cuda":
                    from alphaflops.measuring.torch_cuda import CudaSession  # noqa: PLC0415

                    session = CudaSession(self._layout, in_graphs=self._cuda_graph)
                    yield session
                    session.throttling.say()
                else:
                    from alphaflops.measuring.torch_session import TorchSession  # noqa: PLC0415

                    on_cpu = TorchSession(self._layout, self._threads, training=training)
                    try:
                        yield on_cpu
                    finally:
                        on_cpu.heap.let_go()
            finally:
                torch.set_num_threads(before[0])
                torch.backends.cudnn.benchmark = before[1]


def _gpu() -> Any:
    cuda = import_torch().cuda
    return cuda.get_device_properties(cuda.current_device())

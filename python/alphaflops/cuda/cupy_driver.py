"""The GPU by way of CuPy: the shipped headers, compiled at run time."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from alphaflops._cuda_plan import Launch, Plan, probe_plans
from alphaflops.cuda import libcuda
from alphaflops.cuda.cubins import cubin_of
from alphaflops.cuda.driver import Addresses, DeviceInfo, Memory, Program, needs_memory
from alphaflops.errors import (
    BrokenContextError,
    DeviceError,
    DeviceMemoryError,
    DriverError,
    NoDeviceError,
    ShapeError,
    UnsupportedError,
)

__all__ = ["CupyDriver", "translated"]

_SHARED_WITHOUT_ASKING = 48 * 1024
_MOST_HELD = 400  # launches: a stream takes about a thousand before the host has to wait
_MOST_HELD_NS = 200_000_000  # as of the native driver
_INSUFFICIENT_DRIVER, _NO_DEVICE, _STUB, _OUT_OF_MEMORY = 35, 100, 34, 2
#: What keeps CUDA from starting: busy, no fabric manager, a half-updated driver, cuda-compat.
_NOT_STARTED: dict[int, tuple[type[DeviceError], str]] = {
    46: (
        NoDeviceError,
        "the GPU is busy or may not be used; look at nvidia-smi for its compute mode and for who "
        "has it",
    ),
    802: (
        NoDeviceError,
        "the machine's GPUs are not ready; where NVSwitch joins them, the service "
        "nvidia-fabricmanager must run",
    ),
    803: (
        DriverError,
        "the NVIDIA driver's library (libcuda.so.1) and the driver that runs are of different "
        "versions; restart the machine, or the container",
    ),
    804: (
        DriverError,
        "the newer driver library of the package cuda-compat does not work on this GPU; take its "
        "folder out of LD_LIBRARY_PATH, or update the driver",
    ),
}


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _old_driver(runtime: Any) -> DeviceError:
    driver = runtime.driverGetVersion()
    if driver == 0:
        return NoDeviceError(
            "no NVIDIA driver is installed, or it cannot be loaded (libcuda.so.1); install the "
            "driver of your GPU, or start the container with access to it (docker: --gpus all)"
        )
    return DriverError(
        f"the NVIDIA driver supports CUDA {_version(driver)}, and CuPy was built with "
        f"{_version(runtime.runtimeGetVersion())}; update the driver, or install the extra of "
        "your driver's version (alphaflops[cuda12])"
    )


@contextmanager
def translated(cupy: Any, doing: str) -> Iterator[None]:
    """Turn CuPy's errors into those of this package, and tell which of them stay."""
    runtime = cupy.cuda.runtime
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise DeviceMemoryError(f"{doing}: {error}; use a smaller batch") from error
    except (runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        status = getattr(error, "status", None)
        if status == _INSUFFICIENT_DRIVER:
            raise _old_driver(runtime) from error
        if status in _NOT_STARTED:
            kind, what = _NOT_STARTED[status]
            raise kind(what) from error
        if status in (_NO_DEVICE, _STUB):
            raise NoDeviceError(
                "no NVIDIA GPU is visible; look at nvidia-smi, and at CUDA_VISIBLE_DEVICES"
            ) from error
        if status == _OUT_OF_MEMORY:
            raise DeviceMemoryError(f"{doing}: {error}; use a smaller batch") from error
        if status in libcuda.STAYING or not _answers(runtime):
            raise BrokenContextError(
                f"{doing}: {error}. The process's CUDA context is broken and every later call in "
                "it fails: start a new process"
            ) from error
        raise DeviceError(f"{doing}: {error}") from error


def _answers(runtime: Any) -> bool:
    """Return whether the device answers a question."""
    try:
        runtime.memGetInfo()
    except runtime.CUDARuntimeError:
        return False
    return True


class CupyDriver:
    """Kernels that are compiled when they are first used.

    Raises
    ------
    NoDeviceError, DriverError, UnsupportedError, BrokenContextError
        As of ``open_driver``.
    """

    path = "cupy"

    def __init__(self, device: int = 0) -> None:
        import cupy  # noqa: PLC0415

        self._cupy = cupy
        with translated(cupy, "looking for a GPU"):
            self.device_count = int(cupy.cuda.runtime.getDeviceCount())
            if not 0 <= device < self.device_count:
                raise UnsupportedError(
                    f"device {device} is not there; there are {self.device_count}, counted from 0"
                )
            self._device = cupy.cuda.Device(device)
            self._info = self._describe(device)
            with self._device:
                self._stream = cupy.cuda.Stream(non_blocking=True)
                self._flag = cupy.cuda.alloc_pinned_memory(4)
        self._word = ctypes.c_uint.from_address(self._flag.ptr)
        self._word.value = 1
        self._functions: dict[str, Any] = {}
        self._shared: dict[str, int] = {}  # bytes that each may have
        self._launched: set[int] = set()  # functions
        self._blocker: _CupyProgram | None = None
        blockers = probe_plans("block", self._info.target, _MOST_HELD_NS)
        if blockers:
            self._blocker = self.program([(blockers[0], {"flag": self._flag.ptr})])

    def _describe(self, device: int) -> DeviceInfo:
        runtime = self._cupy.cuda.runtime
        properties = runtime.getDeviceProperties(device)
        return DeviceInfo(
            index=device,
            name=properties["name"].decode(),
            pci_bus=str(runtime.deviceGetPCIBusId(device)),
            arch=10 * properties["major"] + properties["minor"],
            sm_count=properties["multiProcessorCount"],
            shared_per_block_bytes=properties["sharedMemPerBlockOptin"],
            l2_bytes=properties["l2CacheSize"],
            memory_bytes=properties["totalGlobalMem"],
            clock_hz=1e3 * runtime.deviceGetAttribute(runtime.cudaDevAttrClockRate, device),
            driver_version=runtime.driverGetVersion(),
            runtime_version=runtime.runtimeGetVersion(),
        )

    def info(self) -> DeviceInfo:
        """Describe the GPU."""
        return self._info

    def memory(self) -> tuple[int, int]:
        """Free bytes, and all."""
        with translated(self._cupy, "asking for free memory"), self._device:
            free, total = self._cupy.cuda.runtime.memGetInfo()
        return int(free), int(total)

    def allocate(self, size: int) -> Memory:
        """Take memory."""
        free, total = self.memory()
        if size > free:
            raise needs_memory(size, free, total)
        with translated(self._cupy, f"taking {size} bytes"), self._device:
            return _CupyMemory(self._cupy, max(size, 1))

    def program(self, steps: Sequence[tuple[Plan, Addresses]]) -> _CupyProgram:
        """Make plans ready."""
        with translated(self._cupy, "making kernels ready"), self._device:
            made = [
                (self._function(launch), launch, _parameters(launch, addresses))
                for plan, addresses in steps
                for launch in plan.launches
            ]
        return _CupyProgram(self._cupy, made)

    def _function(self, launch: Launch) -> int:
        if launch.symbol not in self._functions:
            module = self._cupy.RawModule(path=str(cubin_of(launch.header, self._info.arch)))
            self._functions[launch.symbol] = module.get_function(launch.symbol)
        function = self._functions[launch.symbol].kernel.ptr
        # Never less than before: other programs launch the same kernel.
        if launch.shared_bytes > self._shared.get(launch.symbol, _SHARED_WITHOUT_ASKING):
            libcuda.allow_shared(function, launch.shared_bytes, launch.symbol)
            self._shared[launch.symbol] = launch.shared_bytes
        return int(function)

    def captured(self, programs: Sequence[Program], turns: int = 1) -> _CupyGraph:
        """Put programs into one CUDA graph."""
        stream = self._cupy.cuda.Stream(non_blocking=True)
        with translated(self._cupy, "capturing a graph"), self._device, stream:
            self._launch_new(programs)
            stream.begin_capture()
            try:
                for program in list(programs) * turns:
                    program.launch(stream.ptr)
            finally:
                graph = stream.end_capture()
            # Else the first launch would do this, behind a blocking kernel perhaps.
            graph.upload(stream)
            stream.synchronize()
        return _CupyGraph(self._cupy, graph, list(programs), turns)

    @contextmanager
    def _held(self) -> Iterator[Callable[[], None]]:
        """Hold the stream back until what is yielded is called, or an error comes."""

        def release() -> None:
            self._word.value = 1

        self._word.value = 0
        try:
            if self._blocker is not None:
                self._blocker.launch(self._stream.ptr)
            yield release
        finally:
            release()

    def _launch_new(self, programs: Sequence[Program]) -> None:
        """Run those never launched before anything is held: the driver may wait for the device."""
        for program in programs:
            if isinstance(program, _CupyProgram) and not program.functions <= self._launched:
                self._launched |= program.functions
                program.launch(self._stream.ptr)
                self._stream.synchronize()

    def _events(self) -> tuple[Any, Any]:
        """Make two, before anything is held: the driver may wait where it makes them."""
        return self._cupy.cuda.Event(), self._cupy.cuda.Event()

    def _batches(self, calls: int, launches: int) -> Iterator[range]:
        most = max(1, _MOST_HELD // max(launches, 1))
        for first in range(0, calls, most):
            yield range(first, min(first + most, calls))

    def hot(self, programs: Sequence[Program], calls: int) -> float:
        """Seconds a call of so many in a row."""
        total_ms = 0.0
        with translated(self._cupy, "running what is timed"), self._device:
            self._launch_new(programs)
            for batch in self._batches(calls, max(map(len, programs))):
                begin, end = self._events()
                with self._held() as release:
                    begin.record(self._stream)
                    for i in batch:
                        programs[i % len(programs)].launch(self._stream.ptr)
                    end.record(self._stream)
                    release()
                    end.synchronize()
                total_ms += self._cupy.cuda.get_elapsed_time(begin, end)
        return total_ms * 1e-3 / calls

    def cold(
        self, programs: Sequence[Program], before: Sequence[Program], calls: int
    ) -> list[float]:
        """Seconds of each call, with what runs before each left out."""
        times_s: list[float] = []
        each = max(map(len, programs)) + sum(map(len, before)) + 2
        with translated(self._cupy, "running what is timed"), self._device:
            self._launch_new([*before, *programs])
            for batch in self._batches(calls, each):
                events = [self._events() for _ in batch]
                with self._held() as release:
                    for i, (begin, end) in zip(batch, events, strict=True):
                        for program in before:
                            program.launch(self._stream.ptr)
                        begin.record(self._stream)
                        programs[i % len(programs)].launch(self._stream.ptr)
                        end.record(self._stream)
                    release()
                    self._stream.synchronize()
                times_s += [self._cupy.cuda.get_elapsed_time(*pair) * 1e-3 for pair in events]
        return times_s

    def enqueued(self, programs: Sequence[Program], calls: int) -> float:
        """Seconds a call by the host's clock."""
        with translated(self._cupy, "running what is timed"), self._device:
            self._stream.synchronize()
            start = time.perf_counter()
            for i in range(calls):
                programs[i % len(programs)].launch(self._stream.ptr)
            self._stream.synchronize()
            return (time.perf_counter() - start) / calls


def _parameters(launch: Launch, addresses: Addresses) -> Any:
    """Return a launch's parameter with its addresses filled in, as a ctypes buffer."""

    def address_of(buffer: str, byte_offset: int) -> int:
        if not addresses.get(buffer):
            raise ShapeError(f"{launch.symbol} needs {buffer}, and none was given")
        return addresses[buffer] + byte_offset

    filled = bytearray(launch.parameters)
    for pointer in launch.pointers:
        address = address_of(pointer.buffer, pointer.byte_offset)
        filled[pointer.offset : pointer.offset + 8] = address.to_bytes(8, "little")
    for tensor_map in launch.tensor_maps:
        address = address_of(tensor_map.buffer, tensor_map.byte_offset)
        end = tensor_map.offset + libcuda.TENSOR_MAP_BYTES
        filled[tensor_map.offset : end] = libcuda.encode(tensor_map, address)
    return (ctypes.c_char * len(filled)).from_buffer(filled)


class _CupyMemory:
    """Memory outside of CuPy's pool, so that what is free stays what the driver says."""

    def __init__(self, cupy: Any, size: int) -> None:
        self._cupy, self._size = cupy, size
        self._memory = cupy.cuda.Memory(size)
        self._pointer = cupy.cuda.MemoryPointer(self._memory, 0)
        self.address = int(self._pointer.ptr)

    def __len__(self) -> int:
        return self._size

    def _check(self, size: int, offset: int) -> None:
        if not 0 <= offset <= self._size - size:
            raise ShapeError(
                f"bytes {offset} to {offset + size} do not lie within the {self._size} taken"
            )

    def write(self, from_: Any, offset: int = 0) -> None:
        array = np.frombuffer(from_, np.uint8)
        self._check(array.nbytes, offset)
        with translated(self._cupy, "copying to the device"):
            (self._pointer + offset).copy_from_host(array.ctypes.data, array.nbytes)
            # The copy may return before it has arrived, and other streams read it.
            self._cupy.cuda.runtime.streamSynchronize(0)

    def read(self, bytes: int, offset: int = 0) -> bytes:
        self._check(bytes, offset)
        array = np.empty(bytes, np.uint8)
        with translated(self._cupy, "copying from the device"):
            (self._pointer + offset).copy_to_host(array.ctypes.data, bytes)
        return array.tobytes()

    def repeat(self, bytes: int) -> None:
        self._check(bytes, 0)
        done = bytes
        with translated(self._cupy, "filling memory"):
            while 0 < done < self._size:
                more = min(done, self._size - done)
                (self._pointer + done).copy_from_device(self._pointer, more)
                done += more
            self._cupy.cuda.runtime.deviceSynchronize()


class _CupyProgram:
    def __init__(self, cupy: Any, kernels: Sequence[tuple[int, Launch, Any]]) -> None:
        self._cupy, self._kernels = cupy, kernels
        self.functions = {function for function, _, _ in kernels}

    def launch(self, stream: int = 0) -> None:
        for function, launch, parameters in self._kernels:
            libcuda.launch(function, launch, parameters, stream)

    def __len__(self) -> int:
        return len(self._kernels)


class _CupyGraph:
    def __init__(self, cupy: Any, graph: Any, programs: list[Program], turns: int) -> None:
        self._cupy, self._graph = cupy, graph
        self._kept = programs  # their kernels must outlive the graph
        self._launches = turns * sum(map(len, programs))

    def launch(self, stream: int = 0) -> None:
        self._cupy.cuda.runtime.graphLaunch(self._graph.graphExec, stream)

    def __len__(self) -> int:
        return self._launches

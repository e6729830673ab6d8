"""What a bench, or one process of it, is to time, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from alphaflops import _core
from alphaflops.errors import Error, ShapeError, UnsupportedError
from alphaflops.measuring.cases import Case
from alphaflops.measuring.probe import check_threads

__all__ = ["ALGORITHMS", "LAYOUTS", "Job", "Task", "check_algorithms", "parse_threads"]

ALGORITHMS = ("auto", "direct", "gemm", "depthwise", "grouped", "winograd2", "winograd4")
LAYOUTS = ("nhwc", "nchw")


class Task(NamedTuple):
    """A case on so many threads."""

    case: Case
    threads: int


@dataclass
class Job:
    """What one process is to time: every case on each number of threads."""

    cases: list[Case]
    algorithms: list[str]  # of each task; auto until one is chosen
    isas: dict[str, str] = field(default_factory=dict)  # by dtype
    threads: list[int] = field(default_factory=lambda: [1])
    winograd: bool = True  # whether auto may take it
    layout: str = "nhwc"
    seed: int = 0
    budget_s: float = 10.0
    delay: float = 0.0
    limit_bytes: int = 0

    @property
    def tasks(self) -> list[Task]:
        """Every case on each number of threads, in order."""
        return [Task(case, threads) for case in self.cases for threads in self.threads]

    def workbench(self) -> _core.ConvWorkbench:
        """Reserve memory and start threads for any of the tasks."""
        return _core.ConvWorkbench(max(self.threads), self.seed, self.limit_bytes)

    def benches(self, workbench: _core.ConvWorkbench) -> list[_core.ConvBench]:
        """Build one bench a task; a case that cannot be is an error that names it."""
        built = []
        for (case, threads), algorithm in zip(self.tasks, self.algorithms, strict=True):
            try:
                built.append(
                    _core.ConvBench(
                        case.shape,
                        workbench,
                        case.dtype,
                        self.isas[case.dtype],
                        algorithm,
                        self.winograd,
                        threads,
                        self.layout,
                    )
                )
            except Error as error:
                raise type(error)(f"{case.name} ({case.label}): {error}") from error
        return built


def check_algorithms(algorithm: str | Sequence[str], cases: Sequence[Case]) -> list[str]:
    """Return the algorithm of each case: one for all, or a sequence of one a case."""
    algorithms = [algorithm] * len(cases) if isinstance(algorithm, str) else list(algorithm)
    for each in algorithms:
        if each not in ALGORITHMS:
            raise UnsupportedError(f"algorithm {each!r} is none of {', '.join(ALGORITHMS)}")
    if len(algorithms) != len(cases):
        raise ShapeError(f"{len(algorithms)} algorithms for {len(cases)} cases; give one a case")
    return algorithms


def parse_threads(threads: int | str | Sequence[int]) -> list[int]:
    """Read a number of threads, several, or text such as ``1,2`` or ``1-4``.

    Raises
    ------
    ShapeError
        No such text; fewer than one thread.
    UnsupportedError
        More threads than processors.
    """
    if isinstance(threads, str):
        counts = [n for part in threads.split(",") for n in _range(part, threads)]
    else:
        counts = [threads] if isinstance(threads, int) else list(threads)
    if not counts:
        raise ShapeError("threads is empty; give a number, or several")
    for count in counts:
        check_threads(count)
    return list(dict.fromkeys(counts))


def _range(part: str, text: str) -> range:
    low, dash, high = part.partition("-")
    try:
        ends = int(low), int(high if dash else low)
    except ValueError:
        ends = 1, 0
    if ends[0] > ends[1]:
        raise ShapeError(
            f"threads is {text!r}; give a number, a list such as 1,2 or a range such as 1-4"
        )
    for end in ends:  # before a range of any length is gone through
        check_threads(end)
    return range(ends[0], ends[1] + 1)

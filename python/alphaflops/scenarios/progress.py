"""What a console shows of a campaign: a bar with the time left, and what it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from alphaflops.measuring.standing import Standing

_WIDTH = 24  # which with the longest words fits 80 columns, so that the bar does not shrink
_LAST_S = 0.5  # rounded, none are left: a fit may follow, which takes seconds

#: ``(done, total, elapsed_s, remaining_s)``.
Callback = Callable[[int, int, float, float], None]


class Bar:
    """A bar that is as long as the share of the time that is over, with words beside it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._words = ""

    def stand(self, standing: Standing) -> None:
        """Have it say where a campaign stands; without, how many operators are settled."""
        self._words = words_of(standing)

    def __call__(self, done: int, total: int, elapsed_s: float, remaining_s: float) -> None:
        """Draw it anew, as a ``Callback``."""
        last = done >= total or remaining_s < _LAST_S
        self._progress.update(
            self._task,
            completed=1.0 if last else elapsed_s / (elapsed_s + remaining_s),
            points=self._words or f"{done}/{total} operators settled",
            left="finishing" if last else f"{remaining_s:3.0f} s left",
        )


def words_of(standing: Standing) -> str:
    """Return what grows at the time: operators that are ready, then with a sample, then samples."""
    shapes, samples = standing.shapes, standing.samples
    if samples == 0:
        return f"{standing.ready}/{shapes} operators ready"
    if samples == standing.timed < shapes:
        return f"{standing.timed}/{shapes} operators timed"
    if standing.settled == 0:
        return f"{samples} samples of {standing.timed} operators"
    return f"{samples} samples, {standing.settled}/{shapes} settled"


@contextmanager
def bar(console: Console, title: str) -> Iterator[Bar]:
    """Draw a bar on `console` while the block runs; quiet where it is no terminal."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=_WIDTH),
        TextColumn("{task.fields[points]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(title, total=1.0, points="", left="")
        yield Bar(progress, task)
        progress.update(task, completed=1.0, left="done")


def going_on(console: Console) -> Callable[[int], None]:
    """Return what says on `console` how many samples a journal had."""

    def say(samples: int) -> None:
        console.print(f"going on from {samples} samples", highlight=False)

    return say

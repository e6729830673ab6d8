"""What a console shows of a campaign: a bar with the time left, and what it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_LAST_S = 0.5  # rounded, none are left: a fit may follow, which takes seconds

#: ``(done, total, elapsed_s, remaining_s)``.
Callback = Callable[[int, int, float, float], None]


@contextmanager
def bar(console: Console, title: str) -> Iterator[Callback]:
    """Draw a bar on `console` while the block runs; quiet where it is no terminal."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=40),
        TextColumn("{task.fields[points]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(title, total=1.0, points="", left="")

        def update(done: int, total: int, elapsed_s: float, remaining_s: float) -> None:
            last = done >= total or remaining_s < _LAST_S
            progress.update(
                task,
                completed=1.0 if last else elapsed_s / (elapsed_s + remaining_s),
                points=f"{done}/{total} operators settled",
                left="finishing" if last else f"{remaining_s:3.0f} s left",
            )

        yield update
        progress.update(task, completed=1.0, left="done")


def going_on(console: Console) -> Callable[[int], None]:
    """Return what says on `console` how many samples a journal had."""

    def say(samples: int) -> None:
        console.print(f"going on from {samples} samples", highlight=False)

    return say

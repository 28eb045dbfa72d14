"""What a person sees while training: a bar where there is a terminal and `rich`, else one line per epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from .checkpoint import Epoch


class Progress(Protocol):
    """Told of batches and epochs as they are done; both count from 1."""

    def batch(self, epoch: int, done: int, loss: float) -> None: ...

    def epoch(self, epoch: int, measured: Epoch) -> None: ...


@contextmanager
def shown(epochs: int, batches: int, done: int, quiet: bool) -> Iterator[Progress]:
    """Progress over `epochs` of `batches` each, of which `done` epochs were done before."""
    if quiet:
        yield Silence()
        return
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Display
        except ImportError:
            pass
        else:
            columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TimeRemainingColumn())
            with Display(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as display:
                task = display.add_task("", total=epochs * batches, completed=done * batches, epoch=done, note="")
                yield Bar(display, task, epochs, batches)
            return
    yield Lines(epochs)


class Silence:
    """Says nothing."""

    def batch(self, epoch: int, done: int, loss: float) -> None:
        pass

    def epoch(self, epoch: int, measured: Epoch) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Lines:
    """One plain line per epoch on stderr: for logs, pipes and machines without `rich`."""

    epochs: int

    def batch(self, epoch: int, done: int, loss: float) -> None:
        pass

    def epoch(self, epoch: int, measured: Epoch) -> None:
        print(
            f"epoch {epoch:{len(str(self.epochs))}}/{self.epochs}  {described(measured)}", file=sys.stderr, flush=True
        )


@dataclass(slots=True)
class Bar:
    """A bar that moves with every batch."""

    display: object  # rich.progress.Progress, which need not be installed
    task: int
    epochs: int
    batches: int
    note: str = ""

    def batch(self, epoch: int, done: int, loss: float) -> None:
        note = f"loss {loss:.3f}   {self.note}"
        self._update((epoch - 1) * self.batches + done, f"{epoch}/{self.epochs}", note)

    def epoch(self, epoch: int, measured: Epoch) -> None:
        self.note = f"held out: {100 * measured.test_accuracy:.2f} %"
        self._update(epoch * self.batches, f"{epoch}/{self.epochs}", f"loss {measured.train_loss:.3f}   {self.note}")

    def _update(self, completed: int, epoch: str, note: str) -> None:
        self.display.update(self.task, completed=completed, epoch=epoch, note=note)  # type: ignore[attr-defined]


def described(measured: Epoch) -> str:
    """Loss and accuracy in one line.

    >>> described(Epoch(0.25, 0.5, 1.0, 0.375))
    'loss 0.2500  accuracy 50.00 %  held out: loss 1.0000  accuracy 37.50 %'
    """
    return (
        f"loss {measured.train_loss:.4f}  accuracy {100 * measured.train_accuracy:.2f} %  "
        f"held out: loss {measured.test_loss:.4f}  accuracy {100 * measured.test_accuracy:.2f} %"
    )

"""The report of a training run: one HTML file that holds everything it shows.

`findings` and `gradient_check` compute, `images` and `charts` draw, `sections` and `page` write.
"""

from __future__ import annotations

from pathlib import Path

from ..checkpoint import Checkpoint
from ..data import Dataset
from ..files import write_atomically
from . import findings, page
from .gradient_check import Check, check_gradients

__all__ = ["Check", "check_gradients", "write"]


def write(
    path: Path, checkpoint: Checkpoint, dataset: Dataset, seconds: float, checks: tuple[Check, ...] | None = None
) -> None:
    """Write the report of a run to `path`.

    seconds: how long the training took.   checks: what `check_gradients` returned, or None to check here.
    Raises InputError where the file cannot be written.
    """
    text = page.render(
        checkpoint,
        dataset,
        findings.judge(checkpoint, dataset),
        findings.watch_filters(checkpoint, dataset),
        check_gradients(checkpoint, dataset) if checks is None else checks,
        seconds,
    )
    write_atomically(path, text.encode("utf-8"))

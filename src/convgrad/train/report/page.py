"""The whole page as one string: head with its stylesheet, the result in a sentence, the sections, what is needed to
repeat it. Nothing in it points outside: no font, no script, no image file."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata, resources

import numpy as np

from ... import __version__
from ...api import plan_for
from ...explanation.page import tokens
from ...machine import Machine
from ...plan import ROLES
from ..checkpoint import Checkpoint
from ..data import Dataset
from ..network import KERNEL, sizes
from . import sections, words
from .findings import Filter, Judgement
from .gradient_check import Check, layer_geometry

TITLES = {
    "learning": "Learning",
    "confusion": "Confusion",
    "mistakes": "Mistakes",
    "pixels": "Pixels",
    "filters": "Filters",
    "gradients": "Gradient check",
    "repeat": "Repeat it",
}


def render(
    checkpoint: Checkpoint,
    dataset: Dataset,
    judgement: Judgement,
    filters: Sequence[Filter],
    checks: Sequence[Check],
    seconds: float,
) -> str:
    """The report of a run as one self-contained HTML document."""
    ink = ink_of(dataset)
    body = [
        sections.learning(checkpoint.history),
        sections.confusion(judgement, dataset.classes),
        sections.mistakes(checkpoint, dataset, judgement, ink),
        sections.pixels(checkpoint, dataset, judgement, ink),
        sections.filters(dataset, filters, dataset.classes, ink),
        sections.gradient_check(checks),
        _repeat(checkpoint, dataset),
    ]
    style = tokens() + resources.files(__package__).joinpath("style.css").read_text("utf-8")
    links = "".join(
        f'<a href="#{name}">{title}</a>' for name, title in TITLES.items() if f'<section id="{name}"' in "".join(body)
    )
    title = f"{words.percent(judgement.accuracy)} on {dataset.name}" if len(judgement.truth) else dataset.name
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)} \N{MIDDLE DOT} convgrad</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_header(checkpoint, dataset, judgement, checks, seconds, sections.overview(dataset, judgement, ink))}\n"
        f'<nav aria-label="Sections">{links}</nav>\n<main>\n' + "\n".join(filter(None, body)) + "\n</main>\n"
        f"<footer>Written by convgrad {escape(__version__)}: convolution and its gradients, NumPy in, NumPy out."
        "</footer>\n</body>\n</html>\n"
    )


def ink_of(dataset: Dataset) -> str:
    """Whether the images are writing on paper: "bright" or "dark" ink, else "none".

    Writing leaves most of a grey image empty, so the middle value of all pixels is the paper.
    """
    x = dataset.x_train if len(dataset.x_train) else dataset.x_test
    if x.shape[1] != 1 or not x.size:
        return "none"
    paper = float(np.median(x[:200]))
    return "bright" if paper < 0.1 else "dark" if paper > 0.9 else "none"


def _header(
    checkpoint: Checkpoint,
    dataset: Dataset,
    judgement: Judgement,
    checks: Sequence[Check],
    seconds: float,
    overview: str,
) -> str:
    number = len(judgement.truth)
    right = number - len(judgement.wrong)
    headline = (
        f"<h1><b>{words.percent(judgement.accuracy)}</b> <span>{words.count(right)} of "
        f"{words.many(number, 'image')} that it had never seen, named right</span></h1>"
        if number
        else "<h1><b>Trained</b> <span>no image was held out, so nothing says how well</span></h1>"
    )
    widths = checkpoint.network.widths
    layers = words.many(len(widths), "convolution")
    time = f" Training took {words.duration(seconds)}." if math.isfinite(seconds) else ""
    lede = (
        f"A network of {layers} ({KERNEL} \N{MULTIPLICATION SIGN} {KERNEL}, "
        f"{words.listed([words.count(width) for width in widths])} filters) and one dense layer, "
        f"{words.count(sum(value.size for value in checkpoint.parameters.values()))} parameters in all, learned the "
        f"{words.many(len(dataset.classes), 'class', 'classes')} of <b>{escape(dataset.name)}</b> from "
        f"{words.many(len(dataset.y_train), 'image')} in {words.many(len(checkpoint.history), 'epoch')}.{time} Every "
        "convolution and every gradient of one, forwards and backwards, is convgrad&rsquo;s own."
    )
    return (
        f'<header><p class="kicker">convgrad \N{MIDDLE DOT} report of a training run</p>{_alarms(checkpoint, checks)}'
        f"{headline}<p>{lede}</p>{overview}</header>"
    )


def _alarms(checkpoint: Checkpoint, checks: Sequence[Check]) -> str:
    """What a reader must not miss: gradients that failed their check, a loss that is no number."""
    alarms = []
    failed = [check for check in checks if not check.passed]
    if failed:
        named = words.listed([escape(f"{check.subject} (against {check.against})") for check in failed])
        where = f"for {named}" if len(failed) <= 3 else f"in {len(failed)} of {len(checks)} comparisons"
        alarms.append(
            f'<b>The gradient check failed</b> {where}. <a href="#gradients">See the numbers</a>; do not trust this '
            "model."
        )
    for number, epoch in enumerate(checkpoint.history, start=1):
        if not (math.isfinite(epoch.train_loss) and math.isfinite(epoch.test_loss)) and len(checkpoint.history):
            alarms.append(
                f"<b>Training diverged:</b> since epoch {number} the loss is no longer a number. A smaller learning "
                "rate is the usual remedy."
            )
            break
    return "".join(f'<p class="alarm" role="alert">{alarm}</p>' for alarm in alarms)


def _repeat(checkpoint: Checkpoint, dataset: Dataset) -> str:
    """Options, network, versions, machine and the plan of every convolution: what is needed to repeat the run."""
    shape = dataset.x_train.shape if len(dataset.x_train) else dataset.x_test.shape
    data = {
        "name": dataset.name,
        "images": f"{words.count(len(dataset.y_train))} to learn from, {words.count(len(dataset.y_test))} held out",
        "each": f"{words.shape(shape[1:])} (channels, height, width)",
        "classes": words.count(len(dataset.classes)),
    }
    network = {name: words.shape(value.shape) for name, value in checkpoint.parameters.items()}
    return (
        '<section id="repeat" aria-labelledby="repeat-title"><h2 id="repeat-title">What is needed to repeat it</h2>'
        "<p>The same images, seed, options and versions on the same machine give the same bits.</p>"
        f'<div class="facts">{_facts("Options", _options(checkpoint))}{_facts("Data", data)}'
        f"{_facts('Parameters', network)}{_facts('Versions', _versions())}{_facts('Machine', _machine())}</div>"
        f"<details><summary>The plan of every convolution: what is computed, how, and how exactly</summary>"
        f"{_plans(checkpoint)}</details></section>"
    )


def _facts(title: str, rows: Mapping[str, object]) -> str:
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in rows.items())
    return f"<section><h3>{title}</h3><dl>{items}</dl></section>"


def _options(checkpoint: Checkpoint) -> dict[str, object]:
    config = checkpoint.config
    return {field.name.replace("_", " "): _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: object) -> str:
    return words.power(value) if isinstance(value, float) else str(value)


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in ("numpy", "autograd")}
    return {"convgrad": __version__, "python": platform.python_version(), **libraries}


def _machine() -> dict[str, str]:
    here = Machine.here()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": here.cpu,
        "vector unit": here.isa,
        "usable cores": str(here.cores),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
    }


def _plans(checkpoint: Checkpoint) -> str:
    """What `print(plan_for(...))` says for each convolution and role, for one batch of the run."""
    parts = []
    for layer, size in enumerate(sizes(checkpoint.network)[:-1], start=1):
        weight = checkpoint.parameters[f"conv{layer}.weight"]
        geometry = layer_geometry(size, weight, checkpoint.config.batch)
        plans = "\n\n".join(str(plan_for(role, geometry, dtype=weight.dtype)) for role in ROLES)
        parts.append(f"<h3>conv{layer}</h3><pre>{escape(plans)}</pre>")
    return "".join(parts)

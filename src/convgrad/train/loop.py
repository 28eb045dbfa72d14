"""The training loop: epochs of batches, a checkpoint after each.

Everything random in an epoch is drawn from (seed, epoch) alone, so that a run that goes on after an interruption
takes the steps of one that was never interrupted. Showing and saving is left to the callbacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from autograd import value_and_grad
from numpy.typing import NDArray

from ..errors import InputError
from . import adam
from .augment import distort
from .checkpoint import Checkpoint, Config, Epoch
from .data import Dataset
from .network import Network, Parameters, initial_parameters, log_probabilities, loss

Array = NDArray[Any]

RATE_DECAY = 0.9  # per epoch; by the epoch's number alone, so that adding epochs changes nothing before them
EVALUATED_AT_ONCE = 256
START_STREAM, EPOCH_STREAM = 0x57A27, 0xE60C4  # keep the draws of parameters, epochs and split apart


def train(
    dataset: Dataset,
    config: Config,
    network: Network,
    *,
    resume_from: Checkpoint | None = None,
    on_epoch: Callable[[Checkpoint], None] | None = None,
    on_batch: Callable[[int, int, float], None] | None = None,
) -> Checkpoint:
    """The state after `config.epochs` epochs, from the start or from where `resume_from` stands.

    on_epoch is given the state after each epoch.   on_batch is given the number of the epoch, from 1, the batches
    done in it, and the loss of the last.
    Raises InputError where the loss is no longer finite, or where `resume_from` belongs to another run.
    """
    state = resume_from or start(dataset, config, network)
    check_same_run(state, config, network)
    state = replace(state, config=config)
    gradient = value_and_grad(lambda parameters, x, y: loss(network, parameters, x, y))
    ground = float(round(dataset.preprocessing.border))  # scans on paper are white around, digits black
    for epoch in range(len(state.history), config.epochs):
        rng = np.random.default_rng([config.seed, epoch, EPOCH_STREAM])
        rate = config.learning_rate * RATE_DECAY**epoch
        parameters, moments = state.parameters, state.moments
        order = rng.permutation(len(dataset.x_train))
        for done, first in enumerate(range(0, len(order), config.batch), start=1):
            chosen = order[first : first + config.batch]
            x, y = dataset.x_train[chosen], dataset.y_train[chosen]
            value, gradients = gradient(parameters, distort(x, rng, ground) if config.augment else x, y)
            if not np.isfinite(value):
                _diverged(config, epoch)
            parameters, moments = adam.step(parameters, gradients, moments, rate)
            if on_batch:
                on_batch(epoch + 1, done, float(value))
        measured = measure(network, parameters, dataset)
        if not np.isfinite([measured.train_loss, measured.test_loss]).all():
            _diverged(config, epoch)
        state = replace(state, parameters=parameters, moments=moments, history=(*state.history, measured))
        if on_epoch:
            on_epoch(state)
    return state


def start(dataset: Dataset, config: Config, network: Network) -> Checkpoint:
    """The state before the first epoch."""
    parameters = initial_parameters(network, np.random.default_rng([config.seed, START_STREAM]))
    resting = adam.at_rest(parameters)
    return Checkpoint(network, parameters, resting, (), dataset.classes, dataset.preprocessing, config)


def batches(dataset: Dataset, config: Config) -> int:
    """How many batches an epoch has."""
    return -(-len(dataset.x_train) // config.batch)


def measure(network: Network, parameters: Parameters, dataset: Dataset) -> Epoch:
    """Loss and accuracy over both splits."""
    train_part = _measure(network, parameters, dataset.x_train, dataset.y_train)
    return Epoch(*train_part, *_measure(network, parameters, dataset.x_test, dataset.y_test))


def _measure(network: Network, parameters: Parameters, x: Array, y: Array) -> tuple[float, float]:
    total, right = 0.0, 0
    for first in range(0, len(x), EVALUATED_AT_ONCE):
        chosen = slice(first, first + EVALUATED_AT_ONCE)
        logs = log_probabilities(network, parameters, x[chosen])
        total -= float(logs[np.arange(len(logs)), y[chosen]].sum(dtype=np.float64))
        right += int((logs.argmax(axis=1) == y[chosen]).sum())
    return total / len(x), right / len(x)


def check_same_run(state: Checkpoint, config: Config, network: Network) -> None:
    """Raise InputError, naming the first difference, unless `config` and `network` go on with the run of `state`."""
    before, now = state.config, config
    pairs = {
        "--seed": (before.seed, now.seed),
        "--widths": (_listed(state.network.widths), _listed(network.widths)),
        "--batch": (before.batch, now.batch),
        "--learning-rate": (before.learning_rate, now.learning_rate),
        "--augment": (before.augment, now.augment),
        "--data": (f"{before.data} ({before.fingerprint})", f"{now.data} ({now.fingerprint})"),
    }
    if before.fingerprint == now.fingerprint:
        del pairs["--data"]  # the same images under another name
    for option, (was, given) in pairs.items():
        if was != given:
            rule = f"cannot go on: the run has {option} {was}, and now it is {given}"
            raise InputError("resume", option, rule, f"{option} {was}, or a new folder by --out")
    if len(state.history) > now.epochs:
        rule = f"cannot go on: {len(state.history)} epochs are done, more than {now.epochs}"
        raise InputError("resume", "--epochs", rule, f"--epochs {len(state.history)} or more")


def _listed(widths: tuple[int, ...]) -> str:
    return ",".join(map(str, widths))


def _diverged(config: Config, epoch: int) -> None:
    rule = f"the loss is no longer finite in epoch {epoch + 1}"
    raise InputError("learning_rate", f"--learning-rate {config.learning_rate:g}", rule, "a smaller learning rate")

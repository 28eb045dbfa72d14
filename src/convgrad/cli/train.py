"""`convgrad train`: a network that tells images apart, trained with our layer and our gradients."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..train.checkpoint import Checkpoint, Config
    from ..train.data import Dataset
    from ..train.network import Network

HELP = "train a network to tell images apart; writes model and report"

EPOCHS, BATCH, LEARNING_RATE = 30, 32, 4e-3
MODEL, REPORT = "model.npz", "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="digits",
        metavar="digits|FILE.npz|DIR",
        help="bundled digits (default), arrays x and y, or a folder of IDX files or of one folder of images per class",
    )
    parser.add_argument("--out", default="run", metavar="DIR", help=f"where {MODEL} and {REPORT} go (default run)")
    parser.add_argument("--epochs", type=_positive, metavar="N", help=f"passes over the images (default {EPOCHS})")
    parser.add_argument("--batch", type=_positive, metavar="N", help=f"images per step (default {BATCH})")
    parser.add_argument("--learning-rate", type=_rate, metavar="F", help=f"Adam's first rate (default {LEARNING_RATE})")
    parser.add_argument(
        "--widths",
        type=_widths,
        metavar="N,N,...",
        help="channels of each convolution (default 32,64; images above 32 pixels: 16,32,64)",
    )
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="distort each training image a little, anew in every epoch (default)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help=f"go on where the {MODEL} in --out stands")
    existing.add_argument("--overwrite", action="store_true", help=f"replace the {MODEL} in --out")


def run(args: argparse.Namespace) -> int:
    from ..errors import InputError
    from ..train.files import make_folder, remove_leftovers

    out = Path(args.out)
    model = out / MODEL
    if model.exists() and not (args.resume or args.overwrite):
        rule = "there is a model already"
        raise InputError(
            "out", str(model), rule, "--resume to go on with it, --overwrite to replace it, or another --out"
        )

    from ..train.checkpoint import load
    from ..train.data import load as load_data

    dataset = load_data(args.data, args.seed)
    earlier = load(model) if args.resume and model.exists() else None
    if args.resume and earlier is None and not args.quiet:
        print(f"{model}: nothing to resume, so this starts from the beginning", file=sys.stderr)
    config, network = _settings(args, dataset, earlier)
    make_folder(out)
    remove_leftovers(model)

    begun = time.perf_counter()
    final = _trained(args, dataset, config, network, earlier, model)
    seconds = time.perf_counter() - begun

    from ..train import report

    report.write(out / REPORT, final, dataset, seconds)
    _print_result(args, final, dataset, seconds)
    return 0


def _settings(args: argparse.Namespace, dataset: Dataset, earlier: Checkpoint | None) -> tuple[Config, Network]:
    """What was asked for; what was left open comes from the run to resume, else from the defaults."""
    from ..train.checkpoint import Config
    from ..train.data import fingerprint
    from ..train.network import Network, default_widths

    channels, height, width = dataset.x_train.shape[1:]

    def chosen(given: Any, before: Any, default: Any) -> Any:
        return given if given is not None else before if earlier else default

    was = earlier.config if earlier else None
    config = Config(
        seed=args.seed,
        epochs=chosen(args.epochs, was and was.epochs, EPOCHS),
        batch=chosen(args.batch, was and was.batch, BATCH),
        learning_rate=chosen(args.learning_rate, was and was.learning_rate, LEARNING_RATE),
        augment=chosen(args.augment, was and was.augment, True),
        data=dataset.name,
        fingerprint=fingerprint(dataset),
    )
    widths = chosen(args.widths, earlier and earlier.network.widths, default_widths(height, width))
    return config, Network(channels, height, width, len(dataset.classes), widths)


def _trained(
    args: argparse.Namespace,
    dataset: Dataset,
    config: Config,
    network: Network,
    earlier: Checkpoint | None,
    model: Path,
) -> Checkpoint:
    """Train with a checkpoint after every epoch; an interruption says what is saved."""
    from dataclasses import replace

    from ..train.checkpoint import save
    from ..train.loop import batches, check_same_run, train
    from ..train.progress import shown

    done = len(earlier.history) if earlier else 0
    if earlier:
        check_same_run(earlier, config, network)
        if done == config.epochs and earlier.config != config:  # fewer epochs than planned before, and they are done
            save(model, replace(earlier, config=config))
    try:
        with shown(config.epochs, batches(dataset, config), done, args.quiet) as progress:

            def on_epoch(state: Checkpoint) -> None:
                nonlocal done
                save(model, state)
                done = len(state.history)
                progress.epoch(done, state.history[-1])

            return train(dataset, config, network, resume_from=earlier, on_epoch=on_epoch, on_batch=progress.batch)
    except KeyboardInterrupt:
        saved = f"{model} holds {done} of {config.epochs} epochs; --resume goes on" if done else "nothing was saved yet"
        print(f"convgrad: interrupted; {saved}", file=sys.stderr)
        raise


def _print_result(args: argparse.Namespace, final: Checkpoint, dataset: Dataset, seconds: float) -> None:
    from dataclasses import asdict

    out, last, images = Path(args.out), final.history[-1], len(dataset.x_test)
    right = round(last.test_accuracy * images)
    if args.json:
        config = {**asdict(final.config), "widths": final.network.widths, "out": args.out}
        result = {
            "test_accuracy": last.test_accuracy,
            "train_accuracy": last.train_accuracy,
            "test_right": right,
            "test_images": images,
            "train_images": len(dataset.x_train),
            "classes": final.classes,
            "model": str(out / MODEL),
            "report": str(out / REPORT),
            "seconds": round(seconds, 3),
            "history": [asdict(epoch) for epoch in final.history],
        }
        print(json.dumps({"schema": 1, "command": "train", "config": config, "result": result}))
        return
    print(f"held-out accuracy {100 * last.test_accuracy:.2f} %  ({right} of {images} images, {seconds:.1f} s)")
    print(f"model   {out / MODEL}")
    print(f"report  {out / REPORT}")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 10")
    return rate


def _widths(text: str) -> tuple[int, ...]:
    widths = tuple(_positive(part) for part in text.split(","))
    if len(widths) > 8 or max(widths) > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 8 convolutions, or a width above 1024")
    return widths

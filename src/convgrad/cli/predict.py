"""`convgrad predict`: which class a picture belongs to, and which of its pixels say so."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..train.checkpoint import Checkpoint
    from ..train.predict import Prediction

HELP = "classify PNG or JPEG pictures with a trained network"

SHOWN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model.npz that `convgrad train` wrote")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG or JPEG files")
    parser.add_argument(
        "--explain",
        metavar="FILE.png",
        help="draw which pixels mattered; for several images a folder, or numbered after this name",
    )
    parser.add_argument(
        "--invert",
        choices=("auto", "yes", "no"),
        default="auto",
        help="exchange black and white; auto: where the border shows that training had it the other way round",
    )


def run(args: argparse.Namespace) -> int:
    from ..train.checkpoint import load
    from ..train.predict import predict

    checkpoint = load(Path(args.model))
    targets = _targets(args.explain, args.images)
    predictions = [predict(checkpoint, Path(image), args.invert) for image in args.images]
    for prediction in predictions:
        if prediction.inverted and args.invert == "auto" and not args.quiet:
            note = (
                "black and white exchanged: its border has the brightness of ink in training (--invert no prevents it)"
            )
            print(f"{prediction.path}: {note}", file=sys.stderr)
    for prediction, target in zip(predictions, targets, strict=False):
        _explain(checkpoint, prediction, target)
    records = [_record(checkpoint, prediction) for prediction in predictions]
    if args.json:
        for record, target in zip(records, targets, strict=False):
            record["explained"] = str(target)
        config = {"model": args.model, "invert": args.invert, "explain": args.explain}
        print(json.dumps({"schema": 1, "command": "predict", "config": config, "result": records}))
        return 0
    for record in records:
        ranked = sorted(record["probabilities"].items(), key=lambda pair: -pair[1])
        listed = "   ".join(f"{name} {100 * share:.2f} %" for name, share in ranked[:SHOWN])
        print(f"{record['image']}: {listed}")
    return 0


def _record(checkpoint: Checkpoint, prediction: Prediction) -> dict[str, Any]:
    return {
        "image": str(prediction.path),
        "class": checkpoint.classes[prediction.best],
        "probabilities": dict(zip(checkpoint.classes, prediction.probabilities.tolist(), strict=True)),
        "inverted": prediction.inverted,
    }


def _explain(checkpoint: Checkpoint, prediction: Prediction, target: Path) -> None:
    from ..train.files import make_folder, write_atomically
    from ..train.picture import explain
    from ..train.predict import pixel_gradient

    gradient = pixel_gradient(checkpoint, prediction.x, prediction.best)
    name = checkpoint.classes[prediction.best]
    make_folder(target.parent)
    write_atomically(target, explain(prediction.x, gradient, name, float(prediction.probabilities[prediction.best])))


def _targets(explain: str | None, images: list[str]) -> list[Path]:
    """Where each image's picture goes; none where no picture was asked for.

    >>> [str(path) for path in _targets("why.png", ["a.png", "b.jpg"])]
    ['why-1.png', 'why-2.png']
    >>> [str(path) for path in _targets("why", ["a/x.png", "b/x.jpg", "c.png"])]
    ['why/x-1.png', 'why/x-2.png', 'why/c.png']
    """
    from ..errors import InputError

    if explain is None:
        return []
    path = Path(explain)
    if path.suffix.lower() == ".png" and not path.is_dir():
        if len(images) == 1:
            return [path]
        return [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(images) + 1)]
    if path.suffix and not path.is_dir():
        raise InputError("explain", explain, f"has the type {path.suffix!r}", "a .png file, or a folder")
    stems = [Path(image).stem for image in images]
    return [
        path / (f"{stem}-{stems[: position + 1].count(stem)}.png" if stems.count(stem) > 1 else f"{stem}.png")
        for position, stem in enumerate(stems)
    ]

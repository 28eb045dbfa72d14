"""Picture files (PNG, JPEG) as arrays: orientation, transparency, grey or colour, size.

Every picture, for training and for `predict`, comes in through here; what Pillow cannot read is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError
from .data import LARGEST_SIDE, Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Array = NDArray[Any]

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
ACCEPTED = "a PNG or JPEG picture"
ACCEPTED_FOLDER = "one sub-folder of PNG or JPEG pictures per class"
LARGEST = 64_000_000  # pixels: a picture of a few kilobytes can claim billions and fill the memory
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Found:
    """Pictures of a folder of classes: x uint8 (N, C, H, W), y (N,) the name of the folder of each."""

    x: Array
    y: Array


def read_folder(folder: Path) -> Found:
    """The pictures in the sub-folders of `folder`, brought to one size; the sub-folders' names are the classes."""
    files: list[Path] = []
    labels: list[str] = []
    for name, members in _classes(folder).items():
        files += members
        labels += [name] * len(members)
    headers = [_header(path) for path in files]
    channels = 3 if any(coloured for _, _, coloured in headers) else 1
    height, width = _common_size([(h, w) for h, w, _ in headers])
    x = np.empty((len(files), channels, height, width), np.uint8)
    for position, path in enumerate(files):
        x[position] = read(path, channels, height, width)
    return Found(x, np.array(labels))


def read(path: Path, channels: int, height: int, width: int) -> Array:
    """The picture at `path` as uint8 (channels, height, width): turned upright, flattened, resized over areas."""
    picture = flatten(upright(path))
    picture = picture.convert("L" if channels == 1 else "RGB")
    picture = picture.resize((width, height), _filter(picture.size, (width, height)))
    pixels = np.asarray(picture)
    return pixels[None] if channels == 1 else np.moveaxis(pixels, 2, 0)


def network_input(path: Path, preprocessing: Preprocessing) -> Array:
    """The picture at `path` as a network was trained to see it: float32 (1, C, H, W), 0 black to 1 white."""
    p = preprocessing
    return read(path, p.channels, p.height, p.width)[None].astype(np.float32) / np.float32(255)


def upright(path: Path) -> Picture:
    """The decoded picture, turned as its camera says."""
    _need_pillow()
    from PIL import ImageOps

    with _named(path), _open(path) as picture:
        picture.load()
        turned = ImageOps.exif_transpose(picture)
        # 16-bit greys are cut off at 255 by Pillow's own conversion
        if turned.mode.startswith("I"):
            turned = _from_array((np.asarray(turned).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
        return turned


def flatten(picture: Picture) -> Picture:
    """A picture without transparency: dark drawings are laid on white, bright ones on black."""
    if "transparency" not in picture.info and "A" not in picture.mode:
        return picture
    from PIL import Image

    coloured = picture.convert("RGBA")
    alpha = np.asarray(coloured.getchannel("A"), np.float64)
    brightness = np.asarray(coloured.convert("RGB").convert("L"), np.float64)
    dark = (brightness * alpha).sum() < 127.5 * alpha.sum()
    ground = Image.new("RGBA", coloured.size, (255, 255, 255, 255) if dark else (0, 0, 0, 255))
    flat: Picture = Image.alpha_composite(ground, coloured).convert("RGB")
    return flat


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Picture files by class, both in the order of their names."""
    try:
        rooms = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = {room.name: sorted(path for path in room.iterdir() if _is_picture(path)) for room in rooms}
    except OSError as error:
        where = error.filename or folder
        raise InputError("data", str(where), f"cannot be read ({error.strerror})", "a readable folder") from None
    if not found:
        loose = " (pictures lie loose in it)" if any(map(_is_picture, folder.iterdir())) else ""
        raise InputError("data", str(folder), f"holds no sub-folder and no IDX files{loose}", ACCEPTED_FOLDER)
    for room in rooms:
        if not found[room.name]:
            raise InputError("data", str(room), "is a class with no PNG or JPEG picture in it", ACCEPTED_FOLDER)
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _header(path: Path) -> tuple[int, int, bool]:
    """(height, width, has colour) of a picture, without decoding it."""
    _need_pillow()
    with _named(path), _open(path) as picture:
        turned = picture.getexif().get(ORIENTATION) in TURNED
        coloured = picture.mode not in ("1", "L", "LA", "La") and not picture.mode.startswith("I")
        width, height = picture.size
        return (width, height, coloured) if turned else (height, width, coloured)


def _common_size(found: list[tuple[int, int]]) -> tuple[int, int]:
    """The size of all pictures, or the median where they differ, reduced to at most `LARGEST_SIDE`.

    >>> _common_size([(8, 8), (8, 8)]), _common_size([(100, 200), (300, 200), (150, 600)])
    ((8, 8), (48, 64))
    """
    height, width = (float(np.median(side)) for side in zip(*found, strict=True))
    shrink = max(1.0, max(height, width) / LARGEST_SIDE)
    return max(1, round(height / shrink)), max(1, round(width / shrink))


def _open(path: Path) -> Picture:
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
        picture = Image.open(path, formats=FORMATS)
    width, height = picture.size
    if width * height > LARGEST:
        _refuse(path, f"has {width} x {height} pixels, more than the {LARGEST // 1_000_000} million that are read")
    return picture


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever Pillow's decoders raise about the file becomes one line that names it."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError:
        _refuse(path, "is no PNG or JPEG, or its header is damaged")
    except Image.DecompressionBombError:
        _refuse(path, f"claims more than the {LARGEST // 1_000_000} million pixels that are read")
    except OSError as error:
        if error.errno:
            _refuse(path, f"cannot be read ({error.strerror})")
        _refuse(path, f"is damaged ({error})")
    except Exception as error:  # a damaged file can take a decoder anywhere
        _refuse(path, f"is damaged ({type(error).__name__}: {' '.join(str(error).split())})")


def _filter(size: tuple[int, int], target: tuple[int, int]) -> Any:
    """Means over areas to reduce; straight lines between pixels to enlarge."""
    from PIL.Image import Resampling

    return Resampling.BOX if target[0] <= size[0] and target[1] <= size[1] else Resampling.BILINEAR


def _from_array(pixels: Array) -> Picture:
    from PIL import Image

    picture: Picture = Image.fromarray(pixels)
    return picture


def _need_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise MissingExtraError("pillow", "train", "reading pictures") from None


def _refuse(path: Path, rule: str) -> NoReturn:
    raise InputError("image", str(path), rule, ACCEPTED)

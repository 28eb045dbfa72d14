"""From the arguments of a call to a `Geometry`: the spellings that people use, and what is wrong with them.

The only place that knows `padding="same"` or that an int means every axis. What it returns is valid; the
functions behind it receive shapes that fit. Checks of arrays (dtype, `out=`) stand in `arrays`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .boundary import check_mode
from .errors import GeometryError
from .geometry import Axis, Geometry, whole

Shape = tuple[int, ...]
PerAxis = int | Sequence[int]
Padding = int | Sequence[int | Sequence[int]] | str

PaddingMode = str | Sequence[str]

PADDING_NAMES = ("valid", "same", "same_upper", "same_lower", "full")
SAME = ("same", "same_upper", "same_lower")


def forward_geometry(
    x_shape: Shape,
    w_shape: Shape,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Geometry:
    """The geometry of `conv(x, w)`."""
    _check_rank("x", x_shape, "(N, IC, *I)")
    _check_rank("w", w_shape, "(OC, IC/groups, *K)", like=("x", x_shape))
    groups = whole("groups", groups, least=1)
    _check_channels(x_shape, w_shape, groups)
    axes = make_axes(x_shape[2:], w_shape[2:], stride, padding, dilation, padding_mode, padding_value)
    return Geometry(x_shape[0], x_shape[1], w_shape[0], groups, axes)


def input_grad_geometry(
    gy_shape: Shape,
    w_shape: Shape,
    input_size: PerAxis,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Geometry:
    """The geometry of the `conv` whose output gradient is `gy` and whose input measured `input_size`."""
    _check_rank("gy", gy_shape, "(N, OC, *O)")
    _check_rank("w", w_shape, "(OC, IC/groups, *K)", like=("gy", gy_shape))
    groups = whole("groups", groups, least=1)
    sizes = per_axis("input_size", input_size, len(gy_shape) - 2)
    axes = make_axes(sizes, w_shape[2:], stride, padding, dilation, padding_mode, padding_value)
    geometry = Geometry(gy_shape[0], w_shape[1] * groups, w_shape[0], groups, axes)
    _check_gradient(gy_shape, geometry, f"w.shape = {w_shape} over input_size = {sizes}")
    return geometry


def weight_grad_geometry(
    gy_shape: Shape,
    x_shape: Shape,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> Geometry:
    """The geometry of the `conv` of `x` whose output gradient is `gy` and whose weight measured `kernel_size`."""
    _check_rank("x", x_shape, "(N, IC, *I)")
    _check_rank("gy", gy_shape, "(N, OC, *O)", like=("x", x_shape))
    groups = whole("groups", groups, least=1)
    sizes = per_axis("kernel_size", kernel_size, len(x_shape) - 2)
    axes = make_axes(x_shape[2:], sizes, stride, padding, dilation, padding_mode, padding_value)
    geometry = Geometry(x_shape[0], x_shape[1], gy_shape[1], groups, axes)
    _check_gradient(gy_shape, geometry, f"kernel_size = {sizes} over x.shape = {x_shape}")
    return geometry


def transpose_geometry(
    x_shape: Shape,
    w_shape: Shape,
    output_size: PerAxis | None,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
    output_padding: PerAxis = 0,
) -> Geometry:
    """The geometry of the `conv` whose input gradient `conv_transpose(x, w)` is: its output is our `x`."""
    _check_rank("x", x_shape, "(N, OC, *O)")
    _check_rank("w", w_shape, "(OC, IC/groups, *K)", like=("x", x_shape))
    groups = whole("groups", groups, least=1)
    if x_shape[1] != w_shape[0]:
        raise GeometryError(
            "w.shape",
            w_shape,
            f"takes {w_shape[0]} channels (axis 0), but x.shape = {x_shape} has {x_shape[1]} (axis 1)",
            f"x with {w_shape[0]} channels, or w.shape[0] = {x_shape[1]}",
        )
    possible = input_sizes(x_shape[2:], w_shape[2:], stride, padding, dilation)
    if output_size is None:
        sizes = _padded_sizes(possible, output_padding, padding)
    elif any(entries(output_padding) or (output_padding,)):
        rule = f"and output_size = {output_size} both say how large the result is"
        raise GeometryError("output_padding", output_padding, rule, "one of them")
    else:
        sizes = per_axis("output_size", output_size, len(possible))
    steps = per_axis("stride", stride, len(possible))
    for size, span, step in zip(sizes, possible, steps, strict=True):
        if size not in span:
            raise GeometryError(
                "output_size",
                sizes,
                f"no convolution with stride {step} takes {size} positions to the given ones of x.shape = {x_shape}",
                f"{span[0]} to {span[-1]} on that axis" if len(span) > 1 else f"{span[0]} on that axis",
            )
    axes = make_axes(sizes, w_shape[2:], stride, padding, dilation, padding_mode, padding_value)
    return Geometry(x_shape[0], w_shape[1] * groups, w_shape[0], groups, axes)


def make_axes(
    inputs: Sequence[int],
    kernels: Sequence[int],
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    padding_mode: PaddingMode = "zeros",
    padding_value: complex = 0,
) -> tuple[Axis, ...]:
    """One `Axis` per spatial direction; errors name the axis where there is more than one."""
    rank = len(inputs)
    modes = padding_modes(padding_mode, rank)
    fill = padding_constant(padding_value, modes)
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    pairs = padding_pairs(padding, inputs, kernels, strides, dilations)
    axes = []
    for position in range(rank):
        try:
            numbers = inputs[position], kernels[position], strides[position], dilations[position], *pairs[position]
            mode = modes[position]
            axes.append(Axis(*numbers, mode, fill if mode == "constant" else 0.0))
        except GeometryError as error:
            name = error.argument if rank == 1 else f"{error.argument}[{position}]"
            raise GeometryError(name, error.value, error.rule, error.accepted) from None
    return tuple(axes)


def per_axis(argument: str, value: PerAxis, rank: int) -> tuple[int, ...]:
    """An int for every axis, or one int per axis, as a tuple of ints >= 1."""
    given = entries(value)
    if given is None:
        return (whole(argument, value, least=1),) * rank
    if len(given) != rank:
        raise GeometryError(
            argument, value, f"has {len(given)} entries for {rank} spatial axes", f"an int, or {rank} of them"
        )
    return tuple(whole(f"{argument}[{i}]", entry, least=1) for i, entry in enumerate(given))


def padding_modes(padding_mode: PaddingMode, rank: int) -> tuple[str, ...]:
    """A mode for every axis, or one per axis, as a tuple of words of `boundary`."""
    given = entries(padding_mode)
    if given is None:
        return (check_mode("padding_mode", padding_mode),) * rank
    if len(given) != rank:
        rule = f"has {len(given)} entries for {rank} spatial axes"
        raise GeometryError("padding_mode", padding_mode, rule, f"a word, or {rank} of them")
    return tuple(check_mode(f"padding_mode[{i}]", entry) for i, entry in enumerate(given))


def padding_constant(padding_value: object, modes: Sequence[str]) -> complex:
    """The number that padding holds: float, or complex if it has an imaginary part."""
    try:
        number: complex = complex(padding_value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise GeometryError("padding_value", padding_value, "is not a number", "a number") from None
    if number != 0 and "constant" not in modes:
        rule = f"would not be read with padding_mode = {', '.join(dict.fromkeys(modes))}"
        raise GeometryError("padding_value", padding_value, rule, "padding_mode='constant', or no padding_value")
    return number if number.imag else number.real


def _is_same(padding: object) -> bool:
    return isinstance(padding, str) and padding in SAME


def padding_pairs(
    padding: Padding, inputs: Sequence[int], kernels: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """(before, after) per axis, from a name, an int, one int per axis, or a pair per axis.

    >>> padding_pairs("same", [7, 7], [3, 4], [1, 2], [1, 1])     # an odd rest goes after, as in PyTorch and JAX
    [(1, 1), (1, 2)]
    """
    rank = len(inputs)
    spans = [(max(k, 1) - 1) * d + 1 for k, d in zip(kernels, dilations, strict=True)]
    if isinstance(padding, str):
        if padding == "valid":
            return [(0, 0)] * rank
        if padding == "full":
            return [(span - 1, span - 1) for span in spans]
        if padding in SAME:
            totals = [
                max(0, (-(-size // step) - 1) * step + span - size)
                for size, step, span in zip(inputs, strides, spans, strict=True)
            ]
            if padding == "same_lower":
                return [(total - total // 2, total // 2) for total in totals]
            return [(total // 2, total - total // 2) for total in totals]
        raise GeometryError("padding", padding, "is not a padding that has a name", _padding_accepted(rank))
    given = entries(padding)
    if given is None:
        return [(whole("padding", padding),) * 2] * rank
    if len(given) != rank:
        raise GeometryError(
            "padding", padding, f"has {len(given)} entries for {rank} spatial axes", _padding_accepted(rank)
        )
    return [_padding_pair(f"padding[{i}]", entry, rank) for i, entry in enumerate(given)]


def _padding_pair(argument: str, entry: object, rank: int) -> tuple[int, int]:
    pair = entries(entry)
    if pair is None:
        return (whole(argument, entry),) * 2
    if len(pair) != 2:
        raise GeometryError(argument, entry, "is neither an int nor a pair (before, after)", _padding_accepted(rank))
    return whole(f"{argument}[0]", pair[0]), whole(f"{argument}[1]", pair[1])


def entries(value: object) -> tuple[object, ...] | None:
    """The entries of a tuple, list or 1-D array; None for a single value."""
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return None
    return tuple(value)


def _padding_accepted(rank: int) -> str:
    pairs = ", ".join(["(before, after)"] * rank) + ("," if rank == 1 else "")
    return f"an int, {rank} of them, ({pairs}), or one of {', '.join(map(repr, PADDING_NAMES))}"


def input_sizes(
    outputs: Sequence[int], kernels: Sequence[int], stride: PerAxis, padding: Padding, dilation: PerAxis
) -> tuple[range, ...]:
    """The input sizes per axis from which `conv` makes `outputs` positions: as many as a stride is long."""
    rank = len(outputs)
    strides, dilations = per_axis("stride", stride, rank), per_axis("dilation", dilation, rank)
    if _is_same(padding):  # ceil(I / stride)
        return tuple(range((size - 1) * step + 1, size * step + 1) for size, step in zip(outputs, strides, strict=True))
    pairs = padding_pairs(padding, outputs, kernels, strides, dilations)
    found = []
    for size, step, kernel, spread, pair in zip(outputs, strides, kernels, dilations, pairs, strict=True):
        least = (size - 1) * step + (kernel - 1) * spread + 1 - sum(pair)
        if least + step <= 1:
            rule = f"leaves inputs of {least} to {least + step - 1} positions for {size} outputs"
            raise GeometryError("padding", padding, rule, "less padding")
        found.append(range(max(1, least), least + step))
    return tuple(found)


def _padded_sizes(possible: tuple[range, ...], output_padding: PerAxis, padding: Padding) -> tuple[int, ...]:
    """The smallest sizes, or with padding="same" the largest, and what PyTorch calls output_padding added to them."""
    given = entries(output_padding)
    extras = [output_padding] * len(possible) if given is None else list(given)
    if len(extras) != len(possible):
        rule = f"has {len(extras)} entries for {len(possible)} spatial axes"
        raise GeometryError("output_padding", output_padding, rule, f"an int, or {len(possible)} of them")
    sizes = []
    for span, extra in zip(possible, extras, strict=True):
        number = whole("output_padding", extra, least=0)
        if _is_same(padding):
            if number:
                rule = 'adds positions to the smallest result, but padding = "same" gives the largest already'
                raise GeometryError("output_padding", output_padding, rule, "0, or output_size")
            sizes.append(span[-1])
        elif number >= len(span):
            rule = f"adds positions to the smallest result, {span[0]}, but convolutions to this size end at {span[-1]}"
            raise GeometryError("output_padding", output_padding, rule, f"0 to {len(span) - 1}, or output_size")
        else:
            sizes.append(span[number])
    return tuple(sizes)


def _check_rank(name: str, shape: Shape, layout: str, like: tuple[str, Shape] | None = None) -> None:
    if like is not None and len(shape) != len(like[1]):
        raise GeometryError(
            f"{name}.shape",
            shape,
            f"has {len(shape)} axes, but {like[0]}.shape = {like[1]} has {len(like[1])}",
            f"{name} of shape {layout} with {len(like[1]) - 2} spatial axes",
        )
    if len(shape) < 3:
        raise GeometryError(
            f"{name}.shape",
            shape,
            f"has {len(shape)} axes, but {layout} needs at least 3",
            "a batch axis, a channel axis and the spatial axes, as in image[None, None] for one image of one channel",
        )
    for position, extent in enumerate(shape[2:], start=2):
        if extent == 0:
            raise GeometryError(
                f"{name}.shape", shape, f"is empty along spatial axis {position}", "spatial extents >= 1"
            )


def _check_channels(x_shape: Shape, w_shape: Shape, groups: int) -> None:
    if w_shape[1] * groups != x_shape[1]:
        remedy = f"x with {w_shape[1] * groups} channels"
        if x_shape[1] % groups == 0:
            fitting = (w_shape[0], x_shape[1] // groups, *w_shape[2:])
            remedy += f", or w.shape = {fitting}"
        raise GeometryError(
            "w.shape",
            w_shape,
            f"holds {w_shape[1]} channels per group x {groups} groups = {w_shape[1] * groups}, "
            f"but x.shape = {x_shape} has {x_shape[1]} (axis 1)",
            remedy,
        )


def _check_gradient(gy_shape: Shape, geometry: Geometry, made_from: str) -> None:
    if gy_shape != geometry.output_shape:
        raise GeometryError(
            "gy.shape",
            gy_shape,
            f"{made_from} gives an output of shape {geometry.output_shape}",
            f"gy of shape {geometry.output_shape}, or the sizes and options that `conv` was called with",
        )

"""Every row of docs/conventions.md, on whole numbers, with `==`. Expressions are read from the page's own tables."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import Array, assert_same
from peers import peer

from convgrad import GeometryError, conv, conv_input_grad, conv_transpose, conv_weight_grad

PAGE = (Path(__file__).parent.parent / "docs" / "conventions.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
RNG = np.random.default_rng(9)


def draw(*shape: int, dtype: str = "float64") -> Array:
    return RNG.integers(-8, 9, shape).astype(dtype)


def one(a: Array) -> Array:
    """`a` as one image of one channel."""
    return a[None, None]


def plain(x: Array, w: Array, **options: Any) -> Array:
    """`conv` on arrays without batch and channels."""
    return conv(one(x), one(w), **options)[0, 0]


def flip(w: Array) -> Array:
    return np.flip(w)


def zeros(call: str, **numbers: int) -> list[tuple[int, int]]:
    """What the table of `same` says about `call`: zeros before and after, its expressions evaluated."""
    (row,) = [row for row in ROWS if call in row[0] and len(row) == 4 and "//" in row[1]]
    before, after = (int(eval(cell.strip("`"), {}, numbers)) for cell in row[1:3])
    assert row[3] == ("after" if eval(row[2].strip("`"), {}, {"total": 1, "K": 2}) else "before")
    return [(before, after)]


# ---- layout


def test_channels_last_arrays_are_transposed_as_the_page_says() -> None:
    lax = peer("jax.lax")
    x, w = draw(2, 5, 4, 3, dtype="float32"), draw(3, 2, 3, 6, dtype="float32")
    ours = conv(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)).transpose(0, 2, 3, 1)
    layout = ("NHWC", "HWIO", "NHWC")  # TensorFlow's
    assert_same(ours, np.asarray(lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=layout)))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pytorch_has_our_layout_and_our_order_of_groups(rank: int) -> None:
    torch = peer("torch")
    x, w = draw(2, 4, *(6, 5, 4)[:rank]), draw(6, 2, *(3, 2, 2)[:rank])
    theirs = getattr(torch, f"conv{rank}d")(torch.from_numpy(x), torch.from_numpy(w), groups=2, dilation=1)
    assert_same(conv(x, w, groups=2), theirs.numpy())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_jax_has_our_layout_and_our_order_of_groups(rank: int) -> None:
    lax = peer("jax.lax")
    x, w = draw(2, 4, *(7, 6, 5)[:rank], dtype="float32"), draw(6, 2, *(3, 2, 2)[:rank], dtype="float32")
    options = {"window_strides": (2,) * rank, "rhs_dilation": (2,) * rank, "feature_group_count": 2}
    theirs = lax.conv_general_dilated(x, w, padding="VALID", **options)
    assert_same(conv(x, w, stride=2, dilation=2, groups=2), np.asarray(theirs))


# ---- the flip


EQUALITIES = [row for row in ROWS if row[0].startswith(("`numpy.", "`scipy.")) and "conv" in row[1]]


@pytest.mark.parametrize("row", EQUALITIES, ids=lambda row: row[0].strip("`"))
@pytest.mark.parametrize(("size", "kernel"), [(7, 3), (8, 4), (5, 5)])
def test_a_call_of_numpy_or_scipy_equals_ours_as_the_page_says(row: list[str], size: int, kernel: int) -> None:
    import numpy

    assert len(EQUALITIES) == 7
    scipy = peer("scipy")
    peer("scipy.signal")
    names = {
        "numpy": numpy,
        "scipy": scipy,
        "conv": plain,
        "flip": flip,
        "conv_input_grad": lambda gy, w, input_size: conv_input_grad(one(gy), one(w), input_size=size + kernel - 1)[
            0, 0
        ],
    }
    theirs, ours = (cell.split("`")[1] for cell in row[:2])
    arrays = {"x": draw(size), "gy": draw(size), "w": draw(kernel)}
    assert_same(eval(ours, names, arrays), eval(theirs, names, arrays))


@pytest.mark.parametrize("sizes", [((6, 5), (3, 2)), ((5, 4, 6), (2, 3, 1))])
@pytest.mark.parametrize("mode", ["valid", "full"])
def test_several_axes_are_flipped_together(sizes: tuple[tuple[int, ...], tuple[int, ...]], mode: str) -> None:
    signal = peer("scipy.signal")
    x, w = draw(*sizes[0]), draw(*sizes[1])
    assert_same(plain(x, w, padding=mode), signal.correlate(x, w, mode, "direct"))
    assert_same(plain(x, flip(w), padding=mode), signal.convolve(x, w, mode, "direct"))


def test_the_digits_of_the_page_are_those_of_both_directions() -> None:
    x, w = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 10, 100])
    assert plain(x, w)[0] == 321 and np.convolve(x, w, "valid")[0] == 123


def test_the_input_gradient_is_a_convolution_that_flips_by_itself() -> None:
    signal = peer("scipy.signal")
    gy, w = draw(4, 5), draw(2, 3)
    gx = conv_input_grad(one(gy), one(w), input_size=(5, 7))[0, 0]
    assert_same(gx, signal.convolve(gy, w, "full", "direct"))


def test_the_weight_gradient_is_a_correlation_of_the_input_with_gy() -> None:
    signal = peer("scipy.signal")
    x, gy = draw(6, 7), draw(4, 5)
    gw = conv_weight_grad(one(gy), one(x), kernel_size=3)[0, 0]
    assert_same(gw, signal.correlate(x, gy, "valid", "direct"))


def test_jax_and_pytorch_do_not_flip() -> None:
    torch, lax = peer("torch"), peer("jax.lax")
    x, w = draw(1, 2, 6, 5, dtype="float32"), draw(3, 2, 3, 2, dtype="float32")
    y = conv(x, w)
    assert_same(y, torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w)).numpy())
    assert_same(y, np.asarray(lax.conv(x, w, (1, 1), "VALID")))


def test_scipy_exchanges_its_arguments_where_we_refuse() -> None:
    signal = peer("scipy.signal")
    short, long = np.array([1.0, 2, 3]), np.array([1.0, 10, 100, 1000, 10000])
    slid = plain(long, short)
    assert_same(signal.correlate(short, long, "valid", "direct"), slid[::-1])
    assert_same(signal.convolve(short, long, "valid", "direct"), signal.convolve(long, short, "valid", "direct"))
    with pytest.raises(GeometryError, match="kernel = 5: spans 5 positions, but input 3"):
        plain(short, long)


def test_the_transposed_convolution_of_jax_reads_the_kernel_the_other_way_round_unless_told() -> None:
    lax = peer("jax.lax")
    gy, w = np.array([[[1.0, 2]]], "float32"), np.array([[[1.0, 10, 100]]], "float32")
    last = (gy.transpose(0, 2, 1), w.transpose(2, 1, 0))
    by_default = np.asarray(lax.conv_transpose(*last, (3,), "VALID"))[0, :, 0]
    told = np.asarray(lax.conv_transpose(*last, (3,), "VALID", transpose_kernel=True))[0, :, 0]
    gx = conv_transpose(gy, w, stride=3)[0, 0]
    assert gx.tolist() == told.tolist() == [1, 10, 100, 2, 20, 200]
    assert by_default.tolist() == [100, 10, 1, 200, 20, 2]


# ---- the centre, and `same`


def total_of_same(size: int, kernel: int, stride: int, dilation: int) -> int:
    """The page's formula, read from the page."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith("    total = ")]
    names = {"I": size, "K": kernel, "stride": stride, "dilation": dilation, "max": max, "ceil": math.ceil}
    return int(eval(line.partition("=")[2].strip(), {}, names))


STEPS = [(size, k, s, d) for size, k, s, d in itertools.product((5, 8), (1, 2, 3, 4, 5), (1, 2, 3), (1, 2))]


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), STEPS)
@pytest.mark.parametrize("name", ["same", "same_upper", "same_lower"])
def test_same_puts_the_rest_where_its_name_says(size: int, kernel: int, stride: int, dilation: int, name: str) -> None:
    x, w = draw(size), draw(kernel)
    total = total_of_same(size, kernel, stride, dilation)
    padding = zeros('padding="same_lower"' if name == "same_lower" else '`conv(..., padding="same")`', total=total)
    y = plain(x, w, stride=stride, dilation=dilation, padding=name)
    assert y.shape == (-(-size // stride),)
    assert_same(y, plain(x, w, stride=stride, dilation=dilation, padding=padding))


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), STEPS)
def test_tensorflow_documents_the_same_total(size: int, kernel: int, stride: int, dilation: int) -> None:
    span = (kernel - 1) * dilation + 1  # its filter_height is meant after dilation
    documented = max(span - (stride if size % stride == 0 else size % stride), 0)
    assert total_of_same(size, kernel, stride, dilation) == documented


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation"), STEPS[::5])
@pytest.mark.parametrize("name", ["SAME", "SAME_LOWER"])
def test_jax_puts_the_rest_of_same_after_and_of_same_lower_before(
    size: int, kernel: int, stride: int, dilation: int, name: str
) -> None:
    lax = peer("jax.lax")
    x, w = draw(size, dtype="float32"), draw(kernel, dtype="float32")
    theirs = lax.conv_general_dilated(one(x), one(w), (stride,), name, rhs_dilation=(dilation,))
    padding = zeros(f'JAX `"{name}"`', total=total_of_same(size, kernel, stride, dilation))
    assert_same(plain(x, w, stride=stride, dilation=dilation, padding=padding), np.asarray(theirs)[0, 0])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("size", "kernel", "dilation"), [(s, k, d) for s, k, step, d in STEPS if step == 1])
def test_pytorch_puts_the_rest_of_same_after(size: int, kernel: int, dilation: int) -> None:
    torch = peer("torch")
    x, w = draw(size), draw(kernel)
    theirs = torch.nn.functional.conv1d(
        torch.from_numpy(one(x)), torch.from_numpy(one(w)), padding="same", dilation=dilation
    )
    padding = zeros("PyTorch", total=total_of_same(size, kernel, 1, dilation))
    assert_same(plain(x, w, padding=padding, dilation=dilation), theirs.numpy()[0, 0])


def test_pytorch_refuses_same_with_a_stride_and_its_padding_of_one_sees_other_windows() -> None:
    torch = peer("torch")
    x, w = np.arange(1.0, 9), np.array([1.0, 10, 100])
    tensors = torch.from_numpy(one(x)), torch.from_numpy(one(w))
    with pytest.raises(RuntimeError, match="not supported for strided"):
        torch.nn.functional.conv1d(*tensors, stride=2, padding="same")
    theirs = torch.nn.functional.conv1d(*tensors, stride=2, padding=1).numpy()[0, 0]
    assert_same(theirs, plain(x, w, stride=2, padding=1))
    assert theirs.shape == plain(x, w, stride=2, padding="same").shape
    assert theirs.tolist() != plain(x, w, stride=2, padding="same").tolist()


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("size", [4, 7, 8])
def test_scipy_and_numpy_put_the_rest_before_but_for_ndimage_convolve(size: int, kernel: int) -> None:
    signal, ndimage = peer("scipy.signal"), peer("scipy.ndimage")
    x, w = draw(size), draw(kernel)
    as_stated = lambda call, w: plain(x, w, padding=zeros(call, K=kernel))  # noqa: E731
    assert_same(signal.correlate(x, w, "same", "direct"), as_stated("scipy.signal.correlate", w))
    assert_same(signal.convolve(x, w, "same", "direct"), as_stated("scipy.signal.convolve", flip(w)))
    assert_same(ndimage.correlate(x, w, mode="constant"), as_stated("scipy.ndimage.correlate", w))
    assert_same(ndimage.convolve(x, w, mode="constant"), as_stated("scipy.ndimage.convolve", flip(w)))
    if size >= kernel:  # NumPy's result has the length of the longer argument
        assert_same(np.correlate(x, w, "same"), as_stated("numpy.correlate", w))
        assert_same(np.convolve(x, w, "same"), as_stated("numpy.convolve", flip(w)))


@pytest.mark.parametrize("kernel", [(3, 5), (1, 3), (5, 7)])
def test_with_an_odd_kernel_and_stride_one_everyone_agrees(kernel: tuple[int, int]) -> None:
    signal, ndimage = peer("scipy.signal"), peer("scipy.ndimage")
    x, w = draw(8, 9), draw(*kernel)
    y = plain(x, w, padding="same")
    assert_same(y, signal.correlate(x, w, "same", "direct"))
    assert_same(y, signal.convolve(x, flip(w), "same", "direct"))
    assert_same(y, ndimage.correlate(x, w, mode="constant"))
    assert_same(y, ndimage.convolve(x, flip(w), mode="constant"))


# ---- sizes


@pytest.mark.parametrize("rest", [0, 1, 2])
def test_pytorch_rounds_down_and_takes_the_whole_shape_for_its_gradients(rest: int) -> None:
    torch = peer("torch")
    x, w = draw(2, 2, 7 + rest, 5), draw(3, 2, 3, 2)
    gy = draw(*conv(x, w, stride=(3, 1)).shape)
    tensors = {name: torch.from_numpy(array) for name, array in {"x": x, "w": w, "gy": gy}.items()}
    assert_same(conv(x, w, stride=(3, 1)), torch.conv2d(tensors["x"], tensors["w"], stride=(3, 1)).numpy())
    gx = torch.nn.grad.conv2d_input(x.shape, tensors["w"], tensors["gy"], stride=(3, 1))
    gw = torch.nn.grad.conv2d_weight(tensors["x"], w.shape, tensors["gy"], stride=(3, 1))
    ours = conv_input_grad(gy, w, input_size=x.shape[2:], stride=(3, 1))
    assert_same(ours, gx.numpy())
    assert not ours[:, :, 9:].any() or rest < 2
    assert_same(conv_weight_grad(gy, x, kernel_size=w.shape[2:], stride=(3, 1)), gw.numpy())


@pytest.mark.parametrize("output_padding", [0, 1, 2])
def test_output_padding_is_the_output_size_minus_the_smallest(output_padding: int) -> None:
    torch = peer("torch")
    x, w = draw(2, 3, 4), draw(3, 2, 5)
    smallest = conv_transpose(x, w, stride=3, padding=1).shape[2]
    theirs = torch.nn.functional.conv_transpose1d(
        torch.from_numpy(x), torch.from_numpy(w), stride=3, padding=1, output_padding=output_padding
    )
    ours = conv_transpose(x, w, stride=3, padding=1, output_size=smallest + output_padding)
    assert_same(ours, theirs.numpy())


# ---- borders

BORDERS = [row for row in ROWS if len(row) == 6 and row[1].startswith("`") and "[a b c d]" in row[1]]


@pytest.mark.parametrize("row", BORDERS, ids=lambda row: row[0])
def test_each_border_continues_as_the_page_says(row: list[str]) -> None:
    mode = row[0].split("`")[1].strip('"')
    letters = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "v": 7.0, "0": 0.0}
    said = [letters[letter] for letter in row[1].strip("`").replace("[", "").replace("]", "").split()]
    x, one_tap = np.array([1.0, 2, 3, 4]), np.array([1.0])
    value = 7 if mode == "constant" else 0
    assert plain(x, one_tap, padding=3, padding_mode=mode, padding_value=value).tolist() == said
    extra = {"constant_values": value} if row[2] == "`constant`" else {}
    assert np.pad(x, 3, mode=row[2].strip("`"), **extra).tolist() == said


@pytest.mark.parametrize("row", BORDERS, ids=lambda row: row[0])
def test_other_libraries_name_the_borders_as_the_page_says(row: list[str]) -> None:
    functional, torch, ndimage, signal = (
        peer(name) for name in ("torch.nn.functional", "torch", "scipy.ndimage", "scipy.signal")
    )
    mode = row[0].split("`")[1].strip('"')
    value = 7 if mode == "constant" else 0
    x, w = draw(4, 5), draw(3, 3)
    ours = plain(x, w, padding=1, padding_mode=mode, padding_value=value)
    for name in words(row[4]):
        if name != "cval":
            assert_same(ndimage.correlate(x, w, mode=name, cval=value), ours)
    for name in words(row[5]):
        if name != "fillvalue":
            assert_same(signal.correlate2d(x, w, "same", name, value), ours)
    for name in words(row[3]):
        if name in ("replicate", "reflect", "circular"):
            wide = functional.pad(torch.from_numpy(one(x)), (1, 1, 1, 1), mode=name)[0, 0].numpy()
            assert_same(plain(wide, w), ours)


def words(cell: str) -> list[str]:
    return [word for word in cell.replace(",", " ").replace("`", " ").split() if word != "F.pad"]


# ---- complex numbers


def gaussian(*shape: int) -> Array:
    return draw(*shape) + 1j * draw(*shape)


def test_a_complex_gradient_is_pytorchs_and_the_conjugate_of_jaxs() -> None:
    torch, jax = peer("torch"), peer("jax")
    x, w = gaussian(2, 3, 6), gaussian(4, 3, 3)
    y = conv(x, w)
    # L = sum of |y|^2 / 2, whose gradient by y is y
    gx, gw = conv_input_grad(y, w, input_size=6), conv_weight_grad(y, x, kernel_size=3)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, w)]
    (torch.nn.functional.conv1d(*leaves).abs() ** 2 / 2).sum().backward()
    for ours, leaf in zip((gx, gw), leaves, strict=True):
        assert_same(np.rint(leaf.grad.numpy()), ours)
    with jax.enable_x64(True):
        loss = lambda x, w: (abs(jax.lax.conv(x, w, (1,), "VALID")) ** 2).sum() / 2  # noqa: E731
        for ours, theirs in zip((gx, gw), jax.grad(loss, (0, 1))(x, w), strict=True):
            assert_same(np.rint(np.asarray(theirs)), ours.conj())


def test_scipy_conjugates_the_second_argument_of_correlate() -> None:
    signal = peer("scipy.signal")
    x, w = gaussian(7), gaussian(3)
    assert_same(signal.correlate(x, w, "valid", method="direct"), plain(x, w.conj()))


def test_numpy_and_pytorch_wrap_integers_where_ours_are_exact() -> None:
    torch = peer("torch")
    x = np.full((1, 1, 3), 100, "int8")
    assert np.convolve(x[0, 0], x[0, 0], "valid").tolist() == [48]
    assert torch.nn.functional.conv1d(torch.from_numpy(x), torch.from_numpy(x)).item() == 48
    assert conv(x, x).tolist() == [[[30000]]]

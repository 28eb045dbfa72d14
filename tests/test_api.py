"""What people call: results, options by every spelling, layouts, `out=`, and what is refused with which words."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import DEFINITIONS, Problem, assert_same
from strategies import problems

import convgrad as cg
from convgrad import definition
from convgrad.geometry import Geometry

X = np.array([[[1.0, 2, 3, 4, 5]]])
W = np.array([[[1.0, 10, 100]]])


def options(g: Geometry) -> dict[str, object]:
    return {
        "stride": tuple(a.stride for a in g.axes),
        "padding": tuple((a.before, a.after) for a in g.axes),
        "dilation": tuple(a.dilation for a in g.axes),
        "groups": g.groups,
    }


def call(role: str, p: Problem, **more: object) -> np.ndarray:
    g = p.geometry
    if role == "forward":
        return cg.conv(p.x, p.w, **options(g), **more)
    if role == "input_grad":
        return cg.conv_input_grad(p.gy, p.w, input_size=g.input_size, **options(g), **more)
    return cg.conv_weight_grad(p.gy, p.x, kernel_size=g.kernel_size, **options(g), **more)


every_role = pytest.mark.parametrize("role", ["forward", "input_grad", "weight_grad"])


@every_role
@given(problem=problems())
def test_the_three_functions_equal_the_definition(role: str, problem: Problem) -> None:
    expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    assert_same(call(role, problem), expected)
    out = np.full_like(expected, np.nan)
    assert call(role, problem, out=out) is out
    assert_same(out, expected)


@given(problems())
def test_the_bias_is_added_everywhere_and_its_gradient_collects_everywhere(p: Problem) -> None:
    g = p.geometry
    bias = np.arange(1, g.out_channels + 1, dtype=p.x.dtype)
    expected = definition.forward(p.x, p.w, g) + bias.reshape(-1, *(1,) * g.rank)
    assert_same(cg.conv(p.x, p.w, bias, **options(g)), expected)
    assert_same(cg.conv_bias_grad(p.gy), definition.bias_grad(p.gy))


@given(problems())
def test_the_transposed_convolution_is_the_input_gradient_for_every_size_that_fits(p: Problem) -> None:
    g = p.geometry
    got = cg.conv_transpose(p.gy, p.w, output_size=g.input_size, **options(g))
    assert_same(got, definition.input_grad(p.gy, p.w, g))


def test_the_transposed_convolution_takes_the_smallest_size_by_itself() -> None:
    x, w = np.ones((1, 1, 3, 3)), np.ones((1, 2, 4, 4))
    assert cg.conv_transpose(x, w, stride=2, padding=1).shape == (1, 2, 6, 6)
    assert cg.conv_transpose(x, w, stride=2, padding=1, output_size=(7, 6)).shape == (1, 2, 7, 6)
    assert cg.conv_transpose(x, w, stride=2, padding="same").shape == (1, 2, 6, 6)
    assert cg.conv_transpose(x, w, stride=2, padding="same", output_size=5).shape == (1, 2, 5, 5)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("valid", [321, 432, 543]),
        (0, [321, 432, 543]),
        ("same", [210, 321, 432, 543, 54]),
        (1, [210, 321, 432, 543, 54]),
        ((1,), [210, 321, 432, 543, 54]),
        ([np.int64(1)], [210, 321, 432, 543, 54]),
        (np.array([1]), [210, 321, 432, 543, 54]),
        (((2, 0),), [100, 210, 321, 432, 543]),
        ("full", [100, 210, 321, 432, 543, 54, 5]),
    ],
)
def test_padding_by_name_by_number_and_by_pair(padding: object, expected: list[int]) -> None:
    assert cg.conv(X, W, padding=padding).ravel().tolist() == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
def test_same_gives_one_output_per_stride_with_the_odd_rest_after(size: int, kernel: int, stride: int) -> None:
    x, w = np.arange(1.0, size + 1)[None, None], 10.0 ** np.arange(kernel)[None, None]
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + kernel - size)
    expected = cg.conv(np.pad(x, ((0, 0), (0, 0), (total // 2, total - total // 2))), w, stride=stride)
    assert_same(cg.conv(x, w, stride=stride, padding="same"), expected)
    assert expected.shape[-1] == outputs


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_full_padding_reaches_every_overlap_of_a_kernel_with_holes(dilation: int) -> None:
    w = np.zeros((1, 1, 2 * dilation + 1))
    w[..., ::dilation] = W
    y = cg.conv(X, W, padding="full", dilation=dilation)
    assert_same(y, cg.conv(X, w, padding="full"))
    assert y.shape[-1] == X.shape[-1] + 2 * dilation


@every_role
@given(problem=problems(), layout=st.sampled_from(["strided", "reversed", "channels last", "misaligned", "big-endian"]))
def test_every_memory_layout_gives_the_same_numbers_and_inputs_stay_untouched(
    role: str, problem: Problem, layout: str
) -> None:
    laid = Problem(problem.geometry, *(relaid(a, layout) for a in (problem.x, problem.w, problem.gy)))
    for array in (laid.x, laid.w, laid.gy):
        array.flags.writeable = False
    got = call(role, laid)
    assert got.dtype == problem.x.dtype and got.dtype.isnative
    assert_same(got, DEFINITIONS[role](*problem.arguments(role), problem.geometry))


def relaid(array: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers in another arrangement of memory."""
    if layout == "strided":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "reversed":
        return array[..., ::-1].copy()[..., ::-1]
    if layout == "channels last":
        return np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)
    if layout == "misaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)
        view = raw[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    return array.astype(array.dtype.newbyteorder(">"))


@every_role
@given(problem=problems(max_rank=2))
def test_results_go_into_strided_arrays_without_touching_their_neighbours(role: str, problem: Problem) -> None:
    expected = DEFINITIONS[role](*problem.arguments(role), problem.geometry)
    guarded = np.full((*(2 * n + 1 for n in expected.shape),), 777, expected.dtype)
    inside = tuple(slice(1, None, 2) for _ in expected.shape)
    call(role, problem, out=guarded[inside])
    assert_same(guarded[inside].copy(), expected)
    guarded[inside] = 777
    assert (guarded == 777).all()


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "y_shape"),
    [
        ((0, 2, 5), (3, 2, 3), (0, 3, 3)),
        ((2, 0, 5), (3, 0, 3), (2, 3, 3)),
        ((2, 2, 5), (0, 2, 3), (2, 0, 3)),
        ((0, 0, 5, 5), (0, 0, 3, 3), (0, 0, 3, 3)),
    ],
)
def test_empty_batches_and_zero_channels_give_empty_or_zero_results(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], y_shape: tuple[int, ...]
) -> None:
    x, w, gy = np.ones(x_shape), np.ones(w_shape), np.ones(y_shape)
    assert_same(cg.conv(x, w), np.zeros(y_shape))
    assert_same(cg.conv_input_grad(gy, w, input_size=x_shape[2:]), np.zeros(x_shape))
    assert_same(cg.conv_weight_grad(gy, x, kernel_size=w_shape[2:]), np.zeros(w_shape))
    assert_same(cg.conv_bias_grad(gy), definition.bias_grad(gy))


def test_inputs_that_no_window_reads_get_exactly_zero() -> None:
    gy, w = np.full((1, 1, 2), np.inf), np.full((1, 1, 2), 3.0)
    assert cg.conv_input_grad(gy, w, input_size=7, stride=3).ravel().tolist() == [
        np.inf,
        np.inf,
        0,
        np.inf,
        np.inf,
        0,
        0,
    ]


def test_float32_meets_float64_in_float64_and_lists_are_arrays() -> None:
    assert cg.conv(X.astype("float32"), W).dtype == np.float64
    assert cg.conv(X.astype("float32"), W.astype("float32")).dtype == np.float32
    assert cg.conv([[[1.0, 2, 3]]], [[[1.0, 10]]]).tolist() == [[[21, 32]]]


def test_many_threads_at_once_get_their_own_results() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-8, 9, (2, 3, 20, 20)).astype("float32") for _ in range(8)]
    w = rng.integers(-8, 9, (5, 3, 3, 3)).astype("float32")
    expected = [cg.conv(x, w, padding=1) for x in inputs]
    results: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(20):
            results[i] = cg.conv(inputs[i], w, padding=1)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, y in enumerate(expected):
        assert_same(results[i], y)


def test_a_plan_is_found_from_a_spelling_or_a_geometry() -> None:
    from convgrad.spelling import parse

    text = "n2 ic3 oc4 i9x9 k3x3"
    assert cg.plan_for("forward", text) == cg.plan_for("forward", parse(text), dtype=np.float32)
    assert cg.plan_for("forward", text, dtype="float64").dtype == "float64"
    assert cg.plan_for("forward", text, workspace_limit=1 << 16).workspace_bytes <= 1 << 16


image, weight = np.zeros((1, 4, 32, 32)), np.zeros((8, 4, 5, 5))
grad = np.zeros((1, 8, 28, 28))
REFUSED = [
    (
        lambda: cg.conv(image, np.zeros((8, 3, 5, 5)), groups=2),
        "w.shape = (8, 3, 5, 5): holds 3 channels per group x 2 groups = 6, "
        "but x.shape = (1, 4, 32, 32) has 4 (axis 1); accepted: x with 6 channels, or w.shape = (8, 2, 5, 5)",
    ),
    (
        lambda: cg.conv(image, np.zeros((8, 3, 5, 5)), groups=3),
        "w.shape = (8, 3, 5, 5): holds 3 channels per group x 3 groups = 9, "
        "but x.shape = (1, 4, 32, 32) has 4 (axis 1); accepted: x with 9 channels",
    ),
    (
        lambda: cg.conv(np.zeros((32, 32)), weight),
        "x.shape = (32, 32): has 2 axes, but (N, IC, *I) needs at least 3; accepted: a batch axis, a channel axis and "
        "the spatial axes, as in image[None, None] for one image of one channel",
    ),
    (
        lambda: cg.conv(image, np.zeros((8, 4, 5))),
        "w.shape = (8, 4, 5): has 3 axes, but x.shape = (1, 4, 32, 32) has 4; "
        "accepted: w of shape (OC, IC/groups, *K) with 2 spatial axes",
    ),
    (
        lambda: cg.conv(np.zeros((1, 4, 0, 5)), weight),
        "x.shape = (1, 4, 0, 5): is empty along spatial axis 2; accepted: spatial extents >= 1",
    ),
    (
        lambda: cg.conv(image, np.zeros((8, 4, 5, 0))),
        "w.shape = (8, 4, 5, 0): is empty along spatial axis 3; accepted: spatial extents >= 1",
    ),
    (
        lambda: cg.conv(np.zeros((1, 4, 32, 4)), weight),
        "kernel[1] = 5: spans 5 positions, but input 4 plus padding 0+0 offers 4; "
        "accepted: kernel <= 4, or more padding",
    ),
    (
        lambda: cg.conv(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), dilation=2, padding=((1, 0),)),
        "kernel = 3: spans 5 positions, but input 3 plus padding 1+0 offers 4; accepted: kernel <= 2, or more padding",
    ),
    (lambda: cg.conv(image, weight, stride=1.5), "stride = 1.5: is not a whole number; accepted: an int >= 1"),
    (lambda: cg.conv(image, weight, stride=0), "stride = 0: must be at least 1; accepted: an int >= 1"),
    (lambda: cg.conv(image, weight, stride=(1, -1)), "stride[1] = -1: must be at least 1; accepted: an int >= 1"),
    (
        lambda: cg.conv(image, weight, stride=(1, 1, 1)),
        "stride = (1, 1, 1): has 3 entries for 2 spatial axes; accepted: an int, or 2 of them",
    ),
    (lambda: cg.conv(image, weight, dilation="2"), "dilation = '2': is not a whole number; accepted: an int >= 1"),
    (lambda: cg.conv(image, weight, groups=0), "groups = 0: must be at least 1; accepted: an int >= 1"),
    (
        lambda: cg.conv(image, np.zeros((9, 2, 5, 5)), groups=2),
        "groups = 2: out_channels = 9 cannot be shared equally by 2 groups; accepted: groups that divide 9: 1, 3, 9",
    ),
    (
        lambda: cg.conv(image, weight, padding="same-ish"),
        "padding = 'same-ish': is not a padding that has a name; accepted: an int, 2 of them, "
        "((before, after), (before, after)), or one of 'valid', 'same', 'same_upper', 'same_lower', 'full'",
    ),
    (
        lambda: cg.conv(X, W, padding=(1, 2)),
        "padding = (1, 2): has 2 entries for 1 spatial axes; accepted: an int, 1 of them, ((before, after),), "
        "or one of 'valid', 'same', 'same_upper', 'same_lower', 'full'",
    ),
    (
        lambda: cg.conv(X, W, padding=((1, 2, 3),)),
        "padding[0] = (1, 2, 3): is neither an int nor a pair (before, after); accepted: an int, 1 of them, "
        "((before, after),), or one of 'valid', 'same', 'same_upper', 'same_lower', 'full'",
    ),
    (lambda: cg.conv(X, W, padding=-2), "kernel = 3: spans 3 positions, but input 5 plus padding -2+-2 offers 1; "),
    (
        lambda: cg.conv(X, W, padding=-3),
        "kernel = 3: spans 3 positions, but input 5 plus padding -3+-3 offers -1; accepted: more padding",
    ),
    (lambda: cg.conv(X, W, padding=0.5), "padding = 0.5: is not a whole number; accepted: an int"),
    (
        lambda: cg.conv(X, W, padding=1, padding_mode="wrap"),
        "padding_mode = 'wrap': is no way to continue an input; accepted: 'circular', which means the same; all: ",
    ),
    (
        lambda: cg.conv(X, W, padding_mode=None),
        "padding_mode = None: is no way to continue an input; accepted: zeros, ",
    ),
    (
        lambda: cg.conv(X, W, padding_mode=("edge", "edge")),
        "padding_mode = ('edge', 'edge'): has 2 entries for 1 spatial axes; accepted: a word, or 1 of them",
    ),
    (
        lambda: cg.conv(X, W, padding_mode=("repeat",)),
        "padding_mode[0] = 'repeat': is no way to continue an input; accepted: zeros, constant, edge, ",
    ),
    (lambda: cg.conv(X, W, padding_value="a"), "padding_value = 'a': is not a number; accepted: a number"),
    (
        lambda: cg.conv(X, W, padding=1, padding_value=2),
        "padding_value = 2: would not be read with padding_mode = zeros; accepted: padding_mode='constant', or ",
    ),
    (
        lambda: cg.conv_input_grad(grad, weight, input_size=31),
        "gy.shape = (1, 8, 28, 28): w.shape = (8, 4, 5, 5) over input_size = (31, 31) gives an output of shape "
        "(1, 8, 27, 27); accepted: gy of shape (1, 8, 27, 27), or the sizes and options that `conv` was called with",
    ),
    (
        lambda: cg.conv_input_grad(np.zeros((1, 7, 28, 28)), weight, input_size=32),
        "gy.shape = (1, 7, 28, 28): w.shape = (8, 4, 5, 5) over input_size = (32, 32) gives an output of shape "
        "(1, 8, 28, 28); accepted: gy of shape (1, 8, 28, 28), or the sizes and options that `conv` was called with",
    ),
    (
        lambda: cg.conv_weight_grad(grad, image, kernel_size=3),
        "gy.shape = (1, 8, 28, 28): kernel_size = (3, 3) over x.shape = (1, 4, 32, 32) gives an output of shape "
        "(1, 8, 30, 30); accepted: gy of shape (1, 8, 30, 30), or the sizes and options that `conv` was called with",
    ),
    (
        lambda: cg.conv_weight_grad(np.zeros((2, 8, 28, 28)), image, kernel_size=5),
        "gy.shape = (2, 8, 28, 28): kernel_size = (5, 5) over x.shape = (1, 4, 32, 32) gives an output of shape "
        "(1, 8, 28, 28); accepted: gy of shape (1, 8, 28, 28), or the sizes and options that `conv` was called with",
    ),
    (
        lambda: cg.conv_input_grad(grad, weight, input_size=(32,)),
        "input_size = (32,): has 1 entries for 2 spatial axes; accepted: an int, or 2 of them",
    ),
    (
        lambda: cg.conv_transpose(X, np.zeros((2, 1, 3))),
        "w.shape = (2, 1, 3): takes 2 channels (axis 0), but x.shape = (1, 1, 5) has 1 (axis 1); "
        "accepted: x with 2 channels, or w.shape[0] = 1",
    ),
    (
        lambda: cg.conv_transpose(X, W, stride=2, output_size=13),
        "output_size = (13,): no convolution with stride 2 takes 13 positions "
        "to the given ones of x.shape = (1, 1, 5); accepted: 11 to 12 on that axis",
    ),
    (
        lambda: cg.conv_transpose(X, W, output_size=8),
        "output_size = (8,): no convolution with stride 1 takes 8 positions to the given ones of x.shape = (1, 1, 5); "
        "accepted: 7 on that axis",
    ),
    (
        lambda: cg.conv_transpose(X[..., :1], W, padding=2),
        "padding = 2: leaves inputs of -1 to -1 positions for 1 outputs; accepted: less padding",
    ),
    (
        lambda: cg.conv_bias_grad(np.zeros((2, 3))),
        "gy.shape = (2, 3): has 2 axes, but (N, OC, *O) needs at least 3; accepted: the gradient of `conv`'s output",
    ),
    (
        lambda: cg.conv(X, W, np.zeros(2)),
        "bias.shape = (2,): the result has 1 channels; accepted: a bias of shape (1,)",
    ),
    (
        lambda: cg.conv(X, W, out=np.zeros((1, 1, 4))),
        "out.shape = (1, 1, 4): the result has shape (1, 1, 3); accepted: an array of shape (1, 1, 3)",
    ),
    (lambda: cg.conv([[[1.0, 2], [3]]], W), "x = 'list': is no array ("),
]
UNSUPPORTED = [
    (
        lambda: cg.conv(X.astype(bool), W),
        "x.dtype = 'bool': no kernel computes it; accepted: float32, float64, bfloat16, complex64, complex128 "
        "or integers of 8 to 64 bits, as from x.astype('float64')",
    ),
    (
        lambda: cg.conv(X, W.astype("float16")),
        "w.dtype = 'float16': no kernel computes it; accepted: float32, float64, bfloat16, complex64, complex128 "
        "or integers of 8 to 64 bits, as from w.astype('float64')",
    ),
    (lambda: cg.conv(X, W, out=[0, 0, 0]), "out = 'list': is no array to write into; accepted: a NumPy array, or None"),
    (
        lambda: cg.conv(X, W, out=np.zeros((1, 1, 3), "float32")),
        "out.dtype = '<f4': the result is float64; accepted: an array of dtype float64, native byte order",
    ),
    (
        lambda: cg.conv(X, W, out=np.broadcast_to(0.0, (1, 1, 3))),
        "out = 'a read-only array': cannot be written; accepted: a writeable array",
    ),
    (
        lambda: cg.conv(X, W, out=X[..., 1:4]),
        "out = 'an array of shape (1, 1, 3)': shares memory with x, which is still read while out is written; "
        "accepted: an array of its own memory",
    ),
    (
        lambda: cg.conv(X.astype("f4"), W.astype("f4"), np.zeros(1)),
        "bias.dtype = 'float64': the result is float32; accepted: float32; bias.astype(...)",
    ),
    (
        lambda: cg.plan_for("forward", "i5 k3", dtype="bool"),
        "dtype = 'bool': no kernel computes it; accepted: float32, float64, bfloat16, complex64, complex128 "
        "or integers of 8 to 64 bits",
    ),
    (
        lambda: cg.plan_for("forward", "i5 k3", dtype="bogus"),
        "dtype = 'bogus': no kernel computes it; accepted: float32, float64, bfloat16, complex64, complex128 "
        "or integers of 8 to 64 bits",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_describes_no_convolution_is_refused_with_the_remedy(make, message: str) -> None:
    with pytest.raises(cg.GeometryError) as caught:
        make()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("make", "message"), UNSUPPORTED)
def test_what_nothing_here_computes_is_refused_with_the_remedy(make, message: str) -> None:
    with pytest.raises(cg.UnsupportedError) as caught:
        make()
    assert str(caught.value) == message


def test_out_may_interleave_with_an_input_whose_elements_it_does_not_share() -> None:
    memory = np.zeros((1, 1, 10))
    memory[..., :9:2] = X
    cg.conv(memory[..., :9:2], W, out=memory[..., 1:7:2])
    assert memory.ravel().tolist() == [1, 321, 2, 432, 3, 543, 4, 0, 5, 0]


@pytest.mark.parametrize("error", [cg.GeometryError("a", 1, "r", "c"), cg.MissingExtraError("lib", "extra", "it")])
def test_errors_survive_pickling(error: cg.ConvgradError) -> None:
    import pickle

    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and copy.accepted == error.accepted

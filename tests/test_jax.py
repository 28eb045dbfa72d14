"""The adapter to JAX: every option of its convolution, every transformation to third order, every way XLA calls us."""

from __future__ import annotations

import concurrent.futures
import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from oracles import assert_same
from peers import peer

jax: Any = peer("jax")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import convgrad  # noqa: E402
import convgrad.jax as cj  # noqa: E402
from convgrad import GeometryError, UnsupportedError, spelling  # noqa: E402
from convgrad.jax import elsewhere, frame, handlers, native, primitives  # noqa: E402

ROLES = ("forward", "input_grad", "weight_grad")
PROBLEMS = [
    "n2 ic4 oc6 g2 i9x8 k3x2 s2x1 p1+2x2+0 d1x2",
    "n1 ic2 oc2 i7 k3 p1+1",
    "n2 ic3 oc3 g3 i5x4x6 k2x3x1 p1",
    "n2 ic2 oc3 i6x5 k3 p2 mreflectxcircular",
]


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def draw(*shape: int, dtype: str = "float64", seed: int = 0) -> Any:
    rng = np.random.default_rng([seed, *shape])
    found = rng.integers(-4, 5, shape)
    return jnp.asarray((found + 1j * rng.integers(-4, 5, shape) if dtype.startswith("c") else found).astype(dtype))


def arguments(role: str, geometry: Any, dtype: str = "float64") -> tuple[Any, Any]:
    first, second, _ = handlers.SHAPES[role]
    return tuple(  # type: ignore[return-value]
        draw(*getattr(geometry, name), dtype=dtype, seed=k) for k, name in enumerate((first, second))
    )


def assert_equal(found: Any, expected: Any) -> None:
    assert_same(np.asarray(found), np.asarray(expected))


# ---- roles


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("spelled", PROBLEMS)
def test_roles_have_the_bits_of_convgrad(spelled: str, role: str, dtype: str) -> None:
    geometry = spelling.parse(spelled)
    a, b = arguments(role, geometry, dtype)
    expected = convgrad.api.compute(role, geometry, np.asarray(a), np.asarray(b))
    assert_equal(primitives.apply(role, a, b, geometry), expected)
    assert_equal(jax.jit(lambda a, b: primitives.apply(role, a, b, geometry))(a, b), expected)
    assert_equal(elsewhere.compute(role, a, b, geometry=geometry), expected)


def test_large_problems_and_special_values_leave_native_code() -> None:
    w = draw(16, 16, 3, 3, dtype="float32")
    for size in (8, 40):
        x = draw(1, 16, size, size, dtype="float32")
        assert_equal(cj.conv(x, w, padding=1), convgrad.conv(np.asarray(x), np.asarray(w), padding=1))
    x = draw(1, 2, 6, 6, dtype="float32")
    w = draw(2, 2, 3, 3, dtype="float32").at[0, 0, 0, 0].set(jnp.inf)  # meets zeros of the panels
    assert_equal(cj.conv(x, w, padding=1), convgrad.conv(np.asarray(x), np.asarray(w), padding=1))


def test_empty_arrays_have_empty_or_zero_results() -> None:
    assert cj.conv(jnp.zeros((0, 2, 5)), jnp.zeros((3, 2, 2))).shape == (0, 3, 4)
    assert_equal(cj.conv(jnp.zeros((1, 0, 5)), jnp.zeros((3, 0, 2))), np.zeros((1, 3, 4)))


def test_functions_are_those_of_convgrad() -> None:
    x, w, bias = draw(2, 4, 9, 8), draw(6, 2, 3, 2), draw(6)
    given: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "groups": 2}
    y = cj.conv(x, w, bias, **given)
    assert_equal(y, convgrad.conv(np.asarray(x), np.asarray(w), np.asarray(bias), **given))
    for name, arrays, size in (
        ("conv_input_grad", (y, w), {"input_size": (9, 8)}),
        ("conv_weight_grad", (y, x), {"kernel_size": (3, 2)}),
        ("conv_transpose", (y, w), {"output_size": (9, 8)}),
    ):
        expected = getattr(convgrad, name)(*map(np.asarray, arrays), **given, **size)
        assert_equal(getattr(cj, name)(*arrays, **given, **size), expected)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_constant_in_the_padding_is_seen_by_all_roles(dtype: str) -> None:
    x, w = draw(2, 4, 6, 5, dtype=dtype), draw(6, 2, 3, 2, dtype=dtype)
    given: dict[str, Any] = {"padding": 2, "padding_mode": "constant", "padding_value": 3, "groups": 2}
    y = cj.conv(x, w, **given)
    assert_equal(y, convgrad.conv(np.asarray(x), np.asarray(w), **given))
    gw = convgrad.conv_weight_grad(np.asarray(y), np.asarray(x), kernel_size=(3, 2), **given)
    assert_equal(cj.conv_weight_grad(y, x, kernel_size=(3, 2), **given), gw)
    check_grads(lambda x, w: cj.conv(x, w, **given), (x, w), order=2, modes=["fwd", "rev"])


# ---- transformations


@pytest.mark.parametrize("spelled", PROBLEMS)
@pytest.mark.parametrize("role", ROLES)
def test_derivatives_hold_to_third_order_in_both_modes(role: str, spelled: str) -> None:
    geometry = spelling.parse(spelled)
    check_grads(
        lambda a, b: primitives.apply(role, a, b, geometry), arguments(role, geometry), order=3, modes=["fwd", "rev"]
    )


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0), (1, 2), (3, None), (None, 3)])
@pytest.mark.parametrize("role", ROLES)
def test_vmap_along_any_axis_of_any_argument_is_a_loop(role: str, dims: Any) -> None:
    geometry = spelling.parse(PROBLEMS[0])
    several = [
        array if dim is None else jnp.stack([array + k for k in range(3)], dim)
        for array, dim in zip(arguments(role, geometry), dims, strict=True)
    ]
    found = jax.vmap(lambda a, b: primitives.apply(role, a, b, geometry), dims)(*several)
    for k in range(3):
        one = [array if dim is None else jnp.take(array, k, dim) for array, dim in zip(several, dims, strict=True)]
        assert_equal(found[k], primitives.apply(role, *one, geometry))


def test_gradients_of_each_image_by_vmap() -> None:
    x, w = draw(3, 2, 6, 5), draw(4, 2, 3, 3)

    def each(conv: Any) -> Any:
        return jax.vmap(jax.grad(lambda w, x: (conv(x[None], w) ** 2).sum()), (None, 0))(w, x)

    assert_equal(each(cj.conv), each(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID")))


def test_transposes_scans_and_hessians() -> None:
    x, w = draw(1, 2, 8), draw(2, 2, 3)

    def conv(x: Any) -> Any:
        return cj.conv(x, w, padding=1)

    (transposed,) = jax.linear_transpose(conv, x)(x)
    assert_equal(transposed, cj.conv_input_grad(x, w, input_size=8, padding=1))
    scanned, _ = jax.jit(lambda x: lax.scan(lambda carry, _: (conv(carry), None), x, None, length=3))(x)
    assert_equal(scanned, conv(conv(conv(x))))
    assert jax.hessian(lambda w: (cj.conv(x, w) ** 2).sum())(w).shape == (2, 2, 3, 2, 2, 3)


# ---- JAX's own function

LAYOUTS = [None, ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NHWC"), ("CHWN", "IHWO", "HWNC")]
DILATED = [
    (strides, padding, holes, spreads, groups)
    for strides, padding, holes, spreads, groups in itertools.product(
        ((1, 1), (2, 3)),
        ("SAME", "VALID", "SAME_LOWER", ((1, 2), (0, 3)), ((-1, 1), (2, -1))),
        (None, (2, 1), (3, 2)),
        (None, (1, 2)),
        (1, 2),
    )
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_option_of_conv_general_dilated(layout: Any) -> None:
    spec = lax.conv_dimension_numbers((1, 1, 1, 1), (1, 1, 1, 1), layout)
    for strides, padding, holes, spreads, groups in DILATED if layout is None else DILATED[::7]:
        x = jnp.transpose(draw(2, 4, 7, 6), np.argsort(spec.lhs_spec))
        w = jnp.transpose(draw(6, 4 // groups, 3, 2), np.argsort(spec.rhs_spec))
        given = (strides, padding, holes, spreads, layout, groups)
        if isinstance(padding, str) and holes:
            with pytest.raises(GeometryError, match="JAX refuses it too"):
                cj.conv_general_dilated(x, w, *given)
            continue
        assert_equal(cj.conv_general_dilated(x, w, *given), lax.conv_general_dilated(x, w, *given))


def test_groups_of_the_batch_and_result_dtypes() -> None:
    x, w = draw(4, 3, 7, 6), draw(6, 3, 3, 2)
    for conv in (cj.conv_general_dilated, lax.conv_general_dilated):
        grouped = conv(x, w, (1, 2), "SAME", batch_group_count=2)
        narrow = conv(x.astype("bfloat16"), w.astype("bfloat16"), (1, 1), "SAME", preferred_element_type="float32")
        if conv is cj.conv_general_dilated:
            ours = grouped, narrow
    assert_equal(ours[0], grouped)
    assert ours[1].dtype == narrow.dtype == jnp.float32
    with pytest.raises(GeometryError, match="batch_group_count = 3"):
        cj.conv_general_dilated(x, w, (1, 1), "SAME", batch_group_count=3)
    with pytest.raises(GeometryError, match="window_strides"):
        cj.conv_general_dilated(x, w, (1,), "SAME")


def test_a_transposed_convolution_is_differentiable() -> None:
    x, w = draw(1, 2, 5, 4), draw(3, 2, 3, 2)
    check_grads(
        lambda x, w: cj.conv_general_dilated(x, w, (1, 1), ((1, 1), (0, 2)), lhs_dilation=(2, 3)),
        (x, w),
        order=2,
        modes=["fwd", "rev"],
    )


# ---- how XLA reaches us


def test_frames_are_as_expected_here() -> None:
    assert cj.handler() == ("native" if native.available() else "ctypes")


@pytest.mark.parametrize("way", ["ctypes", "callback"])
def test_every_way_has_the_same_bits(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    if way == "callback":
        monkeypatch.setattr(handlers, "_frames_are_as_expected", lambda: False)
    monkeypatch.setattr(handlers, "_name", lambda *problem, real=handlers._name: f"{way}.{real(*problem)}")
    assert cj.handler() == way
    geometry = spelling.parse("n2 ic3 oc2 i11 k4 p1")
    for role in ROLES:
        a, b = arguments(role, geometry)
        found = jax.jit(lambda a, b, role=role: primitives.apply(role, a, b, geometry) + 0)(a, b)
        assert_equal(found, convgrad.api.compute(role, geometry, np.asarray(a), np.asarray(b)))


def test_a_frame_that_looks_different_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real = frame.pointers
    try:
        # the arguments change places
        monkeypatch.setattr(handlers, "pointers", lambda at: (real(at)[1], real(at)[0], real(at)[2]))
        handlers._frames_are_as_expected.cache_clear()
        assert not handlers._frames_are_as_expected()
        monkeypatch.undo()
        monkeypatch.setattr(handlers, "is_question", lambda at: frame.is_question(at) or True)  # never asked to work
        handlers._frames_are_as_expected.cache_clear()
        assert not handlers._frames_are_as_expected()
    finally:
        monkeypatch.undo()
        handlers._frames_are_as_expected.cache_clear()
    assert handlers._frames_are_as_expected()


def test_an_error_in_python_is_raised_by_xla(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: Any) -> None:
        raise MemoryError("no memory for that")

    monkeypatch.setattr(native, "available", lambda: False)
    monkeypatch.setattr(handlers, "execute", fails)
    with pytest.raises(Exception, match="convgrad: no memory for that"):
        np.asarray(cj.conv(draw(1, 1, 13), draw(1, 1, 3)))


def test_programs_on_many_threads_keep_apart() -> None:
    w = draw(2, 2, 3, dtype="float32")
    step = jax.jit(lambda x: cj.conv(cj.conv(x, w, padding=1), w, padding=1))
    inputs = [draw(1, 2, 50, dtype="float32", seed=k) for k in range(8)]
    expected = [np.asarray(step(x)) for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(50):
            for found, right in zip(pool.map(step, inputs), expected, strict=True):
                assert_equal(found, right)


@pytest.mark.skipif(not native.available(), reason="kernels are called from Python here")
def test_a_native_call_while_another_is_under_way_goes_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = draw(1, 2, 50, dtype="float32"), draw(2, 2, 3, dtype="float32")
    step, in_python = jax.jit(lambda x: cj.conv(x, w)), []
    expected = np.asarray(step(x))
    real = handlers.execute
    monkeypatch.setattr(handlers, "execute", lambda *arguments: in_python.append(1) or real(*arguments))
    step(x).block_until_ready()
    assert not in_python
    native._lock()[0] = 1
    try:
        assert_equal(np.asarray(step(x)), expected)
    finally:
        native._lock()[0] = 0
    assert in_python


def test_names_of_problems_are_the_same_in_every_process() -> None:
    script = (
        "import numpy as np; from convgrad import spelling; from convgrad.jax import handlers;"
        f"print(handlers._name('forward', spelling.parse({PROBLEMS[0]!r}), np.dtype('float32')))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    here = handlers._name("forward", spelling.parse(PROBLEMS[0]), np.dtype("float32"))
    assert ended.stdout.strip() == here


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_numbers_are_computed_in_float32(dtype: str) -> None:
    x, w = draw(1, 2, 6).astype(dtype), draw(3, 2, 2).astype(dtype)
    assert cj.conv(x, w).dtype == dtype
    assert_equal(cj.conv(x, w), cj.conv(x.astype("float32"), w.astype("float32")).astype(dtype))


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="no kernel computes it"):
        cj.conv(jnp.ones((1, 1, 3), int), jnp.ones((1, 1, 2), int))


def test_without_jax_one_line_names_what_to_install() -> None:
    script = "import sys; sys.modules['jax'] = None; import convgrad; import convgrad.jax"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (
        ended.stderr.strip()
        .splitlines()[-1]
        .endswith('jax is not installed, and convgrad.jax needs it; accepted: pip install "convgrad[jax]"')
    )

"""The adapter to PyTorch: its layers option by option, its own checks of derivatives, every way it calls functions."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from peers import peer

torch: Any = peer("torch")

import convgrad  # noqa: E402
import convgrad.torch as ct  # noqa: E402
from convgrad import GeometryError, UnsupportedError  # noqa: E402
from convgrad.machine import Machine  # noqa: E402
from convgrad.torch import functions, options, roles, swap  # noqa: E402
from convgrad.torch.layers import OURS  # noqa: E402
from convgrad.torch.swap import likely_faster  # noqa: E402

nn, F = torch.nn, torch.nn.functional
OPTIONS: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}


def draw(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    """Whole numbers, so that results may be compared with ==."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    found = torch.randint(-4, 5, shape, generator=generator).to(dtype)
    return found + 1j * torch.randint(-4, 5, shape, generator=generator) if dtype.is_complex else found


def pair(dtype: Any = torch.float64) -> tuple[Any, Any, Any]:
    """x, w and bias for `OPTIONS`, with gradients."""
    tensors = draw(2, 4, 9, 8, dtype=dtype), draw(6, 2, 3, 2, dtype=dtype), draw(6, dtype=dtype)
    return tuple(tensor.requires_grad_() for tensor in tensors)  # type: ignore[return-value]


def ours(x: Any, w: Any, bias: Any = None) -> Any:
    return ct.conv(x, w, bias, **OPTIONS)


def theirs(x: Any, w: Any, bias: Any = None) -> Any:
    return F.conv2d(x, w, bias, **OPTIONS)


def assert_equal(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert bool((found == expected).all())


def one_step(layer: Any, x: Any) -> list[Any]:
    """The output, and the gradients of a loss by input and parameters."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return [y, *torch.autograd.grad(y, [x, *layer.parameters()], draw(*y.shape))]


# ---- torch's layers

CONVOLUTIONS = [
    (rank, stride, padding, dilation, groups, bias, mode)
    for rank in (1, 2, 3)
    for stride, padding, dilation, groups, bias, mode in itertools.product(
        (1, 2), (0, 2, "same", "valid"), (1, 2), (1, 2, 4), (True, False), ("zeros", "reflect", "replicate", "circular")
    )
    if not (padding == "same" and stride == 2) and not (mode != "zeros" and padding in (0, "valid"))
]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_option_of_torchs_layers_has_its_result(rank: int) -> None:
    for case in CONVOLUTIONS:
        if case[0] != rank:
            continue
        _, stride, padding, dilation, groups, bias, mode = case
        given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
        kernel = (3, 2, 3)[:rank]
        stock = getattr(nn, f"Conv{rank}d")(4, 8, kernel, padding_mode=mode, dtype=torch.float64, **given)
        with torch.no_grad():
            for parameter in stock.parameters():
                parameter.copy_(draw(*parameter.shape))
        mine = getattr(ct, f"Conv{rank}d")(4, 8, kernel, padding_mode=mode, dtype=torch.float64, **given)
        mine.load_state_dict(stock.state_dict())
        assert repr(mine) == repr(stock)
        x = draw(2, 4, *(9, 8, 7)[:rank])
        for found, expected in zip(one_step(mine, x), one_step(stock, x), strict=True):
            assert_equal(found, expected)
        assert_equal(mine(x[0]), stock(x[0]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_option_of_torchs_transposed_layers_has_its_result(rank: int) -> None:
    for stride, padding, dilation, groups, bias in itertools.product((1, 3), (0, 1), (1, 2), (1, 2), (True, False)):
        for more in range(stride if stride > dilation else 1):
            given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
            kinds = getattr(nn, f"ConvTranspose{rank}d"), getattr(ct, f"ConvTranspose{rank}d")
            stock, mine = (
                kind(4, 6, (3, 2, 3)[:rank], output_padding=more, dtype=torch.float64, **given) for kind in kinds
            )
            with torch.no_grad():
                for parameter in stock.parameters():
                    parameter.copy_(draw(*parameter.shape))
            mine.load_state_dict(stock.state_dict())
            x = draw(2, 4, *(4, 5, 3)[:rank])
            for found, expected in zip(one_step(mine, x), one_step(stock, x), strict=True):
                assert_equal(found, expected)
            size = [entry + (stride > 1) for entry in stock(x).shape[2:]] if not more else list(stock(x).shape[2:])
            assert_equal(mine(x, output_size=size), stock(x, output_size=size))
            assert_equal(mine(x[0]), stock(x[0]))


def test_layers_start_with_the_weights_of_torchs() -> None:
    torch.manual_seed(3)
    mine = ct.Conv2d(3, 4, 5)
    torch.manual_seed(3)
    stock = nn.Conv2d(3, 4, 5)
    assert all(bool((a == b).all()) for a, b in zip(mine.parameters(), stock.parameters(), strict=True))
    assert isinstance(mine, nn.Conv2d) and list(mine.state_dict()) == list(stock.state_dict())
    assert_equal(pickle.loads(pickle.dumps(mine)).weight, mine.weight)
    assert_equal(copy.deepcopy(mine).weight, mine.weight)


# ---- derivatives


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_torchs_own_checks_of_derivatives_pass(dtype: Any) -> None:
    batched = not dtype.is_complex
    inputs = pair(dtype)
    first: dict[str, Any] = {"fast_mode": True, "check_forward_ad": True, "check_batched_grad": batched}
    assert torch.autograd.gradcheck(ours, inputs, check_batched_forward_grad=batched, **first)
    assert torch.autograd.gradgradcheck(
        ours, inputs, fast_mode=True, check_fwd_over_rev=True, check_batched_grad=batched
    )


@pytest.mark.parametrize(
    "given",
    [
        {"padding": 3, "padding_mode": "constant", "padding_value": 2.0},
        {"padding": ((2, 1), (0, 3)), "padding_mode": ("reflect", "symmetric")},
        {"padding": "same_lower", "stride": 2, "padding_mode": "edge"},
        {"padding": ((-1, 2), 1), "padding_mode": "circular"},
        {"padding": "full"},
    ],
)
def test_borders_that_torch_has_not_have_every_derivative(given: Any) -> None:
    x, w, _bias = pair()
    x = x[:, :2].detach().requires_grad_()

    def function(x: Any, w: Any) -> Any:
        return ct.conv(x, w, **given)

    expected = convgrad.conv(x.detach().numpy(), w.detach().numpy(), **given)
    assert_equal(function(x, w), torch.from_numpy(expected))
    assert torch.autograd.gradcheck(function, (x, w), fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (x, w), fast_mode=True, check_fwd_over_rev=True)


def test_transposed_convolutions_have_every_derivative() -> None:
    def function(x: Any, w: Any, bias: Any) -> Any:
        return ct.conv_transpose(x, w, bias, stride=(2, 1), padding=1, groups=2, output_padding=(1, 0))

    for dtype in (torch.float64, torch.complex128):
        inputs = draw(2, 6, 4, 5, dtype=dtype), draw(6, 2, 3, 2, dtype=dtype), draw(4, dtype=dtype)
        inputs = tuple(tensor.requires_grad_() for tensor in inputs)
        expected = F.conv_transpose2d(*inputs, stride=(2, 1), padding=1, groups=2, output_padding=(1, 0))
        assert_equal(function(*inputs), expected)
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_functions_of_torch_func_see_through() -> None:
    x, w, bias = (tensor.detach() for tensor in pair())
    func = torch.func
    for function in (func.grad, func.hessian, func.jacrev, func.jacfwd):
        found, expected = (
            function(lambda w, f=f: f(x, w).pow(2).sum())(w)
            for f in (ours, theirs)  # type: ignore[misc]
        )
        assert_equal(found, expected)
    for f in (lambda x: ours(x, w, bias), lambda x: theirs(x, w, bias)):
        assert_equal(func.jvp(f, (x,), (x,))[1], theirs(x, w))
    found, expected = (func.vjp(lambda w, f=f: f(x, w), w)[1](theirs(x, w)) for f in (ours, theirs))
    assert_equal(found[0], expected[0])


def test_gradients_of_each_image_by_vmap() -> None:
    x, w, bias = (tensor.detach() for tensor in pair())

    def each(f: Any) -> Any:
        loss = torch.func.grad(lambda w, x: f(x[None], w, bias).square().sum())
        return torch.func.vmap(loss, (None, 0))(w, x)

    assert_equal(each(ours), each(theirs))


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0), (1, 2), (3, None), (None, 3)])
@pytest.mark.parametrize("role", ["forward", "input_grad", "weight_grad"])
def test_vmap_along_any_axis_of_any_argument_is_a_loop(role: str, dims: Any) -> None:
    arguments = {
        "forward": (draw(2, 4, 9, 8), draw(6, 2, 3, 2)),
        "input_grad": (draw(2, 6, 5, 10), draw(6, 2, 3, 2)),
        "weight_grad": (draw(2, 6, 5, 10), draw(2, 4, 9, 8)),
    }[role]
    size = {"forward": (), "input_grad": (9, 8), "weight_grad": (3, 2)}[role]
    given = options.read(2, OPTIONS["stride"], OPTIONS["padding"], OPTIONS["dilation"], 2, "zeros", 0)

    def function(a: Any, b: Any) -> Any:
        from convgrad.torch.dispatch import apply

        return apply(role, a, b, size, given)

    several = [
        tensor if dim is None else torch.stack([tensor + k for k in range(3)], dim)
        for tensor, dim in zip(arguments, dims, strict=True)
    ]
    found = torch.func.vmap(function, dims)(*several)
    for k in range(3):
        one = [tensor if dim is None else tensor.select(dim, k) for tensor, dim in zip(several, dims, strict=True)]
        assert_equal(found[k], roles.compute(role, *one, size, given))


def test_a_bias_is_not_spread_over_channels() -> None:
    x, w, _ = (tensor.detach() for tensor in pair())
    one = w[:1]
    for wrong, kernel, channels in ((torch.ones(1), w, 6), (torch.ones(2, 3), w, 6), (torch.ones(6), one, 1)):
        message = rf"bias.shape = .*: the result has {channels} channels; accepted: \({channels},\), or None"
        for needs_gradient in (False, True):
            bias = wrong.double().requires_grad_(needs_gradient)
            with pytest.raises(GeometryError, match=message):
                ct.conv(x[:, :2], kernel, bias)
        with pytest.raises(GeometryError, match=message):
            torch.func.vmap(ct.conv, (0, None, None))(x[None, :, :2], kernel, wrong.double())
    with pytest.raises(GeometryError, match="the result has 2 channels"):
        ct.conv_transpose(draw(2, 6, 4, 5), w, torch.ones(1).double())
    with pytest.raises(UnsupportedError, match=r"bias.dtype = 'float32': x and w are float64; accepted: bias.to"):
        ct.conv(x[:, :2], w, torch.ones(6))


# ---- ways of calling


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_what_is_recorded_is_no_constant(mode: str) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    x, w, _ = (tensor.detach() for tensor in pair())
    gradient = torch.func.grad(lambda w, x: ours(x, w).square().sum())
    each = torch.func.vmap(gradient, (None, 0))
    recorded = [
        (lambda w, x: ours(x, w), w, x),
        (gradient, w, x),
        (lambda w, x: each(w, x[:, None]), w, x),
        (lambda w, x: torch.func.jvp(lambda w: ours(x, w), (w,), (w,))[1], w, x),
        (lambda w, x: torch.autograd.grad(ours(x, w.requires_grad_()).square().sum(), w)[0], w, x),
    ]
    for function, *inputs in recorded:
        program = make_fx(function, tracing_mode=mode)(*(tensor.clone() for tensor in inputs))
        others = w + 1, x.flip(0) - 2
        assert_equal(program(*(tensor.clone() for tensor in others)), function(*others))


def test_linearized_functions_depend_on_the_tangent() -> None:
    x, w, bias = (tensor.detach() for tensor in pair())
    value, linear = torch.func.linearize(lambda w: ours(x, w, bias), w)
    assert_equal(value, theirs(x, w, bias))
    assert_equal(linear(w + 1), theirs(x, w + 1))


@pytest.mark.filterwarnings("ignore")
def test_torchs_older_tracer_records_torchs_own_convolutions() -> None:
    layers = ct.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"), ct.ConvTranspose2d(6, 3, 2, stride=2)
    net = nn.Sequential(*layers).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(draw(*parameter.shape))
    traced = torch.jit.trace(net, draw(1, 4, 9, 8))
    other = draw(2, 4, 9, 8, seed=1)
    assert_equal(traced(other), net(other))
    with pytest.raises(UnsupportedError, match=r"in torch\.jit\.trace torch computes, and it has no such border"):
        torch.jit.trace(
            lambda x: ct.conv(x, torch.ones(1, 1, 2), padding=1, padding_mode="symmetric"), torch.ones(1, 1, 3)
        )


def test_torch_counts_our_operations_as_its_own() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    # without groups, whose weight gradients torch counts as if there were none
    net = nn.Sequential(ct.Conv2d(4, 6, 3, stride=2, dilation=2), nn.ReLU(), ct.ConvTranspose2d(6, 3, 2)).double()
    totals = []
    for _ in range(2):
        with FlopCounterMode(display=False) as counter:
            net(draw(2, 4, 9, 8).requires_grad_()).sum().backward()
        totals.append(counter.get_total_flops())
        ct.restore(net)
    assert totals[0] == totals[1] > 0


@pytest.mark.parametrize("role", ["forward", "input_grad", "weight_grad"])
def test_torchs_own_checks_of_operators_pass(role: str) -> None:
    x, w, _ = pair()
    gy = draw(2, 6, 5, 9).requires_grad_()
    given = options.read(2, OPTIONS["stride"], OPTIONS["padding"], OPTIONS["dilation"], 2, "zeros", 0)
    gy = theirs(x, w).detach().requires_grad_()
    first, second, size = {"forward": (x, w, []), "input_grad": (gy, w, [9, 8]), "weight_grad": (gy, x, [3, 2])}[role]
    operator = getattr(torch.ops.convgrad, role).default
    outcome = torch.library.opcheck(operator, (first, second, size, *given.flat()))
    assert set(outcome.values()) == {"SUCCESS"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("dynamic", [False, True])
def test_whole_graphs_are_compiled(dynamic: bool) -> None:
    x, w, bias = pair()
    layer = ct.ConvTranspose2d(6, 3, 2, stride=2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(draw(*layer.weight.shape))

    def loss(x: Any, w: Any, bias: Any) -> Any:
        return layer(ours(x, w, bias).relu()).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for inputs in ((x, w, bias), (torch.cat([x, x]).detach().requires_grad_(), w, bias)):
        found, expected = (torch.autograd.grad(f(*inputs), inputs) for f in (compiled, loss))
        for a, b in zip(found, expected, strict=True):
            assert_equal(a, b)


@pytest.mark.filterwarnings("ignore")
def test_models_are_exported() -> None:
    model = nn.Sequential(ct.Conv2d(3, 4, 3, padding="same"), nn.ReLU(), ct.Conv2d(4, 2, 3, stride=2, padding=1))
    x = torch.randn(2, 3, 8, 9)
    exported = torch.export.export(model, (x,))
    assert "convgrad.forward" in str(exported.graph)
    assert torch.equal(exported.module()(x), model(x))


def test_autocast_casts_as_for_torchs_convolutions() -> None:
    x, w, _ = (tensor.detach() for tensor in pair(torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x, w).dtype == theirs(x, w).dtype == torch.bfloat16
        assert ours(x.double(), w.double()).dtype == torch.float64
    assert ours(x, w).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers_are_computed_in_float32_and_rounded_once(dtype: Any) -> None:
    x, w, _bias = (tensor.detach() for tensor in pair(dtype))
    assert_equal(ours(x, w), theirs(x.float(), w.float()).to(dtype))
    layer = ct.Conv2d(4, 6, 3, dtype=dtype)
    layer(x).sum().backward()
    assert layer.weight.grad.dtype == dtype


def test_memory_is_shared_and_may_have_any_strides() -> None:
    x, w, _ = (tensor.detach() for tensor in pair())
    expected = theirs(x, w)
    assert_equal(ours(x.to(memory_format=torch.channels_last), w), expected)
    assert_equal(ours(x.flip(3)[..., ::1].flip(3), w.transpose(2, 3).contiguous().transpose(2, 3)), expected)
    a, b = draw(2, 4, 9, 8, dtype=torch.complex128), draw(6, 2, 3, 2, dtype=torch.complex128)
    assert_equal(ours(a.conj(), b.conj()), theirs(a.conj(), b.conj()))
    negated, expected = a.conj().imag, F.conv2d(-a.imag, w, groups=2)
    assert negated.is_neg()
    assert_equal(ct.conv(negated, w, groups=2), expected)
    assert_equal(ct.conv(negated, w.clone().requires_grad_(), groups=2), expected)
    found = ct.conv(x.requires_grad_(), w, groups=2)
    (gx,) = torch.autograd.grad(found, x, torch.ones(1, dtype=torch.float64).expand_as(found))  # without strides
    assert_equal(gx, torch.autograd.grad(F.conv2d(x, w, groups=2), x, torch.ones_like(found))[0])


def test_threads_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []
    real = convgrad.api.conv

    def conv(*arguments: Any, **given: Any) -> Any:
        seen.append(convgrad.settings.num_threads())
        return real(*arguments, **given)

    monkeypatch.setitem(roles.FUNCTIONS, "forward", (conv, ""))
    before = torch.get_num_threads()
    x, w, _ = (tensor.detach() for tensor in pair())
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            ours(x, w)
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2] and convgrad.settings.num_threads() is None


class Dataset(torch.utils.data.Dataset):  # type: ignore[misc]
    """Images, each convolved where it is loaded."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return ct.conv(draw(1, 2, 40, 40, seed=index), draw(3, 2, 3, 3))[0]


def test_workers_of_a_data_loader_convolve() -> None:
    here = [Dataset()[index] for index in range(4)]  # threads run before the fork
    loader = torch.utils.data.DataLoader(Dataset(), batch_size=2, num_workers=2)
    assert_equal(torch.cat(list(loader)), torch.stack(here))


def test_other_devices_are_torchs() -> None:
    layer = ct.Conv2d(4, 6, 3, padding=1, device="meta")
    assert layer(torch.empty(2, 4, 9, 8, device="meta")).shape == (2, 6, 9, 8)
    x, w, bias = (tensor.detach() for tensor in pair())
    for given in (
        OPTIONS,
        {"padding": ((2, 1), (0, 3)), "groups": 2},
        {"padding": 2, "padding_mode": "reflect", "groups": 2},
    ):
        read = {"stride": 1, "padding": 0, "dilation": 1, "padding_mode": "zeros", **given}
        chosen = options.read(2, read["stride"], read["padding"], read["dilation"], 2, read["padding_mode"], 0)
        assert_equal(functions._elsewhere(x, w, bias, chosen), ct.conv(x, w, bias, **given))
    with pytest.raises(UnsupportedError, match="it has no such border"):
        functions._elsewhere(x, w, bias, options.read(2, 1, 1, 1, 2, "symmetric", 0))
    x = draw(2, 6, 4, 5)
    for given in (
        {"stride": 2, "padding": 1},
        {"stride": (2, 1), "padding": ((0, 1), (2, 0)), "output_padding": (1, 0)},
    ):
        chosen = options.read(2, given["stride"], given["padding"], 1, 1, "zeros", 0)
        expected = ct.conv_transpose(x, w, bias[:2], **given)
        assert_equal(functions._transposed_elsewhere(x, w, bias[:2], expected.shape[2:], chosen), expected)


# ---- swapping


def model() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Dropout(0.5)),
        nn.Conv2d(8, 4, 1),
    )


def test_layers_are_swapped_in_place_and_given_back() -> None:
    net, x = model(), torch.randn(2, 3, 12, 12)
    net.eval()
    before, parameters = net(x), list(net.parameters())
    called: list[str] = []
    net[3].register_forward_hook(lambda *_: called.append("hook"))
    assert ct.accelerate(net, lambda layer, name: True) == ["0", "2.0", "3"]
    assert [type(layer) for layer in (net[0], net[2][0], net[3])] == [ct.Conv2d] * 3
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert float((net(x) - before).detach().norm()) < 1e-6 * float(before.detach().norm()) and called == ["hook"]
    assert ct.restore(net) == ["0", "2.0", "3"] and ct.restore(net) == []
    assert_equal(net(x), before)


def test_layers_are_chosen_by_kind_name_or_measurement() -> None:
    net = model()
    assert ct.accelerate(net) == ["0", "2.0"]  # few channels to a group
    ct.restore(net)
    assert ct.accelerate(net, lambda layer, name: name.startswith("2")) == ["2.0"]
    ct.restore(net)
    net.train()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    generator = torch.random.get_rng_state()
    chosen = ct.accelerate(net, example_inputs=(torch.randn(2, 3, 12, 12, generator=torch.Generator()),))
    assert set(chosen) <= {"0", "2.0", "3"}
    assert all(bool((tensor == state[name]).all()) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert bool((torch.random.get_rng_state() == generator).all())


def test_what_is_measured_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    from convgrad.torch import swap

    def step(measured: Any, arguments: Any) -> float:
        ours_is_here = {type(layer) in OURS.values() for layer in measured.modules() if "Conv" in type(layer).__name__}
        return 1.0 if True in ours_is_here else 2.0

    monkeypatch.setattr(swap, "_step", step)
    x = torch.randn(2, 3, 12, 12)
    assert ct.accelerate(model(), example_inputs=(x,)) == ["0", "2.0", "3"]
    monkeypatch.setattr(
        swap, "_step", lambda measured, arguments: 1.5 if type(measured) in OURS else step(measured, ())
    )
    assert ct.accelerate(model(), example_inputs=(x,)) == ["0", "2.0", "3"]
    monkeypatch.setattr(swap, "_step", lambda measured, arguments: 3.0 - step(measured, arguments))
    assert ct.accelerate(model(), example_inputs=(x,)) == []


class Keyword(nn.Module):  # type: ignore[misc]
    """Calls its layer by keyword, and counts calls in a buffer that is in no checkpoint."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.layer, self.most = nn.Conv2d(1, 2, 3), most
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.most -= 1
        if self.most < 0:
            raise RuntimeError("no more calls")
        return self.layer(input=x)


def test_measuring_leaves_a_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from convgrad.torch import swap

    x = torch.randn(1, 1, 8, 8)
    net = Keyword(most=1000)
    loss = net(x).square().sum()
    ct.accelerate(net, example_inputs=x)
    assert net.most < 999 and float(net.calls) == 1
    loss.backward()  # refused if a parameter had been written
    monkeypatch.setattr(swap, "_is_faster", lambda layer, arguments: True)
    failing = Keyword(most=2)
    with pytest.raises(RuntimeError, match="no more calls"):
        ct.accelerate(failing, example_inputs=(x,))
    assert type(failing.layer) is nn.Conv2d and float(failing.calls) == 0


def test_subclasses_of_torchs_layers_are_left_alone() -> None:
    class Special(nn.Conv2d):  # type: ignore[misc]
        pass

    assert ct.accelerate(nn.Sequential(Special(3, 3, 3)), lambda layer, name: True) == []


def test_kinds_of_layers_that_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = [nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 1), nn.Conv1d(64, 64, 1)]
    ours = [
        *(nn.Conv2d(64, 64, 7, groups=64), nn.Conv3d(8, 8, 3), nn.Conv1d(64, 64, 9)),
        *(nn.Conv2d(64, 64, 3, dtype=torch.float64), nn.Conv2d(64, 64, 3, dilation=2)),
    ]
    monkeypatch.setattr(swap, "Machine", SimpleNamespace(here=lambda: Machine("avx512", 2, ())))
    assert not any(map(likely_faster, theirs)) and all(map(likely_faster, ours))

    monkeypatch.setattr(swap, "Machine", SimpleNamespace(here=lambda: Machine("avx512", 2, (), amx=True)))
    on_tiles = [nn.Conv2d(64, 64, 3), nn.Conv2d(256, 64, 1), nn.ConvTranspose2d(128, 64, 3), nn.Conv2d(64, 256, 1)]
    vectors = [nn.Conv2d(64, 32, 3), nn.Conv2d(128, 128, 3, groups=4), nn.Conv2d(64, 64, 3, dtype=torch.bfloat16)]
    assert all(map(likely_faster, on_tiles)) and not any(map(likely_faster, vectors))


# ---- errors


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: ct.conv(torch.ones(1, 1, 3), torch.ones(1, 1, 2, dtype=torch.float64)),
        UnsupportedError,
        "dtype = 'float64': the other tensor is float32; accepted: tensors of one dtype; .to(torch.float32)",
    ),
    (
        lambda: ct.conv(torch.ones(1, 1, 3, dtype=torch.int32), torch.ones(1, 1, 2, dtype=torch.int32)),
        UnsupportedError,
        "dtype = 'int32': no kernel computes it; accepted: bfloat16, complex128, complex64, float16, float32, float64",
    ),
    (
        lambda: ct.conv(torch.ones(1, 1, 3), torch.ones(1, 1, 2, device="meta")),
        UnsupportedError,
        "tensor = 'strided on meta': is no memory that NumPy reads; accepted: strided tensors on the CPU",
    ),
    (
        lambda: ct.conv(torch.ones(3), torch.ones(1, 1, 2)),
        GeometryError,
        "x.shape = (3,): has no spatial axes; accepted: (N, IC, *I)",
    ),
    (
        lambda: ct.conv(torch.ones(1, 1, 3), torch.ones(1, 1, 2), stride=(1, 1)),
        GeometryError,
        "stride = (1, 1): has 2 entries for 1 spatial axes; accepted: an int, or 1 of them",
    ),
    (
        lambda: ct.conv(torch.ones(1, 1, 3), torch.ones(1, 1, 2), padding_mode="constant", padding_value=1j),
        UnsupportedError,
        "padding_value = 1j: is complex; accepted: a real number, in torch",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[message[:20] for _, _, message in REFUSED])
def test_what_is_no_convolution_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_without_torch_one_line_names_what_to_install() -> None:
    script = "import sys; sys.modules['torch'] = None; import convgrad; import convgrad.torch"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert (
        ended.stderr.strip()
        .splitlines()[-1]
        .endswith("torch is not installed, and convgrad.torch needs it; accepted: pip install torch")
    )

"""PyTorch: `torch.nn.functional.conv1d` to `conv3d`, and the gradients that `torch.nn.grad` names."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..case import Case
from .record import Dialect, numbers


def _call(case: Case) -> list[str]:
    g = case.geometry
    options = (
        f"stride={numbers(g, 'stride')}, padding={numbers(g, 'before')}, "
        f"dilation={numbers(g, 'dilation')}, groups={g.groups}"
    )
    cast, back = (".bfloat16()", ".float()") if case.dtype == "bfloat16" else ("", "")
    first, second = (f"torch.from_numpy({name}){cast}" for name in case.operands)
    if case.role == "forward":
        call = f"torch.nn.functional.conv{g.rank}d({first}, {second}, {options})"
    elif case.role == "input_grad":
        call = f"torch.nn.grad.conv{g.rank}d_input({case.result_shape}, {second}, {first}, {options})"
    else:
        call = f"torch.nn.grad.conv{g.rank}d_weight({second}, {case.result_shape}, {first}, {options})"
    if case.algorithm == "native":
        return ["with torch.backends.mkldnn.flags(enabled=False):", f"    result = {call}{back}.numpy()"]
    return [f"result = {call}{back}.numpy()"]


DIALECT = Dialect(
    name="torch",
    capabilities=Capabilities(
        dtypes=("float32", "float64", "bfloat16"),
        padding="symmetric",
        layouts=("contiguous", "channels_last", "fortran", "strided", "offset", "expanded"),
        threads=(1, 1, 1, 2, 2, 3, 4),
        algorithms=("", "", "", "native"),
        transforms=frozenset({"native"}),  # it has Winograd and FFT for some shapes
    ),
    imports=("import torch",),
    call=_call,
    set_threads=lambda count: f"torch.set_num_threads({count})",
    libraries=("torch",),
    environments={"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}},
)

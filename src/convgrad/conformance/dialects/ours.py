"""convgrad itself: its three functions, each algorithm by name, held to all of its promises."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from ... import settings
from ...algorithms import ALGORITHMS
from ...choose import choose
from ...errors import UnsupportedError
from ...machine import Machine
from ...plan import Plan
from ..capabilities import LAYOUTS, PROMISES, Capabilities
from ..case import Case
from .record import Dialect, numbers, pairs


def _call(case: Case) -> list[str]:
    g = case.geometry
    options = f"stride={numbers(g, 'stride')}, padding={pairs(g)}, dilation={numbers(g, 'dilation')}, groups={g.groups}"
    if case.algorithm:
        options += f", algorithm={case.algorithm!r}"
    name, size = {
        "forward": ("conv", ""),
        "input_grad": ("conv_input_grad", f"input_size={g.input_size}, "),
        "weight_grad": ("conv_weight_grad", f"kernel_size={g.kernel_size}, "),
    }[case.role]
    cast, back = (".astype('bfloat16')", ".astype('float32')") if case.dtype == "bfloat16" else ("", "")
    first, second = (f"{operand}{cast}" for operand in case.operands)
    return [f"result = convgrad.{name}({first}, {second}, {size}{options}){back}"]


def _plan(case: Case) -> Plan | None:
    here = Machine.here()
    own = case.isa in ("", TILES)
    there = replace(here, isa=here.isa if own else case.isa, amx=here.amx and own)
    try:
        return choose(case.role, case.geometry, case.dtype, there, case.algorithm or None)
    except UnsupportedError:
        return None


def _algorithm_of(case: Case) -> str | None:
    plan = _plan(case)
    return plan.algorithm if plan is not None else None


def _error_bound(case: Case) -> float:
    plan = _plan(case)
    return plan.error_bound if plan is not None else 0.0


TILES = "amx"  # all that the machine has; a level that is asked for leaves the matrix unit out
NARROW = ("bfloat16",) if find_spec("ml_dtypes") else ()
DIALECT = Dialect(
    name="ours",
    capabilities=Capabilities(
        ranks=(1, 2, 3, 4),
        dtypes=("float32", "float64", *NARROW),
        empty=True,
        layouts=LAYOUTS,
        threads=(1, 2, 3, 5),
        algorithms=("", *(algorithm.name for algorithm in ALGORITHMS)),
        transforms=frozenset({"fourier"}),
        promises=frozenset(PROMISES),
    ),
    imports=("import os", "import convgrad", *(f"import ml_dtypes  # {name}" for name in NARROW)),
    call=_call,
    set_threads=lambda count: f"os.environ['CONVGRAD_NUM_THREADS'] = '{count}'",
    libraries=("convgrad", "llvmlite"),
    environments={TILES: {}} | {isa: {"CONVGRAD_ISA": isa} for isa in (*settings.X86_LEVELS, "neon")},
    algorithm_of=_algorithm_of,
    error_bound=_error_bound,
)

"""The instruction sets that kernels are printed for: one row each, and no branch on their names anywhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Target:
    """What a generator needs to know about an instruction set."""

    name: str
    vector_bytes: int
    registers: int  # vector registers
    fma: bool  # multiply and add in one instruction, rounded once
    masks: bool  # loads and stores of some lanes are cheap
    features: str  # the level spelled out for LLVM; `compile` takes back what this CPU lacks
    cpu: str  # never a product's name: its features would come along, and a CPU of the same level may lack them


# x86-64-v3 and x86-64-v4 of the psABI; a virtual machine may hide the small ones (movbe, bmi, ...)
_AVX2 = "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe"
_AVX512 = f"{_AVX2},+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512cd,-prefer-256-bit"

TARGETS = {
    target.name: target
    for target in (
        Target("avx512", 64, 32, True, True, _AVX512, "x86-64-v4"),
        Target("avx2", 32, 16, True, True, _AVX2, "x86-64-v3"),
        Target("sse2", 16, 16, False, False, "+sse2", "x86-64"),
        Target("neon", 16, 32, True, False, "+neon", "generic"),
        Target("generic", 16, 16, False, False, "", ""),
    )
}

# what the matrix unit adds: tiles of bfloat16, and vectors that are rounded to it
TILES = replace(TARGETS["avx512"], name="amx", features=f"{_AVX512},+amx-tile,+amx-bf16,+avx512bf16,+avx512vbmi2")


def target_of(isa: str) -> Target:
    """The row of a level that `Machine` names."""
    return TARGETS[isa]

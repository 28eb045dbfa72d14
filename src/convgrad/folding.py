"""Several convolutions as one: where the further axis of each argument goes, for adapters that map over batches.

The further axis becomes images, groups, or channels inside each group, and the result has it again. Which of these
follows from the arguments that have it.
"""

from __future__ import annotations

from typing import NamedTuple


class Fold(NamedTuple):
    """Where further problems go: along which axis of the first tensor, the second and the result; None: it has none.

    inside: whether each group keeps its problems together (then there are as many groups as before); else problems are
    groups themselves, or images.
    """

    a: int | None
    b: int | None
    out: int
    a_inside: bool = False
    b_inside: bool = False
    out_inside: bool = False
    as_groups: bool = False


# (role, whether the first and the second tensor have a further axis)
FOLDS = {
    ("forward", True, False): Fold(0, None, 0),
    ("forward", False, True): Fold(None, 0, 1, b_inside=True, out_inside=True),
    ("forward", True, True): Fold(1, 0, 1, as_groups=True),
    ("input_grad", True, False): Fold(0, None, 0),
    ("input_grad", False, True): Fold(None, 1, 1, out_inside=True),
    ("input_grad", True, True): Fold(1, 0, 1, as_groups=True),
    ("weight_grad", True, False): Fold(1, None, 0, a_inside=True, out_inside=True),
    ("weight_grad", False, True): Fold(None, 1, 1, b_inside=True),
    ("weight_grad", True, True): Fold(1, 1, 0, as_groups=True),
}

"""The argument record of the kernels: one block of 8-byte fields that a call fills and compiled code reads."""

from __future__ import annotations

from ...jit.ir import Function, Value

POINTERS = (
    *("x", "w", "y", "shifts", "places", "phases", "counter", "scratch", "totals", "done"),
    *("tile_config", "flags", "x_lanes", "y_lanes"),  # of the kernels on matrix tiles
)
AXES = ("d", "h", "w")  # a convolution of lower rank has leading axes of extent one
NUMBERS = (
    *("items", "images", "together", "groups", "rows", "channels", "channels_together", "taps", "phase_count"),
    *(
        f"{what}_{axis}"
        for what in ("in", "out", "tile", "tiles", "panel", "reach", "stride", "walk", "before")
        for axis in AXES
    ),
    *("plane", "panel_size", "run", "buffer_at"),
    *(f"x_{axis}" for axis in ("n", "c", *AXES)),
    *(f"y_{axis}" for axis in ("n", "c", *AXES)),
    *("w_group", "w_row", "w_channel", "in_place", "out_image", "out_row"),
    *("slides", "slide_step", "slide_turn"),  # of one channel from one
    *("ranges", "channel_blocks", "column_pitch", "slack"),  # of the weight kernels
    *("row_blocks", "rows_together", "total_pitch", "gy_pitch"),  # of the outer kernel
    *("row_pitch", "weights_at", "own_weights", "terms_in_order"),  # of the dense kernel
    *("temp_pitch", "temp_at", "positions_at", "totals_at", "step_n", "step_d", "step_h", "step_w"),
    # of the kernels on matrix tiles
    *("pair_pitch", "image_panel", "runs_apart", "row_splits", "all_channels", "channel_step", "extremes_at"),
    *("panel_part", "block_panel", "turned", "parities", "gy_image", "gy_part", "gy_at", "sums_at"),
    *("x_groups", "y_groups"),
)
FIELDS = (*POINTERS, *NUMBERS)


class Record:
    """The fields of a record, loaded where they are first asked for."""

    def __init__(self, f: Function, base: Value) -> None:
        self._f, self._base = f, base
        self._loaded: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._loaded:
            place = self._f.at(self._base, "i64", FIELDS.index(name))
            self._loaded[name] = self._f.load("ptr" if name in POINTERS else "i64", place)
        return self._loaded[name]

    def load_all(self) -> None:
        """Load every field here, so that loops below find them in registers or on the stack."""
        for name in FIELDS:
            self[name]


def tile_at(f: Function, r: Record, tile: Value) -> tuple[dict[str, Value], dict[str, Value]]:
    """The first output of a tile along each axis, and its extents; the last of an axis may be smaller."""
    first = {
        "w": tile % r["tiles_w"] * r["tile_w"],
        "h": tile // r["tiles_w"] % r["tiles_h"] * r["tile_h"],
        "d": tile // (r["tiles_w"] * r["tiles_h"]) * r["tile_d"],
    }
    return first, {axis: f.smaller(r[f"out_{axis}"] - first[axis], r[f"tile_{axis}"]) for axis in AXES}

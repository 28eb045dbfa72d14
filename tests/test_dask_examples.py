"""The examples run, small, and the recipe for xarray does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from oracles import assert_same
from peers import peer

import convgrad as cg

da, cd = peer("dask.array"), peer("convgrad.dask")
EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *options: str) -> str:
    """What an example prints."""
    done = subprocess.run([sys.executable, str(EXAMPLES / name), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_volume_is_sharper_after_each_way_of_deblurring_it() -> None:
    for library in ("zarr", "tifffile", "PIL"):
        peer(library)
    out = run("deblur_volume.py", "--depth", "40", "--width", "64", "--steps", "5")
    errors = [float(found) for found in re.findall(r"^.{28} error (\d\.\d+)", out, re.MULTILINE)]
    assert len(errors) == 4 and max(errors[1:]) < errors[0]
    before, after = map(float, re.findall(r"psf: error (\d\.\d+) -> (\d\.\d+)", out)[0])
    assert after < before


def test_a_volume_goes_through_all_roles_on_the_disk(tmp_path: Path) -> None:
    peer("zarr")
    out = run("larger_than_memory.py", "--gib", "0.1", "--kernel", "3", "--folder", str(tmp_path / "volumes"))
    assert "weight gradient, s" in out and not (tmp_path / "volumes").exists()


def test_two_processes_train_with_the_losses_of_one() -> None:
    peer("torch")
    assert re.search(r"largest difference \d\.\de-0[5-9] of the loss", run("train_distributed.py", "--steps", "20"))


def test_scaling_counts_what_travels() -> None:
    peer("distributed")
    out = run("dask_scaling.py", "--size", "256", "--chunk", "64", "--rounds", "1", "--channels", "2")
    assert "1 workers:" in out and "0.0 MB received" in out and "16 chunks" in out


def test_xarray_applies_to_chunked_arrays_of_named_axes() -> None:
    xarray = peer("xarray")
    x = np.random.default_rng(0).standard_normal((2, 3, 20, 30))
    w = np.random.default_rng(1).standard_normal((4, 3, 3, 3))
    images = xarray.DataArray(x, dims=("time", "band", "y", "x"), coords={"time": [2024, 2025]}).chunk(y=7, x=11)
    found = xarray.apply_ufunc(
        cd.conv,
        images,
        kwargs={"w": w, "padding": "same"},
        input_core_dims=[["time", "band", "y", "x"]],
        output_core_dims=[["time", "feature", "y", "x"]],
        dask="allowed",
    )
    assert found.dims == ("time", "feature", "y", "x") and found.time.values.tolist() == [2024, 2025]
    assert found.chunksizes["y"] == (7, 7, 6)
    assert_same(found.compute().values, cg.conv(x, w, padding="same"))

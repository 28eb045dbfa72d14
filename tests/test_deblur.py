"""Deblurring: the formulas on small pictures, the gain on real work, and runs that are stopped and go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import Array, assert_same
from peers import peer

import convgrad as cg
from convgrad.cli import main
from convgrad.errors import InputError

da, zarr, tifffile, pillow = peer("dask.array"), peer("zarr"), peer("tifffile"), peer("PIL.Image")
blur_of, steps, images, psfs, runs = (
    peer(f"convgrad.deblur.{name}") for name in ("blur", "iterations", "images", "psf", "run")
)

PSF = psfs.normalized(psfs.gaussian((1.0, 1.5))[:, 1:] * np.linspace(1, 3, 10))  # of even length, and lopsided


def scene_of(size: tuple[int, ...], seed: int = 0) -> Array:
    """Bright boxes on a dim ground."""
    rng = np.random.default_rng(seed)
    scene = np.full(size, 10.0, np.float32)
    for _ in range(25):
        at = [int(rng.integers(0, length - 5)) for length in size]
        scene[tuple(slice(a, a + int(rng.integers(2, 6))) for a in at)] += 100 * rng.random(dtype=np.float32)
    return scene


def picture_of(scene: Array, psf: Array) -> Array:
    """The part of a scene that is blurred completely, by the definition of a convolution."""
    out = np.zeros([s - k + 1 for s, k in zip(scene.shape, psf.shape, strict=True)])
    for tap in np.ndindex(psf.shape):
        start = [k - 1 - t for k, t in zip(psf.shape, tap, strict=True)]
        out += psf[tap] * scene[tuple(slice(s, s + o) for s, o in zip(start, out.shape, strict=True))]
    return out.astype(np.float32)


def lazy(image: Array, chunks: Any = None) -> Any:
    planes = image[np.newaxis, np.newaxis]
    return da.from_array(planes, chunks=planes.shape if chunks is None else (1, 1, *chunks))


# ---- what a blur does


def test_a_blur_is_a_convolution_and_not_a_correlation() -> None:
    point = np.zeros((15, 25), np.float32)
    point[7, 12] = 1
    blur = blur_of.Blur(PSF, point.shape)
    seen = blur.seen(lazy(point)).compute()[0, 0]
    assert_same(seen[1:8, 3:13], PSF.astype(np.float32))
    scene = scene_of((30, 40))
    gap = blur_of.Blur(PSF, scene.shape).seen(lazy(scene, (7, 9))).compute()[0, 0] - picture_of(scene, PSF)
    assert np.abs(gap).max() < 1e-4


def test_putting_back_is_the_adjoint_and_the_psfs_derivative_too() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(1, 9, (3, 4)).astype(float)  # no psf, but exact
    scene, picture = rng.integers(0, 9, (1, 1, 12, 13)).astype("f4"), rng.integers(0, 9, (1, 1, 10, 10)).astype("f4")
    blur = blur_of.Blur(whole, (12, 13))
    x, y = da.from_array(scene, chunks=(1, 1, 5, 4)), da.from_array(picture, chunks=(1, 1, 3, 10))
    seen = np.vdot(blur.seen(x).compute(), picture)
    assert seen == np.vdot(scene, blur.put_back(y, x).compute()) == np.vdot(whole, blur.by_psf(y, x).compute())


def test_what_is_caught_of_each_point_is_ones_put_back() -> None:
    rng = np.random.default_rng(0)
    for shape, size in [((3, 4), (12, 13)), ((5,), (5,)), ((2, 3, 2), (6, 4, 2))]:
        whole = rng.integers(1, 9, shape).astype(float)
        like = da.zeros((2, 1, *size), chunks=(1, 1, *(3,) * len(size)), dtype="float32")
        ones = da.ones((2, 1, *(s - k + 1 for s, k in zip(size, shape, strict=True))), dtype="float32")
        blur = blur_of.Blur(whole, size)
        assert_same(blur.caught(like).compute(), blur.put_back(ones, like).compute())


def test_a_step_is_richardsons_and_lucys_however_it_is_cut() -> None:
    scene, psf = scene_of((24, 31)), PSF
    picture = picture_of(scene, psf)
    start = np.full((1, 1, 24, 31), 20, np.float32)
    blur = blur_of.Blur(psf, (24, 31))
    got = steps.next_scene(lazy(picture, (6, 5)), da.from_array(start, chunks=(1, 1, 7, 10)), blur, 20.0).compute()
    seen = cg.conv(start, blur.weight)
    back = cg.conv_input_grad(picture / seen, blur.weight, input_size=(24, 31))
    caught = blur.caught(lazy(scene)).compute()
    expected = np.where(caught >= steps.UNSEEN, start * back / np.maximum(caught, np.float32(steps.UNSEEN)), 0)
    assert_same(got, expected.astype(np.float32))


def test_the_true_scene_and_the_true_psf_stay_as_they_are() -> None:
    scene = scene_of((40, 50))
    blur, picture = blur_of.Blur(PSF, scene.shape), lazy(picture_of(scene, PSF))
    after = steps.next_scene(picture, lazy(scene), blur, 20.0).compute()[0, 0]
    known = blur.caught(lazy(scene)).compute()[0, 0] >= steps.UNSEEN
    assert np.abs(after - scene)[known].max() < 1e-3
    assert np.abs(steps.next_psf(picture, lazy(scene), blur, 20.0) - PSF).max() < 1e-6


def test_curvature_is_minus_the_gradient_of_total_variation() -> None:
    scene = scene_of((9, 8, 7)).astype(np.float64)

    def variation(image: Array) -> float:
        d = [np.diff(image, axis=a, append=np.take(image, [-1], a)) for a in range(3)]
        return float(np.sqrt(sum(np.square(one) for one in d) + 1e-20).sum())

    rng = np.random.default_rng(0)
    scene += rng.random(scene.shape)
    way = rng.standard_normal(scene.shape)
    slope = (variation(scene + 1e-5 * way) - variation(scene - 1e-5 * way)) / 2e-5
    got = steps.curvature(lazy(scene, (4, 3, 7)), 1e-9).compute()[0, 0]
    assert abs(np.vdot(got, way) + slope) < 1e-4 * abs(slope)


def test_total_variation_lessens_noise() -> None:
    scene = scene_of((60, 70))
    rng = np.random.default_rng(0)
    picture = rng.poisson(picture_of(scene, PSF)).astype(np.float32)
    blur, found = blur_of.Blur(PSF, scene.shape), {}
    for strength in (0.0, 0.02):
        estimate = lazy(np.full(scene.shape, picture.mean(), np.float32))
        for _ in range(30):
            estimate = lazy(steps.next_scene(lazy(picture), estimate, blur, 20.0, strength).compute()[0, 0])
        found[strength] = float(np.abs(estimate.compute()[0, 0] - scene)[8:-8, 8:-8].mean())
    assert found[0.02] < 0.8 * found[0.0]


# ---- point spread functions


def test_a_gaussian_has_the_widths_that_were_asked_for() -> None:
    psf = psfs.read_psf("gaussian:2,3", rank=2)
    rows, columns = np.indices(psf.shape)
    for positions, sigma in ((rows, 2), (columns, 3)):
        mean = (psf * positions).sum()
        assert abs(np.sqrt((psf * (positions - mean) ** 2).sum()) - sigma) < 0.05 * sigma
    assert abs(psf.sum() - 1) < 1e-12 and psf.shape == (13, 19)


@pytest.mark.parametrize("name", ["psf.npy", "psf.png", "psf.tif"])
def test_a_psf_comes_from_a_file(name: str, tmp_path: Path) -> None:
    pixels = np.array([[1, 2, 0], [3, 4, 6]], np.uint8)
    if name.endswith("npy"):
        np.save(tmp_path / name, pixels)
    elif name.endswith("png"):
        pillow.fromarray(pixels).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, pixels)
    assert_same(psfs.read_psf(str(tmp_path / name), 2), pixels / 16)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("gaussian:x", "has a width that is no number"),
        ("gaussian:1,2,3", "is no Gaussian of 2 axes"),
        ("gaussian:-1", "is no Gaussian of 2 axes"),
        ("nowhere.npy", "is neither a Gaussian nor a file"),
    ],
)
def test_a_psf_that_is_none_is_refused(text: str, rule: str) -> None:
    with pytest.raises(InputError, match=f"{text}: {rule}"):
        psfs.read_psf(text, rank=2)


def test_a_file_that_holds_no_psf_is_refused(tmp_path: Path) -> None:
    for array, rule in [(np.ones(3), "has 1 axes, the image 2"), (-np.ones((2, 2)), "holds numbers below zero")]:
        np.save(tmp_path / "psf.npy", array)
        with pytest.raises(InputError, match=rule):
            psfs.read_psf(str(tmp_path / "psf.npy"), rank=2)


# ---- files


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 6, 5), (6, 5, 3)])
@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".png"])
def test_an_image_comes_back_as_it_was_written(suffix: str, shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    colour = shape[-1] == 3 and suffix != ".zarr"
    if suffix == ".png" and (len(shape) != 2 + colour or dtype == "float32" or (colour and dtype != "uint8")):
        pytest.skip("no such PNG")
    if suffix == ".tif" and len(shape) == 1:
        pytest.skip("a TIFF has pages")
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    planes = np.moveaxis(pixels, -1, 0) if colour else pixels[np.newaxis]
    like = images.Image(da.from_array(planes[:, np.newaxis]), pixels.dtype, colour)
    path = tmp_path / f"image{suffix}"
    images.write_image(path, like.planes.astype("float32"), like)
    back = images.read_image(path)
    assert back.colour == colour and back.dtype == dtype
    assert_same(back.planes.compute(), planes[:, np.newaxis])
    with pytest.raises(InputError, match="exists; accepted: a free name"):
        images.write_image(path, like.planes, like)
    images.write_image(path, like.planes, like, overwrite=True)


def test_whole_numbers_are_rounded_and_stay_in_their_range(tmp_path: Path) -> None:
    planes = da.from_array(np.array([[[[-3, 0.6, 1.4, 254.6, 300]]]], np.float32))
    images.write_image(tmp_path / "a.png", planes, images.Image(planes, np.dtype("uint8"), False))
    assert images.read_pixels(tmp_path / "a.png").tolist() == [[0, 1, 1, 255, 255]]


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    pillow.new("RGBA", (2, 2)).save(tmp_path / "b.png")
    zarr.create_array(str(tmp_path / "c.zarr"), shape=(1, 2, 3, 4), dtype="f4")
    for name, rule in [
        ("a.png", "cannot be read as .png"),
        ("b.png", "has pixels of mode RGBA"),
        ("c.zarr", "holds float32 of shape"),
        ("d.tif", "does not exist"),
        ("e.jpg", "has the type '.jpg'"),
    ]:
        with pytest.raises(InputError, match=rule):
            images.read_image(tmp_path / name)


# ---- whole runs


def volume(folder: Path, psf: Array) -> tuple[Array, Any]:
    """A scene of the size of its picture, and the picture on disk in chunks that no run uses."""
    scene = scene_of((30, 40, 28))
    picture = picture_of(scene, psf)
    zarr.create_array(str(folder / "in.zarr"), data=picture, chunks=(9, 40, 11))
    inside = tuple(slice(k - 1 - k // 2, s - k // 2) for k, s in zip(psf.shape, scene.shape, strict=True))
    return scene[inside], images.read_image(folder / "in.zarr").planes


def test_a_volume_gets_sharper_and_the_slabs_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    psf = psfs.gaussian((0.8, 1.2, 1.0))
    scene, planes = volume(tmp_path, psf)
    results = []
    for name, least in [("one", 1 << 20), ("many", 3000)]:
        monkeypatch.setattr(runs, "LEAST_POSITIONS", least)
        results.append(runs.deblur(planes, psf, tmp_path / name, runs.Method(steps=30)).planes)
    assert results[0].numblocks != results[1].numblocks
    sharp, again = (found.compute() for found in results)
    assert_same(sharp, again)
    before, after = (np.abs(image - scene).mean() for image in (planes[0, 0].compute(), sharp[0, 0]))
    assert after < 0.75 * before


def test_a_psf_that_moves_no_light_gives_the_picture_back(tmp_path: Path) -> None:
    psf = np.zeros((4, 3))  # of even length: its middle is entry 2
    psf[2, 1] = 1
    picture = scene_of((20, 30))
    sharp = runs.deblur(lazy(picture), psf, tmp_path / "work", runs.Method(steps=1)).planes.compute()[0, 0]
    assert np.abs(sharp - picture).max() < 1e-4


def test_a_blind_run_gets_closer_to_the_psf(tmp_path: Path) -> None:
    psf, guess = psfs.gaussian((0.8, 1.2, 1.0)), psfs.gaussian((0.8, 1.2, 1.0)).copy()
    guess = psfs.normalized(guess**0.6)  # wider, as large
    _, planes = volume(tmp_path, psf)
    sharp = runs.deblur(planes, guess, tmp_path / "work", runs.Method(steps=20, blind=True))
    assert np.abs(sharp.psf - psf).sum() < 0.85 * np.abs(guess - psf).sum()
    assert abs(sharp.psf.sum() - 1) < 1e-12 and (sharp.psf >= 0).all()


SCRIPT = """
import sys, time
from pathlib import Path
from convgrad.deblur import images, psf, run
run.LEAST_POSITIONS = 3000
told = lambda step, done, slabs: time.sleep(float(sys.argv[3]))
method = run.Method(steps=4, blind=True, total_variation=0.01)
planes = images.read_image(Path(sys.argv[1])).planes
sharp = run.deblur(planes, psf.gaussian((0.8, 1.2, 1.0)), Path(sys.argv[2]), method, progress=told)
import numpy as np
np.savez(sys.argv[2] + ".npz", planes=sharp.planes.compute(), psf=sharp.psf)
"""


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    volume(tmp_path, psfs.gaussian((0.8, 1.2, 1.0)))
    script = [sys.executable, "-c", SCRIPT, str(tmp_path / "in.zarr")]
    subprocess.run([*script, str(tmp_path / "straight"), "0"], check=True)
    work = tmp_path / "killed"
    for step in (1, 3):
        running = subprocess.Popen([*script, str(work), "0.05"])
        while not list(work.glob(f"scene-{step}.zarr/c/0/0/*")):
            assert running.poll() is None
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
    subprocess.run([*script, str(work), "0"], check=True)
    with np.load(f"{work}.npz") as got, np.load(tmp_path / "straight.npz") as expected:
        for name in ("planes", "psf"):
            assert_same(got[name], expected[name])


def test_a_run_goes_further_when_it_is_told_to(tmp_path: Path) -> None:
    psf = psfs.gaussian((0.8, 1.2, 1.0))
    _, planes = volume(tmp_path, psf)
    runs.deblur(planes, psf, tmp_path / "a", runs.Method(steps=2))
    further = runs.deblur(planes, psf, tmp_path / "a", runs.Method(steps=4)).planes.compute()
    assert_same(further, runs.deblur(planes, psf, tmp_path / "b", runs.Method(steps=4)).planes.compute())
    with pytest.raises(InputError, match=r"are done in .*; accepted: at least 4 steps"):
        runs.deblur(planes, psf, tmp_path / "a", runs.Method(steps=3))
    with pytest.raises(InputError, match="holds the work of another run"):
        runs.deblur(planes, psf, tmp_path / "a", runs.Method(steps=4, blind=True))
    with pytest.raises(InputError, match="holds other files"):
        runs.deblur(planes, psf, tmp_path, runs.Method())
    with pytest.raises(InputError, match=r"\(45, 3, 3\): is larger than the image"):
        runs.deblur(planes, np.ones((45, 3, 3)), tmp_path / "c", runs.Method())


# ---- the command


def test_the_command_deblurs_colours_and_cleans_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = scene_of((40, 50))
    picture = np.clip(np.rint(picture_of(scene, PSF)), 0, 255).astype(np.uint8)
    pillow.fromarray(np.stack([picture, picture // 2, picture[::-1]], -1)).save(tmp_path / "in.png")
    np.save(tmp_path / "psf.npy", PSF)
    given = ["deblur", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--psf", str(tmp_path / "psf.npy")]
    assert main([*given, "--steps", "3", "--threads", "2"]) == 0
    found = capsys.readouterr()
    assert found.out.startswith(f"image  {tmp_path / 'out.png'}  (34x41, 3 steps,")
    assert found.err.splitlines() == [f"step {n}/3  3/3 slabs" for n in (1, 2, 3)]
    assert np.asarray(pillow.open(tmp_path / "out.png")).shape == (34, 41, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"in.png", "out.png", "psf.npy"}
    assert main(given) == 2
    assert "out.png: exists; accepted: a free name, or --overwrite" in capsys.readouterr().err


def test_the_command_writes_the_psf_that_it_estimated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(
        tmp_path / "in.tif", (100 * picture_of(scene_of((16, 40, 50)), np.ones((3, 3, 3)) / 27)).astype("u2")
    )
    given = ["deblur", str(tmp_path / "in.tif"), str(tmp_path / "out.zarr"), "--psf", "gaussian:0.6"]
    assert main([*given, "--steps", "2", "--blind", "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["command"] == "deblur" and document["result"]["shape"] == [1, 1, 14, 38, 48]
    psf = np.load(tmp_path / "out.zarr.psf.npy")
    assert document["result"]["psf"] == str(tmp_path / "out.zarr.psf.npy") and psf.shape == (5, 5, 5)
    assert images.read_image(tmp_path / "out.zarr").dtype == "uint16"


@pytest.mark.parametrize(
    "wrong", [["--memory", "2 cows"], ["--memory", "64MiB"], ["--steps", "0"], ["--tv", "much"], ["--tv", "-1"]]
)
def test_options_that_mean_nothing_are_usage_errors(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deblur", "in.png", "out.png", "--psf", "gaussian:1", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err

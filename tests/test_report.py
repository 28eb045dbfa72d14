"""The report: it shows what the model did, it needs nothing but itself, and wrong gradients cannot hide in it."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import convgrad.autograd.functions
from convgrad.api import compute
from convgrad.train import adam, loop, report
from convgrad.train.checkpoint import Checkpoint, Config, Epoch
from convgrad.train.data import Dataset, Preprocessing
from convgrad.train.data import load as load_data
from convgrad.train.network import Network, initial_parameters, logits, loss
from convgrad.train.report import charts, check_gradients, findings, gradient_check, images, words

Array = NDArray[Any]

VOID = {"meta", "link", "img", "br", "hr", "input"}
SECTIONS = ["learning", "confusion", "mistakes", "pixels", "filters", "gradients", "repeat"]
HOSTILE = (
    "<script>alert('x')</script>",
    '" onload="alert(1)',
    "a & b",
    "</style>",
    "<b>",
    "\u00e9",
    "g",
    "h",
    "i",
    "j",
)


class Page(HTMLParser):
    """A parsed page: every tag with its attributes, text by section, and proof that the tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.section = "header"
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), f"{tag} repeats an attribute"
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section" and "id" in attributes:
            self.section = attributes["id"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> is no HTML"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title") and data.strip():
            self.texts.setdefault(self.section, []).append(data.strip().replace(words.THIN, " "))

    def text(self, section: str) -> str:
        return " ".join(self.texts.get(section, []))


@pytest.fixture(scope="module")
def run() -> tuple[Checkpoint, Dataset]:
    """A small network after two epochs on the digits: good, and with mistakes to show."""
    dataset = load_data("digits", 0)
    config = Config(0, 2, 64, 4e-3, False, dataset.name, "")
    return loop.train(dataset, config, Network(1, 8, 8, 10, (6, 8))), dataset


@pytest.fixture(scope="module")
def text(run: tuple[Checkpoint, Dataset], tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("report"), *run)


def written(folder: Path, checkpoint: Checkpoint, dataset: Dataset, seconds: float = 4.2) -> str:
    report.write(folder / "report.html", checkpoint, dataset, seconds)
    return (folder / "report.html").read_text("utf-8")


def made(
    shape: tuple[int, int, int],
    classes: int,
    held_out: int = 30,
    names: tuple[str, ...] | None = None,
    epochs: int = 2,
    paper: float = 0.5,
) -> tuple[Checkpoint, Dataset]:
    """An untrained network and random images of this shape (C, H, W), with a made-up history."""
    rng = np.random.default_rng(0)
    number = 20 + held_out
    x = np.where(rng.random((number, *shape)) < 0.3, rng.random((number, *shape)), paper).astype(np.float32)
    y = rng.integers(0, classes, number)
    names = names or tuple(f"class {label}" for label in range(classes))
    preprocessing = Preprocessing(*shape, 1.0, paper)
    dataset = Dataset("made up", names, x[:20], y[:20], x[20:], y[20:], preprocessing)
    network = Network(*shape, classes, (3, 4))
    parameters = initial_parameters(network, rng)
    history = tuple(Epoch(1 / epoch, 0.5, 1.5 / epoch, 0.4) for epoch in range(1, epochs + 1))
    config = Config(0, epochs, 8, 1e-3, False, "made up", "")
    return Checkpoint(network, parameters, adam.at_rest(parameters), history, names, preprocessing, config), dataset


def answers(checkpoint: Checkpoint, dataset: Dataset) -> Array:
    return logits(checkpoint.network, checkpoint.parameters, dataset.x_test).argmax(axis=1)


def pixels(uri: str) -> Array:
    """The picture in a data URI, as another library reads it."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


# the page as a document


def test_the_page_is_well_formed_and_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    assert text.startswith("<!doctype html>")
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "base"}
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "data:"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    assert len(text.encode()) < 600_000


def test_every_section_is_there_and_every_link_reaches_one(text: str) -> None:
    page = Page(text)
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert [identity for identity in identities if not identity.endswith("-title")] == SECTIONS
    assert len(identities) == len(set(identities))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [f"#{name}" for name in SECTIONS]
    assert all(
        attributes["aria-labelledby"] in identities for _, attributes in page.tags if "aria-labelledby" in attributes
    )


def test_every_picture_has_words_and_every_heading_of_a_table_its_direction(text: str) -> None:
    for tag, attributes in Page(text).tags:
        if tag == "img":
            assert "alt" in attributes
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes["scope"] in {"row", "col", "colgroup"}


def test_headings_go_down_one_step_at_a_time(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(text).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_the_same_run_writes_the_same_bytes(run: tuple[Checkpoint, Dataset], text: str, tmp_path: Path) -> None:
    assert written(tmp_path, *run) == text
    assert written(tmp_path, *run, seconds=125).replace(words.duration(125), words.duration(4.2)) == text


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    checkpoint, dataset = made((1, 8, 8), 10, names=HOSTILE)
    dataset = replace(dataset, name="<img src=x onerror=alert(1)>")
    checkpoint = replace(checkpoint, config=replace(checkpoint.config, data=dataset.name))
    text = written(tmp_path, checkpoint, dataset)
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "object"}
    assert not any(
        name.startswith("on") or attributes.get("src") == "x" for _, attributes in page.tags for name in attributes
    )
    for name in HOSTILE:
        assert name in page.texts["confusion"]
    assert dataset.name in page.text("repeat")


# what it says about the model


def test_the_headline_counts_what_the_model_names_right(run: tuple[Checkpoint, Dataset], text: str) -> None:
    checkpoint, dataset = run
    right = int((answers(checkpoint, dataset) == dataset.y_test).sum())
    told = Page(text).text("header")
    assert f"{100 * right / 359:.1f} % {right} of 359 images" in told
    assert "1 438 images in 2 epochs" in told
    assert "Training took 4.2 s" in told


def test_the_confusion_matrix_counts_every_held_out_image(run: tuple[Checkpoint, Dataset], text: str) -> None:
    checkpoint, dataset = run
    expected = Counter(zip(dataset.y_test.tolist(), answers(checkpoint, dataset).tolist(), strict=True))
    table = re.search(r'<table class="counts">.*?</table>', text)
    assert table is not None
    rows = re.findall(r"<tr>(.*?)</tr>", table.group().partition("<tbody>")[2])
    found = Counter()
    for true, row in enumerate(rows):
        cells = re.findall(r"<td([^>]*)>(.*?)</td>", row)[:-1]
        assert len(cells) == 10
        for predicted, (attributes, count) in enumerate(cells):
            if count:
                found[true, predicted] = int(count)
                assert ('class="right' in attributes) == (true == predicted)
    assert found == expected
    assert sum(found.values()) == 359


def test_the_images_shown_as_wrong_are_the_models_mistakes(run: tuple[Checkpoint, Dataset], text: str) -> None:
    checkpoint, dataset = run
    scores = logits(checkpoint.network, checkpoint.parameters, dataset.x_test).astype(np.float64)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wrong = [index for index in range(359) if chances[index].argmax() != dataset.y_test[index]]
    wrong.sort(key=lambda index: -chances[index].max())
    section = text.partition('<section id="mistakes"')[2].partition("</section>")[0]
    cards = re.findall(r'<figure class="judged">(.*?)</figure>', section)
    assert len(wrong) > len(cards) == 24
    assert f"{len(wrong)} of 359 held-out images; here the 24 that it was surest of." in Page(text).text("mistakes")
    for index, card in zip(wrong, cards, strict=False):
        true, predicted = int(dataset.y_test[index]), int(chances[index].argmax())
        assert f"<b>{true}</b> <span>read as</span> <b>{predicted}</b>" in card
        assert f"<small>{words.roughly(float(chances[index, predicted]))} sure; " in card
        shown = pixels(re.findall(r'src="([^"]*)"', card)[0])
        assert np.array_equal(shown[..., 1], np.rint(dataset.x_test[index, 0] * 255))


def test_no_mistake_is_said_so(run: tuple[Checkpoint, Dataset], tmp_path: Path) -> None:
    checkpoint, dataset = run
    right = answers(checkpoint, dataset) == dataset.y_test
    dataset = replace(dataset, x_test=dataset.x_test[right], y_test=dataset.y_test[right])
    page = Page(written(tmp_path, checkpoint, dataset))
    assert f"Nothing: it named all {right.sum()} held-out images right." in page.text("mistakes")
    assert f"all {right.sum()} are on the diagonal" in page.text("confusion")
    assert "it got none of these wrong" in page.text("header")


def test_each_filter_stands_beside_the_patch_that_excites_it_most(run: tuple[Checkpoint, Dataset]) -> None:
    checkpoint, dataset = run
    w, bias = checkpoint.parameters["conv1.weight"], checkpoint.parameters["conv1.bias"]
    padded = np.pad(dataset.x_test[:, 0], ((0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).astype(np.float64)
    for number, found in enumerate(findings.watch_filters(checkpoint, dataset)):
        excited = np.maximum(0, (patches * w[number, 0]).sum(axis=(3, 4)) + bias[number])
        assert abs(found.response.max() - excited.max()) <= 1e-5
        top, left = findings.window(found.position)
        framed = padded[found.image, top + 1 : top + 4, left + 1 : left + 4]
        assert abs((framed * w[number, 0]).sum() + bias[number] - excited.max()) <= 1e-5
        means = [excited[dataset.y_test == label].mean() for label in range(10)]
        assert np.abs(found.by_class - means).max() <= 1e-5
        assert np.abs(found.preference - (means / np.mean(means) - 1)).max() <= 1e-4


def test_the_frame_on_a_card_lies_around_that_patch(run: tuple[Checkpoint, Dataset], text: str) -> None:
    section = text.partition('<section id="filters"')[2].partition("</section>")[0]
    frames = re.findall(r'<rect x="([^"]*)" y="([^"]*)" width="3" height="3"/>', section)
    answering = [found for found in findings.watch_filters(*run) if found.answers]
    assert [(int(y), int(x)) for x, y in frames] == [findings.window(found.position) for found in answering]


def test_a_large_held_out_set_is_judged_in_parts(
    run: tuple[Checkpoint, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, filters = findings.judge(*run), findings.watch_filters(*run)
    monkeypatch.setattr(findings, "AT_ONCE", 64 * 50)
    parts = findings.judge(*run)
    assert np.array_equal(parts.predicted, whole.predicted)
    assert np.abs(parts.probabilities - whole.probabilities).max() <= 1e-6
    for part, found in zip(findings.watch_filters(*run), filters, strict=True):
        assert (part.image, part.position) == (found.image, found.position)


def test_every_class_shows_the_image_that_was_right_by_the_least(run: tuple[Checkpoint, Dataset], text: str) -> None:
    judgement = findings.judge(*run)
    section = text.partition('<section id="pixels"')[2].partition("</section>")[0]
    shown = [(int(index), int(label)) for index, label in re.findall(r'alt="held-out image (\d+), a (\d)"', section)]
    assert [label for _, label in shown] == list(range(10))
    for index, label in shown:
        right = (judgement.truth == label) & (judgement.predicted == label)
        assert right[index]
        assert judgement.confidence[index] == judgement.confidence[right].min()


def test_the_overview_frames_the_mistakes_and_nothing_else(run: tuple[Checkpoint, Dataset], text: str) -> None:
    judgement = findings.judge(*run)
    order = judgement.by_confidence
    assert (np.diff(judgement.confidence[order]) <= 0).all()
    header = text.partition("</header>")[0]
    for sheet in re.findall(r'aspect-ratio:(\d+)/\d+">(.*?)</span>', header):
        columns = (int(sheet[0]) + images.GAP) // (8 + images.GAP)
        frames = re.findall(r'<rect x="([^"]*)" y="([^"]*)"', sheet[1])
        framed = [(int(y) + 1) // 10 * columns + (int(x) + 1) // 10 for x, y in frames]
        assert framed == np.flatnonzero(judgement.predicted[order] != judgement.truth[order]).tolist()


def test_the_table_of_epochs_is_the_history(run: tuple[Checkpoint, Dataset], text: str) -> None:
    section = text.partition('<section id="learning"')[2].partition("</section>")[0]
    rows = re.findall(
        r'<tr><th scope="row">(\d+)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>', section
    )
    for number, (epoch, row) in enumerate(zip(run[0].history, rows, strict=True), start=1):
        losses = [words.loss(epoch.train_loss), words.loss(epoch.test_loss)]
        shares = [words.percent(epoch.train_accuracy), words.percent(epoch.test_accuracy)]
        assert list(row) == [str(number), *losses, *shares]


def test_the_pixels_that_mattered_are_the_derivative_of_the_loss(run: tuple[Checkpoint, Dataset]) -> None:
    checkpoint, dataset = run
    x, y = dataset.x_test[:3], dataset.y_test[:3]
    found = findings.pixel_gradients(checkpoint, x, y)
    wide = {name: value.astype(np.float64) for name, value in checkpoint.parameters.items()}
    for image, row, column in [(0, 3, 4), (1, 5, 2), (2, 0, 6)]:
        values = []
        for step in (1e-5, -1e-5):
            moved = x[image : image + 1].astype(np.float64)
            moved[0, 0, row, column] += step
            values.append(float(loss(checkpoint.network, wide, moved, y[image : image + 1])))
        quotient = (values[0] - values[1]) / 2e-5
        assert abs(found[image, row, column] - quotient) <= 1e-4 * np.abs(found[image]).max()


@pytest.mark.parametrize(("paper", "ink"), [(0.0, 1), (1.0, -1), (0.5, 1)])
def test_more_ink_on_orange_speaks_for_the_true_class_and_on_blue_against_it(
    paper: float, ink: int, tmp_path: Path
) -> None:
    checkpoint, dataset = made((1, 8, 8), 3, paper=paper)
    text = written(tmp_path, checkpoint, dataset)
    told = Page(text).text("mistakes")
    assert ("a brighter pixel" if paper == 0.5 else "more ink") + " on orange would speak for the true class" in told
    section = text.partition('<section id="mistakes"')[2].partition("</section>")[0]
    number, _, uri = re.findall(r'held-out image (\d+).*?<img class="(signed)" src="([^"]*)"', section)[0]
    x, y = dataset.x_test[int(number)][None], dataset.y_test[int(number)][None]
    shown = pixels(uri).astype(int)
    before = float(loss(checkpoint.network, checkpoint.parameters, x, y))
    for colour, sign in ((images.ORANGE, 1), (images.BLUE, -1)):
        strength = np.where((shown[..., :3] == colour).all(axis=2), shown[..., 3], 0)
        moved = x.copy()
        moved[0, 0].flat[strength.argmax()] += ink * 0.01
        assert sign * (before - float(loss(checkpoint.network, checkpoint.parameters, moved, y))) > 0


def test_the_page_shows_the_plan_of_every_convolution_and_role(text: str) -> None:
    told = Page(text).text("repeat")
    for role in ("forward", "input_grad", "weight_grad"):
        assert f"{role}  n64 oc6 i8x8 k3x3 p1".replace("n64 oc6", "n64 ic1 oc6") in told
        assert f"{role}  n64 ic6 oc8 i8x8 k3x3 p1" in told


# the gradient check


def test_the_gradient_check_passes_on_a_true_model(run: tuple[Checkpoint, Dataset], text: str) -> None:
    checks = check_gradients(*run)
    by_definition = [check.subject for check in checks if check.against == "definition"]
    assert by_definition == ["conv1 forward", "conv1 input_grad", "conv1 weight_grad"]
    by_differences = [check.subject for check in checks if check.against == "finite differences"]
    assert by_differences == [*run[0].parameters, "images"]
    assert all(check.passed for check in checks), "\n".join(map(str, checks))
    # far below the limits, so that a miss is a mistake and not bad luck
    assert all(check.error <= check.limit / 10 for check in checks if check.against == "finite differences")
    assert all(check.entries > 0 for check in checks)
    assert "All 10 comparisons passed." in Page(text).text("gradients")
    assert "alarm" not in {attributes.get("class") for _, attributes in Page(text).tags}


def flipped(result: Array) -> Array:
    return result[..., ::-1, ::-1]


def swapped(result: Array) -> Array:
    return np.swapaxes(result, -1, -2)


def shifted(result: Array) -> Array:
    return np.roll(result, 1, axis=-1)


def clipped(result: Array) -> Array:
    result = result.copy()
    result[..., -1] = 0
    return result


def a_little_large(result: Array) -> Array:
    return result * result.dtype.type(1.001)


@pytest.mark.parametrize("mistake", [flipped, swapped, shifted, clipped, a_little_large])
@pytest.mark.parametrize("role", ["forward", "input_grad", "weight_grad"])
def test_the_gradient_check_fails_where_a_role_is_wrong(
    run: tuple[Checkpoint, Dataset], monkeypatch: pytest.MonkeyPatch, role: str, mistake: Callable[[Array], Array]
) -> None:
    def wrong(called: str, *arguments: Any) -> Array:
        result = compute(called, *arguments)
        return mistake(result) if called == role else result

    monkeypatch.setattr(convgrad.autograd.functions, "compute", wrong)
    monkeypatch.setattr(gradient_check, "compute", wrong)
    failed = {(check.subject, check.against) for check in check_gradients(*run) if not check.passed}
    assert (f"conv1 {role}", "definition") in failed
    by_differences = {
        "forward": {"conv1.weight", "conv2.weight"},
        "input_grad": {"conv1.weight", "conv1.bias", "images"},
        "weight_grad": {"conv1.weight", "conv2.weight"},
    }
    assert {(subject, "finite differences") for subject in by_differences[role]} <= failed
    if role != "forward":  # and nothing is blamed that the mistake does not touch
        assert {subject for subject, _ in failed} == by_differences[role] | {f"conv1 {role}"}


def test_a_failed_check_is_said_loudly(
    run: tuple[Checkpoint, Dataset], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def wrong(role: str, *arguments: Any) -> Array:
        result = compute(role, *arguments)
        return flipped(result) if role == "weight_grad" else result

    monkeypatch.setattr(convgrad.autograd.functions, "compute", wrong)
    page = Page(written(tmp_path, *run))
    assert "The gradient check failed for conv1.weight (against finite differences)" in page.text("header")
    assert "2 of 10 comparisons failed. Do not trust this model." in page.text("gradients")
    assert page.texts["gradients"].count("WRONG") == 2


def test_a_network_on_the_kinks_of_relu_raises_no_false_alarm() -> None:
    # an untrained bias is exactly zero, so that empty patches stand on the kink; and here one filter never answers
    # pooled paper is full of ties
    checkpoint, dataset = made((1, 20, 18), 3, paper=0.0)
    dataset.x_test[:, :, 4:] = 0
    weight = checkpoint.parameters["conv1.weight"].copy()
    weight[0] = -np.abs(weight[0])
    checkpoint = replace(checkpoint, parameters={**checkpoint.parameters, "conv1.weight": weight})
    checks = check_gradients(checkpoint, dataset)
    assert all(check.passed for check in checks), "\n".join(map(str, checks))
    assert not findings.watch_filters(checkpoint, dataset)[0].answers


def test_numbers_that_are_none_fail_the_check() -> None:
    check = gradient_check.Check("w", "definition", 1, float("nan"), float("nan"), 5.0, "eps")
    assert not check.passed
    assert str(check).startswith("FAILED w")


# other data


CASES: dict[str, Callable[[], tuple[Checkpoint, Dataset]]] = {
    "colour, not square": lambda: made((3, 20, 12), 3),
    "larger than a card": lambda: made((1, 70, 90), 2, held_out=4),
    "two classes, one epoch": lambda: made((1, 5, 9), 2, epochs=1),
    "forty classes": lambda: made((1, 8, 8), 40, held_out=90),
    "dark ink": lambda: made((1, 8, 8), 3, paper=1.0),
    "one held-out image": lambda: made((1, 8, 8), 3, held_out=1),
    "no held-out image": lambda: made((1, 8, 8), 3, held_out=0),
    "a strip": lambda: made((1, 1, 150), 2),
    "a pixel": lambda: made((1, 1, 1), 2),
    "no epoch": lambda: made((1, 8, 8), 3, epochs=0),
    "many epochs": lambda: made((1, 6, 6), 3, epochs=700),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", CASES)
def test_any_data_gives_a_whole_page(case: str, tmp_path: Path) -> None:
    checkpoint, dataset = CASES[case]()
    text = written(tmp_path, checkpoint, dataset)
    page = Page(text)
    assert {"learning", "confusion", "mistakes", "filters", "gradients", "repeat"} <= set(page.texts)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text)
    assert not any(tag == "p" and attributes.get("class") == "alarm" for tag, attributes in page.tags)


def test_no_image_at_all_gives_a_whole_page(tmp_path: Path) -> None:
    checkpoint, dataset = made((1, 8, 8), 3, held_out=0)
    dataset = replace(dataset, x_train=dataset.x_train[:0], y_train=dataset.y_train[:0])
    page = Page(written(tmp_path, checkpoint, dataset))
    assert check_gradients(checkpoint, dataset) == ()
    assert "There was no image to check them with." in page.text("gradients")


def test_forty_classes_are_drawn_with_every_pair_that_occurs(tmp_path: Path) -> None:
    checkpoint, dataset = CASES["forty classes"]()
    text = written(tmp_path, checkpoint, dataset)
    pairs = Counter(zip(dataset.y_test.tolist(), answers(checkpoint, dataset).tolist(), strict=True))
    square = r'<rect class="(right|wrong)" x="(\d+)" y="(\d+)"[^>]*fill-opacity="([^"]*)"><title>(\d+) of (\d+)'
    found = {}
    for style, x, y, opacity, count, total in re.findall(square, text):
        found[int(y), int(x)] = int(count)
        assert int(total) == (dataset.y_test == int(y)).sum()
        assert opacity == f"{charts.visible(int(count) / int(total), style == 'right'):.2f}"
    assert found == pairs


def test_a_diverged_run_is_said_loudly_and_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    checkpoint, dataset = made((1, 8, 8), 3, epochs=4)
    nan = float("nan")
    history = (*checkpoint.history[:2], Epoch(nan, 0.3, nan, 0.3), Epoch(nan, 0.3, float("inf"), 0.3))
    parameters = {name: np.full_like(value, nan) for name, value in checkpoint.parameters.items()}
    page = Page(written(tmp_path, replace(checkpoint, history=history, parameters=parameters), dataset))
    assert "Training diverged: since epoch 3 the loss is no longer a number." in page.text("header")
    assert "The gradient check failed in 10 of 10 comparisons." in page.text("header")
    assert "answered with no number" in page.text("mistakes")
    lines = [attributes["points"] for tag, attributes in page.tags if tag == "polyline"]
    assert [len(points.split()) for points in lines] == [2, 2, 4, 4]


# pictures and drawings


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_library_reads_our_png(channels: int) -> None:
    written = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    read = np.array(Image.open(io.BytesIO(images.png(written))))
    assert np.array_equal(read.reshape(5, 7, channels), written)


def test_a_signed_picture_is_orange_above_zero_blue_below_and_empty_at_zero() -> None:
    shown = pixels(images.signed(np.array([[2.0, 0.0, -1.0, np.nan]])))
    assert [tuple(pixel) for pixel in shown[0, [0, 2]].tolist()] == [(*images.ORANGE, 255), (*images.BLUE, 128)]
    assert shown[0, [1, 3], 3].tolist() == [0, 0]


def test_ink_is_opaque_and_paper_transparent_whichever_is_bright() -> None:
    image = np.array([[[0.0, 0.2, 1.0, np.nan]]])
    assert pixels(images.picture(image, "bright"))[0].tolist() == [[0, 0], [0, 51], [0, 255], [0, 0]]
    assert pixels(images.picture(image, "dark"))[0].tolist() == [[0, 255], [0, 204], [0, 0], [0, 0]]
    assert pixels(images.picture(image[..., :3], "none"))[0].tolist() == [0, 51, 255]


def test_a_reduced_image_holds_the_means_of_whole_blocks() -> None:
    image = np.arange(2 * 5 * 6, dtype=float).reshape(2, 5, 6)
    reduced = images.reduced(image, 3)
    assert reduced.shape == (2, 2, 3)
    assert reduced[1, 1, 2] == image[1, 2:4, 4:6].mean()
    assert np.array_equal(images.reduced(image, 6), image)


def test_a_mosaic_lays_images_in_rows_with_gaps() -> None:
    sheet = images.mosaic(np.arange(1.0, 6.0).reshape(5, 1, 1, 1), columns=3)
    empty = np.nan
    rows = [[1, empty, empty, 2, empty, empty, 3], [empty] * 7, [empty] * 7, [4, empty, empty, 5, empty, empty, empty]]
    assert np.array_equal(sheet[0], rows, equal_nan=True)


def points(drawing: str) -> Iterator[list[tuple[float, ...]]]:
    for line in re.findall(r'points="([^"]*)"', drawing):
        yield [tuple(map(float, point.split(","))) for point in line.split()]


def test_a_curve_passes_through_its_values() -> None:
    values = (1.0, float("nan"), 0.5, 0.0, 0.25)
    scale = charts.loss_scale([1.0, 0.06])
    drawing = charts.curves([charts.Line("a", "train", values)], scale, words.loss, "told", words.power)
    assert scale.ticks == (0, 0.2, 0.4, 0.6, 0.8, 1)
    span, rise = charts.RIGHT - charts.LEFT, charts.BOTTOM - charts.TOP
    expected = [
        (charts.LEFT + span * at, charts.BOTTOM - rise * value) for at, value in [(0.5, 0.5), (0.75, 0), (1, 0.25)]
    ]
    (found,) = points(drawing)
    assert found == [(round(x, 1), round(y, 1)) for x, y in expected]
    assert f'cx="{charts.LEFT}.0" cy="{charts.TOP}.0"' in drawing  # what stands alone before the gap is a dot


def test_a_wide_range_of_losses_is_drawn_by_its_logarithm() -> None:
    scale = charts.loss_scale([10.0, 0.1, 0.001])
    assert scale.logarithmic
    heights = [scale.place(value) for value in (10.0, 0.1, 0.001)]
    assert abs(heights[0] + heights[2] - 2 * heights[1]) <= 1e-9
    assert not scale.shows(0.0)
    assert not scale.shows(float("inf"))


@pytest.mark.parametrize("last", [(0.5, 0.5), (1.0, 0.99), (0.0, 0.01)])
def test_labels_at_the_ends_of_lines_do_not_touch(last: tuple[float, float]) -> None:
    lines = [charts.Line(name, "train", (value,)) for name, value in zip("ab", last, strict=True)]
    drawing = charts.curves(lines, charts.loss_scale([1.0]), words.loss, "told", words.power)
    tops = sorted(float(top) for top in re.findall(r'<text class="end [^>]* y="([^"]*)"', drawing))
    assert tops[1] - tops[0] >= 2 * charts.LABEL_HEIGHT
    assert tops[0] >= charts.LABEL_HEIGHT
    assert tops[1] + charts.LABEL_HEIGHT <= charts.HEIGHT


def test_the_pointer_reads_every_epoch() -> None:
    line = charts.Line("held out", "test", (0.5, 0.25, 0.125))
    drawing = charts.curves([line], charts.loss_scale(line.values), words.loss, "told", words.power)
    told = re.findall(r"<tspan>(epoch \d)</tspan><tspan[^>]*>(held out [\d.]*)</tspan>", drawing)
    assert told == [("epoch 1", "held out 0.500"), ("epoch 2", "held out 0.250"), ("epoch 3", "held out 0.125")]


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.0, "0 %"),
        (1e-5, "< 0.1 %"),
        (0.25, "25.0 %"),
        (0.9999, "> 99.9 %"),
        (1.0, "100 %"),
        (float("nan"), "not a number"),
    ],
)
def test_a_share_is_not_rounded_to_all_or_nothing(share: float, told: str) -> None:
    assert words.percent(share).replace(words.THIN, " ") == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(4.16, "4.2 s"), (130, "2 min 10 s"), (3900, "1 h 05 min"), (59.97, "1 min 0 s")]
)
def test_a_time_is_told_in_the_units_of_a_person(seconds: float, told: str) -> None:
    assert words.duration(seconds).replace(words.THIN, " ") == told

"""The sections of the page, one function each: numbers and arrays in, HTML out.

Every text that comes from outside, such as the name of a class, passes through `escape`. `page` puts the sections in
order; `findings` and `gradient_check` computed what they show.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Checkpoint, Epoch
from ..data import Dataset
from . import charts, images, words
from .findings import Filter, Judgement, pixel_gradients, window
from .gradient_check import Check

Array = NDArray[Any]

MOST_MISTAKES = 24
MOST_EXAMPLES = 12
MOST_FILTERS = 32
MOST_PAIRS = 4
MOST_TILES = 400
LARGEST = 64  # pixels of a picture on a card
SMALLEST = 14  # pixels of a tile in the overview
TABLE_CLASSES = 20  # beyond it a number no longer fits into a cell


def overview(dataset: Dataset, judgement: Judgement, ink: str) -> str:
    """Every held-out image in one picture, sorted by how sure the network was; those it got wrong are framed."""
    order = judgement.by_confidence[-MOST_TILES:]
    if not dataset.x_test.size:
        return ""
    total = words.many(len(judgement.truth), "held-out image")
    which = (
        f"All {total}" if len(order) == len(judgement.truth) else f"Of {total} the {len(order)} it was least sure of"
    )
    wrong = judgement.predicted[order] != judgement.truth[order]
    marked = "orange frames mark those that it got wrong" if wrong.any() else "it got none of these wrong"
    tiles = images.reduced(dataset.x_test[order], SMALLEST)
    # stylesheets choose: a broad sheet for a screen, a tall one for a telephone
    sheets = [_sheet(tiles, wrong, ink, proportion, f"{which}; {marked}") for proportion in (4.5, 0.9)]
    return (
        f'<figure class="overview"><div class="broad">{sheets[0]}</div><div class="tall">{sheets[1]}</div>'
        f"<figcaption>{which}, from the surest to the least sure; {marked}.</figcaption></figure>"
    )


def _sheet(tiles: Array, wrong: Array, ink: str, proportion: float, alt: str) -> str:
    """The tiles (N, C, H, W) in rows, about `proportion` times as wide as high, with frames around the wrong ones."""
    number, _, height, width = tiles.shape
    columns = min(number, max(1, round((number * proportion * height / width) ** 0.5)))
    frames = []
    for place in np.flatnonzero(wrong).tolist():
        left, top = place % columns * (width + images.GAP), place // columns * (height + images.GAP)
        frames.append(_frame(left - images.GAP / 2, top - images.GAP / 2, width + images.GAP, height + images.GAP))
    return _picture(images.mosaic(tiles, columns), ink, alt, frames)


def learning(history: Sequence[Epoch]) -> str:
    """Loss and accuracy over the epochs, as curves and as a table."""
    if not history:
        return _section("learning", "How it learned", "<p>No epoch was finished.</p>")
    losses = [
        charts.Line("training", "train", tuple(epoch.train_loss for epoch in history)),
        charts.Line("held out", "test", tuple(epoch.test_loss for epoch in history)),
    ]
    shares = [
        charts.Line("training", "train", tuple(epoch.train_accuracy for epoch in history)),
        charts.Line("held out", "test", tuple(epoch.test_accuracy for epoch in history)),
    ]
    loss_scale = charts.loss_scale([*losses[0].values, *losses[1].values])
    share_scale = charts.share_scale([*shares[0].values, *shares[1].values])
    last = history[-1]
    loss_told = f"held-out loss ends at {words.loss(last.test_loss)}, training loss at {words.loss(last.train_loss)}"
    share_told = (
        f"held-out accuracy ends at {words.percent(last.test_accuracy)}, "
        f"training accuracy at {words.percent(last.train_accuracy)}"
    )
    axis = "cross-entropy per image" + (", logarithmic" if loss_scale.logarithmic else "")
    epochs = words.many(len(history), "epoch")
    rows = "".join(
        f'<tr><th scope="row">{number}</th><td>{words.loss(epoch.train_loss)}</td>'
        f"<td>{words.loss(epoch.test_loss)}</td><td>{words.percent(epoch.train_accuracy)}</td>"
        f"<td>{words.percent(epoch.test_accuracy)}</td></tr>"
        for number, epoch in enumerate(history, start=1)
    )
    return _section(
        "learning",
        "How it learned",
        f'<div class="pair"><figure><h3>Loss</h3><p class="unit">{axis}</p>'
        f"{charts.curves(losses, loss_scale, words.loss, f'Loss over {epochs}: {loss_told}.', words.power)}</figure>"
        f'<figure><h3>Accuracy</h3><p class="unit">share of images named right</p>'
        f"{charts.curves(shares, share_scale, words.percent, f'Accuracy over {epochs}: {share_told}.', _tick)}"
        "</figure></div>"
        f"<details><summary>The numbers of every epoch</summary><table><thead><tr>"
        '<th scope="col">Epoch</th><th scope="col">Training loss</th><th scope="col">Held-out loss</th>'
        '<th scope="col">Training accuracy</th><th scope="col">Held-out accuracy</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details>",
    )


def confusion(judgement: Judgement, names: Sequence[str]) -> str:
    """What was taken for what: a table of counts, or a drawing where there are many classes."""
    if not len(judgement.truth):
        return _section("confusion", "What it took for what", "<p>No image was held out.</p>")
    counts = judgement.counts
    # a name takes more room than a number; the stylesheet sizes cells and letters by how many must fit
    long = max(map(len, names)) > 3
    table = (
        _confusion_table(counts, names, long)
        if len(names) <= TABLE_CLASSES
        else charts.matrix(counts, names, f"Confusion matrix of {len(names)} classes")
    )
    return _section(
        "confusion",
        "What it took for what",
        f"<p>{_confused_pairs(counts, names)}</p>"
        f'<figure class="confusion" style="--columns:{len(names) + (6 if long else 2)}">'
        f'<p class="across">taken for</p>{table}'
        "<figcaption>One row per true class, one column per answer. Blue is right, orange is wrong; the shade is the "
        "share of the row, and a single mistake is made dark enough to be seen.</figcaption></figure>",
    )


def _confusion_table(counts: Array, names: Sequence[str], long: bool) -> str:
    totals = counts.sum(axis=1)
    labels = [f'<span title="{escape(name)}">{escape(name)}</span>' for name in names]
    heads = "".join(f'<th scope="col">{label}</th>' for label in labels)
    rows = []
    for true, label in enumerate(labels):
        cells = []
        for predicted in range(len(names)):
            count = int(counts[true, predicted])
            if not count:
                cells.append("<td></td>")
                continue
            right = true == predicted
            shade = charts.visible(count / int(totals[true]), right)
            style = f"{'right' if right else 'wrong'}{' deep' if shade > 0.55 else ''}"
            cells.append(f'<td class="{style}" style="--shade:{shade:.2f}">{words.count(count)}</td>')
        share = words.roughly(int(counts[true, true]) / int(totals[true])) if totals[true] else "none"
        rows.append(f'<tr><th scope="row">{label}</th>{"".join(cells)}<td class="share">{share}</td></tr>')
    return (
        f'<table class="counts{" long" if long else ""}"><thead><tr><td class="corner">true</td>{heads}'
        f'<th scope="col" class="share">right</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _confused_pairs(counts: Array, names: Sequence[str]) -> str:
    """A sentence about the commonest mistakes."""
    mistakes = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    if not mistakes.any():
        return f"It took nothing for anything else: all {words.count(int(counts.sum()))} are on the diagonal."
    order = np.argsort(-mistakes, axis=None, kind="stable")[: min(MOST_PAIRS, int((mistakes > 0).sum()))]
    pairs = [(int(true), int(taken)) for true, taken in zip(*np.unravel_index(order, mistakes.shape), strict=True)]
    often = [{1: "once", 2: "twice"}.get(times, f"{words.count(times)} times") for times in mistakes.flat[order]]
    told = [f"<b>{escape(names[true])}</b> for <b>{escape(names[taken])}</b>" for true, taken in pairs]
    if len(set(often)) == 1:
        sentence = f"It took {words.listed(told)}, {often[0]}{' each' if len(told) > 1 else ''}"
    else:
        sentence = f"It took {words.listed([f'{pair} {times}' for pair, times in zip(told, often, strict=True)])}"
    others = int((mistakes > 0).sum()) - len(pairs)
    return sentence + (f"; {words.many(others, 'other pair')} at most as often." if others else ".")


def mistakes(checkpoint: Checkpoint, dataset: Dataset, judgement: Judgement, ink: str) -> str:
    """The images that it got wrong, each beside the pixels that would have put it right."""
    wrong = judgement.wrong
    title = "What it got wrong"
    if not len(judgement.truth):
        return _section("mistakes", title, "<p>No image was held out.</p>")
    if not len(wrong):
        text = f"<p>Nothing: it named all {words.count(len(judgement.truth))} held-out images right.</p>"
        return _section("mistakes", title, text)
    shown = wrong[:MOST_MISTAKES]
    total = words.many(len(judgement.truth), "held-out image")
    if len(wrong) == 1:
        which = f"One of {total}. Beside it"
    elif len(wrong) == len(shown):
        which = f"{words.count(len(wrong))} of {total}, those it was surest of first. Beside each"
    else:
        which = f"{words.count(len(wrong))} of {total}; here the {len(shown)} that it was surest of. Beside each"
    cards = _judged_cards(checkpoint, dataset, judgement, shown, ink)
    return _section(
        "mistakes",
        title,
        f"<p>{which}, the gradient of its loss by every pixel, d<i>L</i>/d<i>x</i>: {_legend(ink)}</p>{cards}",
    )


def pixels(checkpoint: Checkpoint, dataset: Dataset, judgement: Judgement, ink: str) -> str:
    """One image per class that it got right, those it was least sure of, and which pixels mattered."""
    right = [index for index in judgement.by_confidence[::-1] if judgement.predicted[index] == judgement.truth[index]]
    first: dict[int, int] = {}
    for index in right:
        first.setdefault(int(judgement.truth[index]), int(index))
    if not first:
        return ""
    shown = np.array([first[label] for label in sorted(first)][:MOST_EXAMPLES])
    cards = _judged_cards(checkpoint, dataset, judgement, shown, ink)
    return _section(
        "pixels",
        "Which pixels mattered",
        "<p>Per class, the image that it named right but was least sure of, and the pixels that it hung on: "
        f"{_legend(ink)}</p>{cards}",
    )


def _legend(ink: str) -> str:
    more = "a brighter pixel" if ink == "none" else "more ink"
    return (
        f'{more} on <b class="orange">orange</b> would speak for the true class, on <b class="blue">blue</b> against '
        "it. Each picture has its own scale."
    )


def _judged_cards(checkpoint: Checkpoint, dataset: Dataset, judgement: Judgement, shown: Array, ink: str) -> str:
    """A card per image: the image, its gradient, what it is and what it was taken for."""
    x, y = dataset.x_test[shown], judgement.truth[shown]
    towards = -pixel_gradients(checkpoint, x, y) * (-1 if ink == "dark" else 1)
    cards = []
    for place, index in enumerate(shown):
        image = images.reduced(x[place], LARGEST)
        true, predicted = int(judgement.truth[index]), int(judgement.predicted[index])
        true_name, name = escape(dataset.classes[true]), escape(dataset.classes[predicted])
        sure, left = judgement.confidence[index], judgement.probabilities[index]
        if not np.isfinite(sure):
            head, told, alt = f"<b>{true_name}</b>", "answered with no number", f"held-out image {index}, a {true_name}"
        elif true == predicted:
            ranked = np.argsort(-left, kind="stable")
            head = f"<b>{true_name}</b>"
            told = f"{words.roughly(float(sure))} sure"
            if len(ranked) > 1:
                told += f", then {escape(dataset.classes[int(ranked[1])])} ({words.roughly(float(left[ranked[1]]))})"
            alt = f"held-out image {index}, a {true_name}"
        else:
            head = f"<b>{true_name}</b> <span>read as</span> <b>{name}</b>"
            told = f"{words.roughly(float(sure))} sure; {words.roughly(float(left[true]))} for {true_name}"
            alt = f"held-out image {index}, a {true_name} that was read as {name}"
        faint = f'<span class="faint">{_picture(image, ink, "")}</span>'
        steps = images.reduced(towards[place][None], LARGEST)[0]
        gradient = images.signed(steps, float(np.quantile(np.abs(steps), 0.99)))  # a lone peak would hide the rest
        over = f'<span class="over">{faint}<img class="signed" src="{gradient}" alt="dL/dx of that image"></span>'
        cards.append(
            f'<figure class="judged"><div class="views">{_picture(image, ink, alt)}{over}</div>'
            f"<figcaption>{head}<small>{told}</small></figcaption></figure>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def filters(dataset: Dataset, found: Sequence[Filter], names: Sequence[str], ink: str) -> str:
    """Each filter of the first layer, the image that excites it most, its response there and per class."""
    title = "What its first layer looks for"
    if not found:
        return _section("filters", title, "<p>No image was held out to watch the filters on.</p>")
    most = max(float(np.abs(np.nan_to_num(each.weight)).max()) for each in found)
    shown = found[:MOST_FILTERS]
    widest = max(float(np.abs(each.preference).max()) for each in shown)
    cards = [
        _filter_card(number, each, dataset, names, ink, (most, widest)) for number, each in enumerate(shown, start=1)
    ]
    which = f" The first {MOST_FILTERS} of {len(found)}." if len(found) > MOST_FILTERS else ""
    per_plane = " One square per colour channel: red, green, blue." if found[0].weight.shape[0] > 1 else ""
    return _section(
        "filters",
        title,
        '<p>Each filter (<b class="orange">orange</b> adds, <b class="blue">blue</b> subtracts) slides over the '
        "image. Beside it, the held-out image that excites it most, with the patch that does it in a frame; then its "
        "response over that image. Below, how much more or less than on average each class moves it."
        f"{per_plane}{which}</p>"
        f'<div class="cards">{"".join(cards)}</div>',
    )


def _filter_card(
    number: int, each: Filter, dataset: Dataset, names: Sequence[str], ink: str, most: tuple[float, float]
) -> str:
    """most: the largest weight and the largest preference of all filters, so that cards can be compared."""
    head = f"<h3>Filter {number}</h3>"
    # three pictures in a row are too small for photographs
    roomy = " roomy" if each.weight.shape[0] > 1 or max(each.response.shape) > 32 else ""
    weight = images.signed(images.planes(each.weight), most[0])
    kernel = f'<img class="signed" src="{weight}" alt="weights of filter {number}">'
    if not each.answers:
        return (
            f'<figure class="filter{roomy}">{head}<div class="views">{kernel}'
            "<small>answers to nothing: no image moves it</small></div></figure>"
        )
    image = dataset.x_test[each.image]
    top, left = window(each.position)
    shrink = images.block(image, LARGEST)
    side = each.weight.shape[1] / shrink
    frame = _frame(left / shrink, top / shrink, side, side)
    preference = each.preference
    most_by, least_by = (
        f"{names[place]} {words.change(float(preference[place]))}"
        for place in (int(preference.argmax()), int(preference.argmin()))
    )
    told = f"Mean response per class, more or less than on average: most by {most_by}, least by {least_by}"
    truth = escape(dataset.classes[int(dataset.y_test[each.image])])
    picture = _picture(images.reduced(image, LARGEST), ink, f"held-out image {each.image}, a {truth}", [frame])
    response = images.signed(images.reduced(each.response[None], LARGEST)[0])
    return (
        f'<figure class="filter{roomy}">{head}<div class="views">{kernel}{picture}'
        f'<img class="signed" src="{response}" alt="response of filter {number} over that image"></div>'
        f'{charts.bars(preference, most[1], names, told)}<figcaption><b class="orange">{escape(most_by)}</b> '
        f'<b class="blue">{escape(least_by)}</b></figcaption></figure>'
    )


def gradient_check(checks: Sequence[Check]) -> str:
    """Every comparison of the gradient check with its verdict."""
    title = "Are the gradients right?"
    if not checks:
        return _section("gradients", title, "<p>There was no image to check them with.</p>")
    failed = sum(not check.passed for check in checks)
    verdict = (
        f'<p class="alarm">{failed} of {len(checks)} comparisons failed. Do not trust this model.</p>'
        if failed
        else f'<p class="verdict">All {len(checks)} comparisons passed.</p>'
    )
    groups = {
        "definition": (
            "Against the definition",
            "the first layer and its two gradients, float32, on this run's own arrays; in rounding errors: eps times "
            "the sum of absolute products",
        ),
        "finite differences": (
            "Against finite differences",
            "the whole loss in float64, some entries moved a little up and down; relative to the array's largest "
            "gradient. A little noise on the images leads off the kinks of ReLU and pooling",
        ),
    }
    bodies = []
    for against, (name, meaning) in groups.items():
        rows = "".join(_check_row(check) for check in checks if check.against == against)
        bodies.append(
            f'<tbody><tr class="group"><th scope="colgroup" colspan="5">{name}<small>{meaning}</small></th></tr>'
            f"{rows}</tbody>"
        )
    return _section(
        "gradients",
        title,
        f"{verdict}<p>Checked after training, on the trained parameters and held-out images. The network is asked for "
        "its second guess of each image: where it is sure and right, there is hardly a gradient to check.</p>"
        '<table class="checks"><thead><tr><th scope="col">Checked</th><th scope="col">Entries</th>'
        '<th scope="col">Difference</th><th scope="col">Error, of allowed</th><th scope="col">Verdict</th></tr></thead>'
        f"{''.join(bodies)}</table>",
    )


def _check_row(check: Check) -> str:
    verdict = '<td class="ok">right</td>' if check.passed else '<td class="failed">WRONG</td>'
    return (
        f'<tr><th scope="row">{escape(check.subject)}</th><td>{words.count(check.entries)}</td>'
        f"<td>{words.tiny(check.difference)}</td><td>{words.tiny(check.error)} of {words.tiny(check.limit)}</td>"
        f"{verdict}</tr>"
    )


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>'


def _picture(image: Array, ink: str, alt: str, frames: Sequence[str] = ()) -> str:
    """An image (C, H, W) with frames over it, in pixels of the image."""
    height, width = image.shape[-2:]
    over = f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(frames)}</svg>' if frames else ""
    style = "photo" if ink == "none" else "ink"
    return (
        f'<span class="picture" style="aspect-ratio:{width}/{height}">'
        f'<img class="{style}" src="{images.picture(image, ink)}" alt="{alt}">{over}</span>'
    )


def _frame(left: float, top: float, width: float, height: float) -> str:
    return f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"/>'


def _tick(share: float) -> str:
    return f"{share * 100:g}{words.THIN}%"

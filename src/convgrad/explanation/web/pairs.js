/** The panel beside the grids: the sum behind the entry that is looked at, product by product, and the player that walks it. */

import { outputs, shownAxes } from "./geometry.js";
import { get } from "./dom.js";
import { kindOf } from "./link.js";
import { unread } from "./definition.js";
import { written } from "./numbers.js";
import { FACTORS, MEANING, entryName, factors, productText, valueAt } from "./words.js";

/** @typedef {import("./store.js").Store} Store */

const AT_ONCE = 12; // rows that are written at once; the rest follows when the pointer rests
const IN_FORMULA = 4;

export class Pairs {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.list = get("pairs");
    this.timer = 0;
    this.playing = 0;
    store.on("look", () => this.#write());
    store.on("step", () => this.#mark());
    // on a telephone the sum stays in view while the grids are
    new IntersectionObserver(([entry]) => document.body.classList.toggle("touching", entry.isIntersecting)).observe(
      get("grids"),
    );
    this.#listen();
  }

  get #target() {
    const { array } = this.store.at;
    return kindOf(array) === "y" ? array : /** @type {import("./link.js").Name} */ (`g${kindOf(array)}`);
  }

  #write() {
    const { store } = this;
    const { at, meetings } = store;
    const target = this.#target;
    const name = entryName(store, target, at.index);
    const sum = store.letters || at.array === "gy" ? "" : written(valueAt(store, target, at.index));
    get("looked-at").innerHTML =
      `<b class="${kindOf(at.array)}">${entryName(store, at.array, at.index)}</b> <span>${MEANING[at.array]}</span>`;
    get("remark").textContent = remark(store);
    get("formula").innerHTML = this.#formula(name, sum);
    clearTimeout(this.timer);
    this.rows = 0;
    this.running = 0;
    this.list.innerHTML = "";
    this.#append(AT_ONCE);
    if (meetings.length > AT_ONCE) this.timer = window.setTimeout(() => this.#append(meetings.length), 160);
    get("pairs-head").innerHTML = this.#head();
    get("player").hidden = meetings.length === 0;
    get("three").hidden = kindOf(at.array) !== "x" || meetings.length < 2;
  }

  #head() {
    const [first, second] = FACTORS[this.store.at.array];
    const last = this.store.at.array === "gy" ? "adds to" : "sum so far";
    return `<th scope="col">#</th><th scope="col" class="${kindOf(first)}">${first}</th><th scope="col" class="${kindOf(second)}">${second}</th><th scope="col">product</th><th scope="col">${last}</th>`;
  }

  /** @param {string} name @param {string} sum */
  #formula(name, sum) {
    const { store } = this;
    const { at, meetings } = store;
    if (at.array === "gy")
      return `<b class="y">${name}</b> is stamped onto its window: times each tap, it adds to <b class="x">gx</b>`;
    const real = meetings.filter((meeting) => meeting.x !== null);
    if (real.length === 0 && meetings.length === 0) return `<b class="${kindOf(at.array)}">${name}</b> = 0`;
    const term = (/** @type {any} */ meeting) =>
      factors(store, at.array, meeting)
        .map((factor) => `<span class="${kindOf(factor.array)}">${store.letters ? factor.text : factor.name}</span>`)
        .join("\u2009·\u2009");
    const shown = meetings.length > IN_FORMULA + 1 ? meetings.slice(0, IN_FORMULA) : meetings;
    const rest = meetings.length - shown.length;
    return `<b class="${kindOf(at.array)}">${name}</b> = ${shown.map(term).join(" + ")}${rest ? ` + … (${rest} more)` : ""}${sum && ` = <b>${sum}</b>`}`;
  }

  /** Adds rows to the list. @param {number} most */
  #append(most) {
    const { store } = this;
    const { at, meetings } = store;
    const several = store.g.inChannels * store.g.outChannels > 1;
    const rows = [];
    for (let n = this.rows ?? 0; n < Math.min(meetings.length, most); n++) {
      const meeting = meetings[n];
      const pair = factors(store, at.array, meeting);
      const product = pair[0].value * pair[1].value;
      this.running = (this.running ?? 0) + product;
      const cells = pair.map(
        (factor) =>
          `<td class="${kindOf(factor.array)}">${factor.name}<small>${store.letters && factor.index ? "" : factor.text}</small></td>`,
      );
      const through = meeting.x && kindOf(at.array) !== "w" && meeting.x.slice(1).join() !== meeting.place.join();
      if (store.letters)
        this.letters =
          n === 0
            ? productText(store, pair)
            : n < IN_FORMULA
              ? `${this.letters} + ${productText(store, pair)}`
              : `… + ${productText(store, pair)}`;
      const last =
        at.array === "gy"
          ? meeting.x
            ? entryName(store, "gx", meeting.x)
            : "nothing"
          : store.letters
            ? this.letters
            : written(this.running);
      const style = meeting.x ? (through ? "through" : "") : "outside";
      rows.push(
        `<tr data-step="${n}" class="${style}"${through ? ' title="read through the padding"' : ""}><td><button type="button" aria-label="show product ${n + 1}">${n + 1}</button></td>${cells.join("")}<td>${productText(store, pair)}${store.letters ? "" : ` = ${written(product)}`}</td><td>${last}</td></tr>`,
      );
    }
    this.rows = Math.max(this.rows ?? 0, Math.min(meetings.length, most));
    this.list.insertAdjacentHTML("beforeend", rows.join(""));
    this.list.closest("table").classList.toggle("several", several);
    if (this.rows < meetings.length) get("pairs-rest").textContent = `… ${meetings.length - this.rows} more`;
    else get("pairs-rest").textContent = "";
  }

  #mark() {
    const { store } = this;
    this.list.querySelector(".now")?.classList.remove("now");
    const total = store.meetings.length;
    get("position").textContent =
      store.step === null ? `${total} ${total === 1 ? "product" : "products"}` : `${store.step + 1} of ${total}`;
    if (store.step === null) return;
    if (store.step >= (this.rows ?? 0)) this.#append(total);
    const row = this.list.children[store.step];
    row?.classList.add("now");
    const box = get("pairs-scroll");
    if (
      row &&
      (row.offsetTop < box.scrollTop + 30 || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight)
    ) {
      box.scrollTop = row.offsetTop - box.clientHeight / 2;
    }
    get("point").textContent = this.#point(store.step);
  }

  /** Which of the note's three points this is, in words. @param {number} step */
  #point(step) {
    const { store } = this;
    const meeting = store.meetings[step];
    if (!meeting) return "";
    const [y, w] = [entryName(store, "y", meeting.y), entryName(store, "w", meeting.w)];
    if (kindOf(store.at.array) !== "x")
      return `${y} reads ${meeting.x ? entryName(store, "x", meeting.x) : "the padding"} through ${w}.`;
    const when =
      step === 0 ? "① for the first time" : step === store.meetings.length - 1 ? "③ for the last time" : "② in between";
    return `${when}: ${y} reads it through ${w}.`;
  }

  // ---- the player

  /** @param {number} by */
  #step(by) {
    const { store } = this;
    const total = store.meetings.length;
    const from = store.step ?? (by > 0 ? -1 : total);
    store.walk((from + by + total) % total);
  }

  #stop() {
    clearTimeout(this.playing);
    this.playing = 0;
    delete get("grids").dataset.playing;
    get("play").textContent = "Play";
    get("play").setAttribute("aria-pressed", "false");
  }

  #play() {
    const { store } = this;
    store.hover(null);
    get("grids").dataset.playing = "yes";
    get("play").textContent = "Pause";
    get("play").setAttribute("aria-pressed", "true");
    if (store.step === null || store.step === store.meetings.length - 1) store.walk(0);
    const next = () => {
      if (store.step === store.meetings.length - 1 || store.step === null) return this.#stop();
      this.#step(1);
      this.playing = window.setTimeout(next, 1100 / Number(get("speed").value));
    };
    this.playing = window.setTimeout(next, 1100 / Number(get("speed").value));
  }

  #listen() {
    const { store } = this;
    const act = (/** @type {string} */ id, /** @type {() => void} */ action) =>
      get(id).addEventListener("click", action);
    const still = (/** @type {() => void} */ action) => () => {
      this.#stop();
      store.hover(null);
      action();
    };
    act("play", () => (this.playing ? this.#stop() : this.#play()));
    act(
      "back",
      still(() => this.#step(-1)),
    );
    act(
      "forth",
      still(() => this.#step(1)),
    );
    act(
      "whole",
      still(() => store.walk(null)),
    );
    act(
      "first",
      still(() => store.walk(0)),
    );
    act(
      "between",
      still(() => store.walk(store.meetings.length >> 1)),
    );
    act(
      "last",
      still(() => store.walk(store.meetings.length - 1)),
    );
    this.list.addEventListener("click", (/** @type {Event} */ event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("tr");
      if (row) still(() => store.walk(Number(row.dataset.step)))();
    });
    store.on("look", () => {
      if (this.playing && store.step === null) this.#stop();
    });
  }
}

/** One sentence on what there is to see. @param {Store} store */
function remark(store) {
  const { g, at, meetings } = store;
  const real = meetings.filter((meeting) => meeting.x !== null).length;
  const kind = kindOf(at.array);
  if (kind === "x") {
    if (real === 0) {
      const why = [0, 1].map((axis) => unread(g, axis).get(at.index[axis + 1])).find(Boolean);
      return `No window reads this pixel: ${why}. Its gradient is exactly 0.`;
    }
    const once = `${real} ${real === 1 ? "product uses" : "products use"} this pixel.`;
    if (real === 1) return once;
    const folded = meetings.some((meeting) => meeting.x && meeting.x.slice(1).join() !== meeting.place.join());
    if (folded) return `${once} Some read it through the padding: there the gradient folds back.`;
    if (shownAxes(g).every((axis) => axis.kernel === 1)) return once;
    return g.flip
      ? `${once} Outputs go up and taps go up too: a flipped kernel, flipped once more.`
      : `${once} Outputs go up, taps go down: the kernel is walked backwards. That is the flip.`;
  }
  if (kind === "w") {
    const all = outputs(g.axes[0]) * outputs(g.axes[1]);
    const rest = meetings.length - real;
    return `Used at ${all === 1 ? "the only position" : `all ${all} positions`}: every output shares it${rest && g.mode === "zeros" ? `; at ${rest} of them it meets only padding` : ""}. Nothing is flipped.`;
  }
  const rest = meetings.length - real;
  const said = `Its window holds ${meetings.length} ${meetings.length === 1 ? "entry" : "entries"}${rest ? `, ${rest} of them padding` : ""}.`;
  return at.array === "gy" ? `${said} Backwards, it is the kernel, stamped where this output looked.` : said;
}

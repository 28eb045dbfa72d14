/**
 * One grid: a lattice of spots, which are entries, the padding around x, or holes where a stride or a dilation leaves
 * them. It builds itself, writes its numbers, lights its cells and lets one type into them; when, is left to `grids`.
 */

import { OUTSIDE, land } from "./boundary.js";
import { reads, unread } from "./definition.js";
import { make } from "./dom.js";
import { groupInputs, inputChannel, padded, shapes, shownAxes, span } from "./geometry.js";
import { kindOf } from "./link.js";
import { written } from "./numbers.js";
import { MEANING, entryName, entryText, flat, indices, letterSum, marginAt, valueAt } from "./words.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./link.js").Name} Name */
/** @typedef {import("./definition.js").Index} Index */
/**
 * @typedef {{ start: number, step: number, entries: number, length: number }} Side   entry n stands at start + n * step
 */

export class Grid {
  /** @param {Store} store @param {Name} name */
  constructor(store, name) {
    this.store = store;
    this.name = name;
    this.channel = 0;
    this.stretch = 1; // how much wider than tall a cell is
    this.editable = name === "x" || name === "w" || name === "gy";
    this.caption = make("figcaption", { id: `caption-${name}` });
    this.tabs = make("div", { class: "tabs", role: "tablist", "aria-label": `channels of ${name}`, hidden: true });
    this.body = make("div", {
      role: "grid",
      id: `grid-${name}`,
      "aria-labelledby": `caption-${name}`,
      "aria-readonly": `${!this.editable}`,
    });
    this.overlay = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.overlay.setAttribute("aria-hidden", "true");
    this.holder = make("div", { class: "holder" }, this.body, this.overlay);
    this.figure = make("figure", { class: "array", "data-array": name }, this.caption, this.tabs, this.holder);
    /** @type {HTMLElement[]} by row and column */
    this.cells = [];
    /** @type {Map<string, HTMLElement>} the padding, by place */
    this.ghosts = new Map();
    /** @type {Set<HTMLElement>} */
    this.lit = new Set();
    /** @type {HTMLElement[]} */
    this.marked = [];
    /** @type {HTMLElement | null} */
    this.focusable = null;
    /** @type {Side} */
    this.down = this.across = { start: 0, step: 1, entries: 1, length: 1 };
    this.listenToTabs();
  }

  get kind() {
    return kindOf(this.name);
  }

  get shape() {
    return shapes(this.store.g)[this.kind];
  }

  // ---- structure

  /** @param {number} axis @returns {Side} */
  side(axis) {
    const a = this.store.g.axes[axis];
    const entries = this.shape[axis + 1];
    if (this.kind === "x") return { start: a.before, step: 1, entries, length: padded(a) };
    if (this.kind === "w") return { start: 0, step: a.dilation, entries, length: span(a) };
    return this.name === "gy"
      ? { start: 0, step: a.stride, entries, length: (entries - 1) * a.stride + 1 }
      : { start: 0, step: 1, entries, length: entries };
  }

  build() {
    const { g } = this.store;
    [this.down, this.across] = [this.side(0), this.side(1)];
    const [channels, rows, columns] = this.shape;
    this.cells = Array(rows * columns);
    this.ghosts.clear();
    this.lit.clear();
    this.marked = [];
    this.focusable = null;
    this.channel = Math.min(this.channel, channels - 1);
    const reasons = this.kind === "x" ? [unread(g, 0), unread(g, 1)] : null;
    const lines = document.createDocumentFragment();
    for (let r = 0; r < this.down.length; r++) {
      const row = entryAt(this.down, r);
      const line = make(
        "div",
        row === null
          ? { "aria-hidden": "true", class: "row" }
          : { role: "row", class: "row", "aria-rowindex": row + 1 },
      );
      for (let c = 0; c < this.across.length; c++) {
        const column = entryAt(this.across, c);
        line.append(row === null || column === null ? this.#space(r, c) : this.#entry(row, column, reasons));
      }
      lines.append(line);
    }
    this.body.replaceChildren(lines);
    this.body.setAttribute("aria-rowcount", `${rows}`);
    this.body.setAttribute("aria-colcount", `${columns}`);
    this.#label();
    this.#buildTabs(channels);
  }

  /** @param {number} row @param {number} column @param {Map<number, string>[] | null} reasons */
  #entry(row, column, reasons) {
    const cell = document.createElement("div");
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colindex", `${column + 1}`);
    cell.dataset.at = `${row},${column}`;
    cell.tabIndex = -1;
    const why = reasons?.[0].get(row) ?? reasons?.[1].get(column);
    cell.className = why ? "cell unread" : "cell";
    if (why) cell.title = `No window reads it: ${why}.`;
    this.cells[row * this.across.entries + column] = cell;
    return cell;
  }

  /** What is no entry: padding around x, a hole elsewhere. @param {number} r @param {number} c */
  #space(r, c) {
    const cell = document.createElement("div");
    cell.setAttribute("aria-hidden", "true");
    if (this.kind !== "x") {
      cell.className = "hole";
      return cell;
    }
    const { g } = this.store;
    const place = [r - this.down.start, c - this.across.start];
    const [i, j] = place.map((at, axis) => land(g.mode, at, g.axes[axis].input));
    const inside = i !== OUTSIDE && j !== OUTSIDE;
    cell.className = inside ? "ghost copy" : "ghost";
    if (inside) cell.dataset.at = `${i},${j}`;
    this.ghosts.set(`${place}`, cell);
    return cell;
  }

  #label() {
    const { g } = this.store;
    const [, rows, columns] = this.shape;
    const size = g.rank === 1 ? `${columns}` : `${rows} × ${columns}`;
    const axes = shownAxes(g);
    const wide = (/** @type {"stride" | "dilation"} */ name) =>
      [...new Set(axes.map((axis) => axis[name]))].join(" × ");
    const holes =
      this.name === "gy" && axes.some((axis) => axis.stride > 1)
        ? `holes: stride ${wide("stride")}`
        : this.kind === "w" && axes.some((axis) => axis.dilation > 1)
          ? `holes: dilation ${wide("dilation")}`
          : "";
    this.caption.innerHTML = `<b>${this.name}</b> <span>${MEANING[this.name]}</span> <small>${size}${holes ? `; ${holes}` : ""}</small>`;
  }

  // ---- channels

  /** @param {number} channels */
  #buildTabs(channels) {
    this.tabs.hidden = channels === 1;
    this.figure.classList.toggle("tabbed", channels > 1);
    const ins = groupInputs(this.store.g);
    const title = (/** @type {number} */ n) => {
      if (this.kind !== "w") return { text: `${n}`, label: `${this.kind === "x" ? "input" : "output"} channel ${n}` };
      const [out, channel] = [Math.floor(n / ins), inputChannel(this.store.g, Math.floor(n / ins), n % ins)];
      return { text: `${channel}→${out}`, label: `from input channel ${channel} to output channel ${out}` };
    };
    const tabs = Array.from({ length: channels > 1 ? channels : 0 }, (_, n) => {
      const { text, label } = title(n);
      return make("button", {
        type: "button",
        role: "tab",
        "aria-label": label,
        "aria-controls": `grid-${this.name}`,
        "data-channel": n,
        text,
      });
    });
    this.tabs.replaceChildren(...tabs);
  }

  listenToTabs() {
    this.tabs.addEventListener("click", (/** @type {Event} */ event) => {
      const tab = /** @type {HTMLElement} */ (event.target).closest("button");
      if (tab) this.#open(Number(tab.dataset.channel));
    });
    this.tabs.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const channels = this.shape[0];
      this.#open((this.channel + step + channels) % channels);
      this.tabs.children[this.channel].focus();
    });
  }

  /**
   * Look at the same entry of another channel where it lies in this array, else only show the channel.
   * @param {number} channel
   */
  #open(channel) {
    const { store } = this;
    const { g, view, setting } = store;
    const ins = groupInputs(g);
    if (kindOf(setting.at.array) === this.kind) {
      store.choose({ array: setting.at.array, index: [channel, setting.at.index[1], setting.at.index[2]] });
    } else if (this.kind === "w") store.show(channel);
    else if (this.kind === "y") store.show(channel * ins + (view.weights % ins));
    else {
      const [group, outs] = [Math.floor(channel / ins), g.outChannels / g.groups];
      store.show((group * outs + (view.out % outs)) * ins + (channel % ins));
    }
  }

  /** @param {number} channel */
  show(channel) {
    if (channel === this.channel && !this.stale) return;
    this.channel = channel;
    this.fill(false);
    [...this.tabs.children].forEach((tab, n) => {
      tab.setAttribute("aria-selected", `${n === channel}`);
      tab.tabIndex = n === channel ? 0 : -1;
    });
  }

  // ---- numbers

  /** @param {boolean} later   fill when next shown */
  fill(later) {
    if (later) {
      this.stale = true;
      this.#measure();
      return;
    }
    this.stale = false;
    const { across } = this;
    this.cells.forEach((cell, n) => {
      const text = this.text([this.channel, Math.floor(n / across.entries), n % across.entries]);
      if (cell.textContent !== text) cell.textContent = text;
    });
    for (const [place, cell] of this.ghosts) {
      const [row, column] = place.split(",").map(Number);
      cell.textContent = this.#ghostText(row, column, cell);
    }
  }

  /** @param {number} row @param {number} column @param {HTMLElement} cell */
  #ghostText(row, column, cell) {
    const { store } = this;
    if (this.name === "gx") return store.letters ? "" : written(marginAt(store, this.channel, row, column));
    if (!cell.dataset.at) return written(store.g.mode === "constant" ? store.g.value : 0);
    const [i, j] = cell.dataset.at.split(",").map(Number);
    return this.text([this.channel, i, j]);
  }

  /** @param {Index} index */
  text(index) {
    const { store, name } = this;
    if (!store.letters || this.editable) return entryText(store, name, index);
    return this.sums?.[flat(this.shape, index)] ?? "";
  }

  /** Finds the longest text, which decides how small the numbers are written. */
  #measure() {
    const { store } = this;
    this.sums =
      store.letters && !this.editable ? indices(this.shape).map((index) => letterSum(store, this.name, index)) : null;
    let longest = 1;
    for (const index of indices(this.shape)) longest = Math.max(longest, this.text(index).length);
    if (this.name === "gx" && !store.letters)
      for (const value of store.results.margin) longest = Math.max(longest, written(value).length);
    this.longest = longest;
    this.stretch = this.sums ? Math.min(store.g.rank === 1 ? 5.5 : 3, Math.max(1, longest / 4.2)) : 1;
  }

  /** @param {number} size   of a cell in pixels */
  scale(size) {
    const width = Math.round(size * this.stretch);
    const font = Math.max(6, Math.min(size * 0.42, 17, (width - 2) / ((this.longest ?? 1) * 0.58)));
    this.size = [size, width];
    this.holder.style.setProperty("--wide", `${width}px`);
    this.holder.style.setProperty("--font", `${font.toFixed(1)}px`);
    this.figure.classList.toggle("small", size < 30);
  }

  // ---- light

  /** @param {number} row @param {number} column */
  #cell(row, column) {
    return this.cells[row * this.across.entries + column];
  }

  clear() {
    for (const cell of this.lit) {
      cell.classList.remove("at", "twin", "met", "faint", "now");
      delete cell.dataset.n;
    }
    this.lit.clear();
    this.marked = [];
  }

  unmark() {
    for (const cell of this.marked) cell.classList.remove("now");
    this.marked = [];
  }

  /** @param {Index} index @param {string} style @param {number} [number] */
  mark([channel, row, column], style, number = 0) {
    if (channel === this.channel) this.#paint(this.#cell(row, column), style, number);
  }

  /**
   * Lights the padding through which an entry is read.
   * @param {[number, number]} place
   * @param {Index | null} index
   * @param {string} style
   * @param {number} number
   * @param {boolean} shown
   */
  markPlace(place, index, style, number, shown) {
    if (!shown || (index && index[0] !== this.channel)) return;
    const ghost = this.ghosts.get(`${place}`);
    if (ghost) this.#paint(ghost, style, number);
  }

  /** @param {HTMLElement} cell @param {string} style @param {number} number */
  #paint(cell, style, number) {
    cell.classList.add(style);
    if (number)
      cell.dataset.n = !cell.dataset.n
        ? `${number}`
        : cell.dataset.n.endsWith("…")
          ? cell.dataset.n
          : `${cell.dataset.n}…`;
    this.lit.add(cell);
    if (style === "now") this.marked.push(cell);
  }

  // ---- lines over the cells

  beginDrawing() {
    this.drawn = "";
  }

  endDrawing() {
    if (this.drawn === this.overlay.dataset.drawn) return;
    this.overlay.dataset.drawn = this.drawn;
    this.overlay.innerHTML = this.drawn ?? "";
  }

  /**
   * A frame around what an output's window (kind "y") or a weight's positions (kind "w") cover, padding included.
   * @param {"w" | "y"} kind
   * @param {Index} index
   */
  frame(kind, index) {
    const { g } = this.store;
    const key = kind === "y" ? "o" : "k";
    const ends = [0, 1].map((axis) => {
      const places = reads(g, axis)
        .filter((step) => step[key] === index[axis + 1])
        .map((step) => step.place);
      return [Math.min(...places), Math.max(...places)];
    });
    const [[top, bottom], [left, right]] = ends;
    const [tall, wide] = this.size ?? [1, 1];
    this.drawn += `<rect class="window" x="${(left + this.across.start) * wide + 1}" y="${(top + this.down.start) * tall + 1}" width="${(right - left + 1) * wide - 2}" height="${(bottom - top + 1) * tall - 2}" rx="3"/>`;
  }

  /**
   * A line through spots in the order in which they are met, with an arrow at its end.
   * @param {(Index | [number, number] | null)[]} spots
   */
  path(spots) {
    const [tall, wide] = this.size ?? [1, 1];
    // along the lower edge of the cells, so that the numbers stay free
    const points = spots
      .filter((spot) => spot !== null)
      .map((spot) => {
        const [row, column] = spot.slice(-2);
        return [
          (column * this.across.step + this.across.start + 0.5) * wide,
          (row * this.down.step + this.down.start + 0.86) * tall,
        ];
      });
    if (points.length < 2) return;
    const [[x0, y0], [x1, y1]] = points.slice(-2);
    const turn = (Math.atan2(y1 - y0, x1 - x0) * 180) / Math.PI;
    const arrow = Math.max(3, Math.min(6, tall / 7));
    this.drawn += `<polyline class="path" points="${points.map((point) => point.join(",")).join(" ")}"/><circle class="tail" cx="${points[0][0]}" cy="${points[0][1]}" r="${arrow / 2}"/><path class="head" transform="translate(${x1} ${y1}) rotate(${turn})" d="M${arrow} 0 L${-arrow} ${arrow * 0.8} L${-arrow} ${-arrow * 0.8} Z"/>`;
  }

  // ---- focus and editing

  /** @param {Index | null} index */
  makeFocusable(index) {
    const cell =
      index && index[0] === this.channel ? this.#cell(index[1], index[2]) : (this.focusable ?? this.cells[0]);
    if (cell === this.focusable) return;
    if (this.focusable) this.focusable.tabIndex = -1;
    this.focusable = cell;
    cell.tabIndex = 0;
  }

  /** @param {Index} index */
  focus([, row, column]) {
    this.#cell(row, column).focus({ preventScroll: false });
  }

  /** @param {HTMLElement} cell @returns {Index} */
  indexOf(cell) {
    const [row, column] = (cell.dataset.at ?? "0,0").split(",").map(Number);
    return [this.channel, row, column];
  }

  /** Type a number into an entry. @param {Index} index @param {string} [typed]   the first character */
  edit(index, typed) {
    if (!this.editable) return;
    const { store } = this;
    const name = /** @type {"x" | "w" | "gy"} */ (this.name);
    const cell = this.#cell(index[1], index[2]);
    const label = `${entryName(store, name, index)}, a number`;
    const input = make("input", { class: "typed", inputmode: "decimal", autocomplete: "off", "aria-label": label });
    input.value = typed ?? `${valueAt(store, name, index)}`;
    let open = true;
    const close = (/** @type {boolean} */ keep) => {
      if (!open) return true;
      const value = Number(input.value.trim().replace("−", "-").replace(",", "."));
      if (keep && (input.value.trim() === "" || Number.isNaN(value))) {
        input.setAttribute("aria-invalid", "true");
        return false;
      }
      open = false;
      cell.textContent = this.text(index);
      if (keep) store.edit(name, flat(this.shape, index), value);
      return true;
    };
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      event.stopPropagation();
      if (event.key === "Enter" && close(true)) this.focus(index);
      if (event.key === "Escape" && close(false)) this.focus(index);
    });
    input.addEventListener("blur", () => close(true) || close(false));
    input.addEventListener("click", (/** @type {Event} */ event) => event.stopPropagation());
    cell.replaceChildren(input);
    input.focus();
    if (typed === undefined) input.select();
  }
}

/** Which entry stands at a spot of a side, null for padding and holes. @param {Side} side @param {number} spot */
function entryAt({ start, step, entries }, spot) {
  const n = (spot - start) / step;
  return Number.isInteger(n) && n >= 0 && n < entries ? n : null;
}

/**
 * The six grids: built when sizes change, filled when numbers change, lit when another entry is looked at.
 * Every grid is a lattice of spots: entries, the padding around x, and holes where a stride or a dilation leaves them.
 */

import { OUTSIDE, land } from "./boundary.js";
import { reads, unread } from "./definition.js";
import { groupInputs, inputChannel, padded, shapes, shownAxes, span } from "./geometry.js";
import { get, make } from "./dom.js";
import { NAMES, kindOf } from "./link.js";
import { written } from "./numbers.js";
import { FACTORS, MEANING, entryName, entryText, flat, indices, letterSum, marginAt, valueAt } from "./words.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./link.js").Name} Name */
/** @typedef {import("./definition.js").Index} Index */
/** @typedef {{ start: number, step: number, entries: number, length: number }} Side   of a lattice: entry n stands at start + n * step */

const LARGEST = 46; // pixels of a cell
const LEAST = 12;
const PANEL = 416; // pixels of the panel beside the grids
const ORDERED = 49; // meetings that get a number and a path

export class Grids {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.root = get("grids");
    /** @type {Map<Name, Grid>} */
    this.all = new Map(NAMES.map((name) => [name, new Grid(store, name)]));
    this.root.append(...[...this.all.values()].map((grid) => grid.figure));
    store.on("geometry", () => this.#build());
    store.on("numbers", () => this.#fill());
    store.on("look", () => this.#light());
    store.on("step", () => this.#mark());
    this.#listen();
    this.whole = get("bench").clientWidth; // remembered, because asking makes the browser lay out all that changed
    new ResizeObserver(([entry]) => {
      if (entry.contentRect.width === this.whole) return;
      this.whole = entry.contentRect.width;
      this.#fit();
    }).observe(get("bench"));
  }

  #build() {
    for (const grid of this.all.values()) grid.build(); // sized when filled
  }

  #fill() {
    for (const grid of this.all.values()) grid.fill(true);
    this.#fit();
  }

  /** The largest cells for which the grids stand beside each other, in three columns, two or one. */
  #fit() {
    const { g } = this.store;
    const { whole } = this;
    const beside = whole - Math.min(PANEL, whole * 0.36) - 40; // what the panel at the side leaves
    const sides = NAMES.map((name) => this.all.get(name)?.across.length ?? 1);
    const [x, w, y, gx, gw, gy] = sides.map((length, n) => length * (this.all.get(NAMES[n])?.stretch ?? 1));
    const widest = [Math.max(x, gx), Math.max(w, gw), Math.max(y, gy)];
    const narrow = !matchMedia("(min-width: 66rem)").matches;
    const fits = (/** @type {number} */ room) => {
      const gap = narrow ? 14 : 28;
      const cell = (/** @type {number} */ units, /** @type {number} */ columns) => (room - (columns - 1) * gap - 3 * columns) / units;
      const options = [
        { columns: 3, size: cell(widest[0] + widest[1] + widest[2], 3), enough: g.rank === 1 ? 40 : 22 },
        { columns: 2, size: cell(Math.max(x, w, y) + Math.max(gx, gw, gy), 2), enough: 22 },
        { columns: 1, size: cell(Math.max(...widest), 1), enough: 0 },
      ];
      return options.find((option) => option.size >= option.enough) ?? options[2];
    };
    const side = narrow ? fits(whole) : fits(beside);
    const roomy = !narrow && g.rank === 2 && side.columns < 3;
    const fitting = roomy ? fits(whole) : side;
    get("bench").classList.toggle("roomy", roomy);
    const size = Math.max(LEAST, Math.min(LARGEST, Math.floor(fitting.size)));
    this.root.classList.toggle("scrolls", fitting.size < LEAST);
    this.root.dataset.columns = `${fitting.columns}`;
    this.root.style.setProperty("--cell", `${size}px`);
    for (const grid of this.all.values()) grid.scale(size);
    this.#drawOverlays();
  }

  #light() {
    const { store } = this;
    const { at, view } = store;
    const shown = { x: view.in, w: view.weights, y: view.out };
    for (const grid of this.all.values()) {
      grid.show(shown[kindOf(grid.name)]);
      grid.clear();
    }
    for (const name of NAMES) {
      if (kindOf(name) === kindOf(at.array)) this.all.get(name)?.mark(at.index, name === at.array ? "at" : "twin");
    }
    const [first, second] = FACTORS[at.array];
    const order = store.meetings.length <= ORDERED * 4 && kindOf(at.array) !== "w";
    /** @type {Map<string, number>} */
    const counted = new Map();
    store.meetings.forEach((meeting) => {
      const within = order ? (counted.get(`${meeting.w[0]}`) ?? 0) + 1 : 0;
      counted.set(`${meeting.w[0]}`, within);
      const number = order && meeting.w[0] === view.weights && within <= ORDERED ? within : 0;
      for (const name of at.array === "gy" ? /** @type {Name[]} */ (["gx", "w"]) : [first, second]) {
        const index = meeting[kindOf(name)];
        if (index) this.all.get(name)?.mark(index, "met", number);
        if (kindOf(name) === "x") this.all.get(name)?.markPlace(meeting.place, index, "met", number, meeting.w[0] === view.weights);
      }
      const shadow = this.all.get(kindOf(at.array) === "y" ? (at.array === "gy" ? "x" : "gx") : "y");
      const index = meeting[kindOf(shadow?.name ?? "y")];
      if (index && at.array !== "y") shadow?.mark(index, "faint");
      if (kindOf(at.array) === "x") {
        for (const name of /** @type {Name[]} */ (["x", "gx"])) this.all.get(name)?.markPlace(meeting.place, at.index, "met", 0, true);
      }
    });
    this.#focusable();
  }

  /** The current meeting stands out, and the window it belongs to is framed. */
  #mark() {
    const { store } = this;
    for (const grid of this.all.values()) grid.unmark();
    const meeting = store.step === null ? null : store.meetings[store.step];
    if (meeting) {
      const { array } = store.at;
      const seen = /** @type {Name[]} */ (["x", "w", "y", array === "gy" ? "gx" : "gy"]);
      for (const name of seen.filter((each) => kindOf(each) !== kindOf(array))) {
        const index = meeting[kindOf(name)];
        if (index) this.all.get(name)?.mark(index, "now");
      }
      this.all.get("x")?.markPlace(meeting.place, meeting.x, "now", 0, true);
    }
    this.#drawOverlays();
  }

  #drawOverlays() {
    const { store } = this;
    const { at } = store;
    const meeting = store.step === null ? null : store.meetings[store.step];
    for (const grid of this.all.values()) grid.beginDrawing();
    const kind = kindOf(at.array);
    if (kind === "w") {
      // gy, laid over x with holes: what this weight reads
      this.all.get("x")?.frame("w", at.index);
    } else if (kind === "y") {
      for (const name of /** @type {Name[]} */ (at.array === "y" ? ["x"] : ["x", "gx"])) this.all.get(name)?.frame("y", at.index);
    } else if (meeting) {
      for (const name of /** @type {Name[]} */ (["x", "gx"])) this.all.get(name)?.frame("y", meeting.y);
    }
    for (const path of kind === "w" ? [] : walks(store)) {
      for (const name of at.array === "gy" ? /** @type {Name[]} */ (["gx", "w"]) : FACTORS[at.array]) {
        this.all.get(name)?.path(path.map((each) => (kindOf(name) === "x" ? each.place : null) ?? each[kindOf(name)]));
      }
    }
    for (const grid of this.all.values()) grid.endDrawing();
  }

  /** One entry of each grid can be reached with the tab key. */
  #focusable() {
    const { setting } = this.store;
    for (const grid of this.all.values()) grid.makeFocusable(grid.name === setting.at.array ? setting.at.index : null);
  }

  #listen() {
    const { store, root } = this;
    const found = (/** @type {Event} */ event) => {
      const cell = /** @type {Element} */ (event.target).closest?.("[data-at]");
      const grid = this.all.get(/** @type {any} */ (cell?.closest("figure")?.dataset.array));
      return cell && grid ? { grid, cell, index: grid.indexOf(/** @type {HTMLElement} */ (cell)) } : null;
    };
    root.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "touch" || root.dataset.playing) return;
      const spot = found(event);
      if (spot) store.hover({ array: spot.grid.name, index: spot.index });
    });
    root.addEventListener("pointerleave", () => store.hover(null));
    root.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const spot = found(event);
      if (!spot) return;
      const { at } = store.setting;
      const again = at.array === spot.grid.name && `${at.index}` === `${spot.index}` && document.activeElement === spot.cell;
      store.choose({ array: spot.grid.name, index: spot.index });
      spot.grid.focus(spot.index);
      if (again) spot.grid.edit(spot.index);
    });
    root.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
      const spot = found(event);
      if (spot && /** @type {HTMLElement} */ (event.target).matches(":focus-visible[role=gridcell]")) {
        const { at } = store.setting;
        if (at.array !== spot.grid.name || `${at.index}` !== `${spot.index}`) store.choose({ array: spot.grid.name, index: spot.index });
      }
    });
    root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const spot = found(event);
      if (!spot || !(/** @type {HTMLElement} */ (event.target).matches("[role=gridcell]")) || event.ctrlKey || event.metaKey || event.altKey) return;
      const [channel, row, column] = spot.index;
      const [, rows, columns] = shapes(store.g)[kindOf(spot.grid.name)];
      /** @type {Record<string, Index>} */
      const moves = {
        ArrowLeft: [channel, row, column - 1],
        ArrowRight: [channel, row, column + 1],
        ArrowUp: [channel, row - 1, column],
        ArrowDown: [channel, row + 1, column],
        Home: [channel, event.shiftKey ? 0 : row, 0],
        End: [channel, event.shiftKey ? rows - 1 : row, columns - 1],
      };
      const aim = moves[event.key];
      if (aim) {
        event.preventDefault();
        const [, r, c] = aim;
        if (r < 0 || c < 0 || r >= rows || c >= columns) return;
        store.choose({ array: spot.grid.name, index: aim });
        spot.grid.focus(aim);
      } else if (event.key === "Enter" || event.key === "F2") {
        event.preventDefault();
        spot.grid.edit(spot.index);
      } else if (/^[-\d.]$/.test(event.key)) {
        event.preventDefault();
        spot.grid.edit(spot.index, event.key);
      }
    });
  }
}

class Grid {
  /** @param {Store} store @param {Name} name */
  constructor(store, name) {
    this.store = store;
    this.name = name;
    this.channel = 0;
    this.stretch = 1; // how much wider than tall a cell is
    this.editable = name === "x" || name === "w" || name === "gy";
    this.caption = make("figcaption", { id: `caption-${name}` });
    this.tabs = make("div", { class: "tabs", role: "tablist", "aria-label": `channels of ${name}`, hidden: true });
    this.body = make("div", { role: "grid", id: `grid-${name}`, "aria-labelledby": `caption-${name}`, "aria-readonly": `${!this.editable}` });
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
    return this.name === "gy" ? { start: 0, step: a.stride, entries, length: (entries - 1) * a.stride + 1 } : { start: 0, step: 1, entries, length: entries };
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
      const line = make("div", row === null ? { "aria-hidden": "true", class: "row" } : { role: "row", class: "row", "aria-rowindex": row + 1 });
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
    const wide = (/** @type {"stride" | "dilation"} */ name) => [...new Set(axes.map((axis) => axis[name]))].join(" × ");
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
      return make("button", { type: "button", role: "tab", "aria-label": label, "aria-controls": `grid-${this.name}`, "data-channel": n, text });
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

  /** Look at the same entry of another channel where it lies in this array, else only show the channel. @param {number} channel */
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
    const { across, store } = this;
    this.cells.forEach((cell, n) => {
      const text = this.text([this.channel, Math.floor(n / across.entries), n % across.entries]);
      if (cell.textContent !== text) cell.textContent = text;
    });
    for (const [place, cell] of this.ghosts) {
      const [row, column] = place.split(",").map(Number);
      cell.textContent = this.#ghostText(row, column, cell);
    }
    store.view && this.figure.style.setProperty("--longest", `${this.longest}`);
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
    this.sums = store.letters && !this.editable ? indices(this.shape).map((index) => letterSum(store, this.name, index)) : null;
    let longest = 1;
    for (const index of indices(this.shape)) longest = Math.max(longest, this.text(index).length);
    if (this.name === "gx" && !store.letters) for (const value of store.results.margin) longest = Math.max(longest, written(value).length);
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

  /** Lights the padding through which an entry is read. @param {[number, number]} place @param {Index | null} index @param {string} style @param {number} number @param {boolean} shown */
  markPlace(place, index, style, number, shown) {
    if (!shown || (index && index[0] !== this.channel)) return;
    const ghost = this.ghosts.get(`${place}`);
    if (ghost) this.#paint(ghost, style, number);
  }

  /** @param {HTMLElement} cell @param {string} style @param {number} number */
  #paint(cell, style, number) {
    cell.classList.add(style);
    if (number) cell.dataset.n = !cell.dataset.n ? `${number}` : cell.dataset.n.endsWith("…") ? cell.dataset.n : `${cell.dataset.n}…`;
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

  /** A frame around what an output's window (kind "y") or a weight's positions (kind "w") cover, padding included. @param {"w" | "y"} kind @param {Index} index */
  frame(kind, index) {
    const { g } = this.store;
    const key = kind === "y" ? "o" : "k";
    const ends = [0, 1].map((axis) => {
      const places = reads(g, axis).filter((step) => step[key] === index[axis + 1]).map((step) => step.place);
      return [Math.min(...places), Math.max(...places)];
    });
    const [[top, bottom], [left, right]] = ends;
    const [tall, wide] = this.size ?? [1, 1];
    this.drawn += `<rect class="window" x="${(left + this.across.start) * wide + 1}" y="${(top + this.down.start) * tall + 1}" width="${(right - left + 1) * wide - 2}" height="${(bottom - top + 1) * tall - 2}" rx="3"/>`;
  }

  /** A line through spots in the order in which they are met, with an arrow at its end. @param {(Index | [number, number] | null)[]} spots */
  path(spots) {
    const [tall, wide] = this.size ?? [1, 1];
    // along the lower edge of the cells, so that the numbers stay free
    const points = spots.filter((spot) => spot !== null).map((spot) => {
      const [row, column] = spot.slice(-2);
      return [(column * this.across.step + this.across.start + 0.5) * wide, (row * this.down.step + this.down.start + 0.86) * tall];
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
    const cell = index && index[0] === this.channel ? this.#cell(index[1], index[2]) : this.focusable ?? this.cells[0];
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

/**
 * The shown channels' meetings as walks that can be drawn as a line. An input that is read at several places, because the
 * padding repeats it, has a walk for each.
 * @param {Store} store
 */
function walks({ meetings, view, at }) {
  const shown = meetings.filter((meeting) => meeting.w[0] === view.weights);
  if (shown.length > ORDERED) return [];
  return kindOf(at.array) === "x" ? [...Map.groupBy(shown, (meeting) => `${meeting.place}`).values()] : [shown];
}

/** Which entry stands at a spot of a side, null for padding and holes. @param {Side} side @param {number} spot */
function entryAt({ start, step, entries }, spot) {
  const n = (spot - start) / step;
  return Number.isInteger(n) && n >= 0 && n < entries ? n : null;
}

/**
 * The six grids together: how large their cells are, which of them light up, and what the pointer and the keys do.
 */

import { get } from "./dom.js";
import { shapes } from "./geometry.js";
import { Grid } from "./grid.js";
import { NAMES, kindOf } from "./link.js";
import { FACTORS } from "./words.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./link.js").Name} Name */
/** @typedef {import("./definition.js").Index} Index */

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
      const cell = (/** @type {number} */ units, /** @type {number} */ columns) =>
        (room - (columns - 1) * gap - 3 * columns) / units;
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
        if (kindOf(name) === "x")
          this.all.get(name)?.markPlace(meeting.place, index, "met", number, meeting.w[0] === view.weights);
      }
      const shadow = this.all.get(kindOf(at.array) === "y" ? (at.array === "gy" ? "x" : "gx") : "y");
      const index = meeting[kindOf(shadow?.name ?? "y")];
      if (index && at.array !== "y") shadow?.mark(index, "faint");
      if (kindOf(at.array) === "x") {
        for (const name of /** @type {Name[]} */ (["x", "gx"]))
          this.all.get(name)?.markPlace(meeting.place, at.index, "met", 0, true);
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
      for (const name of /** @type {Name[]} */ (at.array === "y" ? ["x"] : ["x", "gx"]))
        this.all.get(name)?.frame("y", at.index);
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
      const again =
        at.array === spot.grid.name && `${at.index}` === `${spot.index}` && document.activeElement === spot.cell;
      store.choose({ array: spot.grid.name, index: spot.index });
      spot.grid.focus(spot.index);
      if (again) spot.grid.edit(spot.index);
    });
    root.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
      const spot = found(event);
      if (spot && /** @type {HTMLElement} */ (event.target).matches(":focus-visible[role=gridcell]")) {
        const { at } = store.setting;
        if (at.array !== spot.grid.name || `${at.index}` !== `${spot.index}`)
          store.choose({ array: spot.grid.name, index: spot.index });
      }
    });
    root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const spot = found(event);
      if (
        !spot ||
        !(/** @type {HTMLElement} */ (event.target).matches("[role=gridcell]")) ||
        event.ctrlKey ||
        event.metaKey ||
        event.altKey
      )
        return;
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

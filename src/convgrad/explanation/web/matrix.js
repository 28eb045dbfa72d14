/**
 * The layer as a matrix. Linear in x: y = A x, and gx = Aᵀ gy. Linear in w, by writing the windows out (im2col): y = X w,
 * and gw = Xᵀ gy. `matrices` computes; `Matrix` draws and can be pointed at.
 */

import { OUTSIDE } from "./boundary.js";
import { outside, reads } from "./definition.js";
import { outputs, shapes } from "./geometry.js";
import { get } from "./dom.js";
import { kindOf } from "./link.js";
import { count, written } from "./numbers.js";
import { entryName, entryText, flat, valueAt } from "./words.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./definition.js").Index} Index */
/** @typedef {import("./link.js").Name} Name */
/** @typedef {{ result: Name, factor: Name, of: "w" | "x", transposed: boolean, title: string }} View */

/** @type {Record<string, View>} */
const VIEWS = {
  A: {
    result: "y",
    factor: "x",
    of: "w",
    transposed: false,
    title: "y = A x: each row of A holds the kernel forwards",
  },
  At: {
    result: "gx",
    factor: "gy",
    of: "w",
    transposed: true,
    title: "gx = Aᵀ gy: each row of Aᵀ holds the kernel backwards. The flip is a transpose",
  },
  X: {
    result: "y",
    factor: "w",
    of: "x",
    transposed: false,
    title: "y = X w: each row of X is one window, written out (im2col)",
  },
  Xt: {
    result: "gw",
    factor: "gy",
    of: "x",
    transposed: true,
    title: "gw = Xᵀ gy: each row of Xᵀ is all that one weight meets",
  },
};

/**
 * The entries of A or X for one pair of channels: for each output (row) and input or tap (column), the meetings there.
 * @param {import("./geometry.js").Geometry} g @param {"w" | "x"} of
 * @returns {Map<number, { k: [number, number], i: [number, number] | null }[]>} by row * columns + column
 */
export function matrixEntries(g, of) {
  const [rows, columns] = g.axes;
  const wide = outputs(columns);
  const across = of === "w" ? rows.input * columns.input : rows.kernel * columns.kernel;
  /** @type {Map<number, { k: [number, number], i: [number, number] | null }[]>} */
  const entries = new Map();
  const right = reads(g, 1);
  for (const r of reads(g, 0)) {
    for (const c of right) {
      const inside = r.i !== OUTSIDE && c.i !== OUTSIDE;
      if (!inside && of === "w") continue;
      const column = of === "w" ? r.i * columns.input + c.i : r.k * columns.kernel + c.k;
      const key = (r.o * wide + c.o) * across + column;
      const entry = {
        k: /** @type {[number, number]} */ ([r.k, c.k]),
        i: /** @type {[number, number] | null} */ (inside ? [r.i, c.i] : null),
      };
      const found = entries.get(key);
      if (found) found.push(entry);
      else entries.set(key, [entry]);
    }
  }
  return entries;
}

export class Matrix {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.canvas = get("matrix");
    this.name = "A";
    /** @type {[number, number] | null} row and column that are pointed at */
    this.pointed = null;
    this.visible = false;
    for (const name of Object.keys(VIEWS))
      get(`matrix-${name}`).addEventListener("change", () => {
        this.name = name;
        this.pointed = null;
        this.#build();
      });
    store.on("geometry", () => this.#build());
    store.on("numbers", () => this.#soon());
    store.on("look", () => this.#soon());
    document.addEventListener("theme", () => this.#soon());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#soon());
    new IntersectionObserver(
      ([entry]) => {
        this.visible = entry.isIntersecting;
        this.#soon();
      },
      { rootMargin: "200px" },
    ).observe(this.canvas);
    new ResizeObserver(() => this.#soon()).observe(get("matrix-scroll"));
    addEventListener("beforeprint", () => this.#paint());
    this.#listen();
  }

  get view() {
    return VIEWS[this.name];
  }

  #build() {
    const { g } = this.store;
    const { of, transposed, title } = this.view;
    const size = shapes(g);
    this.entries = matrixEntries(g, of);
    this.tall = count(size.y.slice(1));
    this.wide = count((of === "w" ? size.x : size.w).slice(1));
    get("matrix-title").textContent = title;
    const several =
      g.inChannels * g.outChannels > 1
        ? " Shown for the open pair of channels; with several, each pair has such a block."
        : "";
    get("matrix-size").textContent =
      `${transposed ? `${this.wide} × ${this.tall}` : `${this.tall} × ${this.wide}`}, ${this.entries.size} of ${this.tall * this.wide} entries hold ${of === "w" ? "a weight" : "an input"}; the rest are 0.${several}`;
    this.#soon();
  }

  /** Draw with the next picture that the browser shows, if at all. */
  #soon() {
    if (this.waiting || !this.visible) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#paint();
    });
  }

  /** Rows and columns as drawn. */
  get #extent() {
    const [tall, wide] = [this.tall ?? 1, this.wide ?? 1];
    return this.view.transposed ? [wide, tall] : [tall, wide];
  }

  /** @param {number} row @param {number} column */
  #at(row, column) {
    const [r, c] = this.view.transposed ? [column, row] : [row, column];
    return this.entries?.get(r * (this.wide ?? 1) + c);
  }

  /**
   * The index in an array of an entry of the vector at the left or at the right.
   * @param {Name} name
   * @param {number} n
   * @returns {Index}
   */
  #index(name, n) {
    const { g, view } = this.store;
    const kind = kindOf(name);
    const [, , columns] = shapes(g)[kind];
    return [{ x: view.in, w: view.weights, y: view.out }[kind], Math.floor(n / columns), n % columns];
  }

  /** @param {{ k: [number, number], i: [number, number] | null }} entry */
  #value({ k, i }) {
    const { store } = this;
    if (this.view.of === "w") return valueAt(store, "w", [store.view.weights, ...k]);
    return i ? valueAt(store, "x", [store.view.in, ...i]) : outside(store.g);
  }

  /** @param {{ k: [number, number], i: [number, number] | null }} entry */
  #text({ k, i }) {
    const { store } = this;
    if (this.view.of === "w") return entryText(store, "w", [store.view.weights, ...k]);
    return i ? entryText(store, "x", [store.view.in, ...i]) : written(outside(store.g));
  }

  #paint() {
    const { canvas, store, view } = this;
    const [rows, columns] = this.#extent;
    const room = get("matrix-scroll").clientWidth - 2;
    const gap = 3; // cells of air around the signs
    const size = Math.max(3, Math.min(30, Math.floor(room / (columns + 2 + gap))));
    this.size = size;
    const [width, height] = [
      size * (columns + 2 + gap),
      size * Math.max(rows, columns > rows && view.transposed ? columns : rows, columns),
    ];
    const density = devicePixelRatio || 1;
    canvas.width = width * density;
    canvas.height = height * density;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(density, density);
    const style = getComputedStyle(canvas);
    const colour = (/** @type {string} */ name) => resolved(canvas, name);
    const [ink, rule, card, quiet] = ["--ink", "--rule", "--card", "--quiet"].map(colour);
    const hue = colour(`--${view.of}`);
    const hues = { result: colour(`--${kindOf(view.result)}`), factor: colour(`--${kindOf(view.factor)}`) };
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const font = (/** @type {string} */ text) => {
      pen.font = `${Math.max(6, Math.min(size * 0.45, (size - 2) / (text.length * 0.58)))}px ${style.fontFamily}`;
    };
    const cell = (
      /** @type {number} */ x,
      /** @type {number} */ y,
      /** @type {string} */ text,
      /** @type {string} */ fill,
      /** @type {number} */ strength,
    ) => {
      pen.fillStyle = card;
      pen.fillRect(x, y, size, size);
      pen.globalAlpha = strength;
      pen.fillStyle = fill;
      pen.fillRect(x, y, size, size);
      pen.globalAlpha = 1;
      if (size >= 14) {
        pen.fillStyle = ink;
        font(text);
        pen.fillText(text, x + size / 2, y + size / 2 + 0.5);
      }
    };
    const marked = this.#marked();
    const left = 2 * size,
      right = (columns + 4) * size - size;
    for (let row = 0; row < rows; row++) {
      cell(
        0,
        row * size,
        entryText(store, view.result, this.#index(view.result, row)),
        hues.result,
        row === marked.row ? 0.55 : 0.14,
      );
      for (let column = 0; column < columns; column++) {
        const found = this.#at(row, column);
        const on = row === marked.row || column === marked.column;
        if (found) {
          const text =
            found.length > 1 && !store.letters
              ? written(found.reduce((sum, each) => sum + this.#value(each), 0))
              : found.map((each) => this.#text(each)).join("+");
          cell(left + column * size, row * size, text, hue, on ? 0.6 : 0.22);
        } else if (on && size > 3) {
          pen.globalAlpha = 0.1;
          pen.fillStyle = quiet;
          pen.fillRect(left + column * size, row * size, size, size);
          pen.globalAlpha = 1;
        }
      }
    }
    for (let n = 0; n < columns; n++) {
      cell(
        right,
        n * size,
        entryText(store, view.factor, this.#index(view.factor, n)),
        hues.factor,
        n === marked.column ? 0.55 : 0.14,
      );
    }
    pen.strokeStyle = rule;
    pen.lineWidth = 1;
    if (size >= 8) {
      for (const [x, tall, wide] of [
        [0, rows, 1],
        [left, rows, columns],
        [right, columns, 1],
      ]) {
        for (let n = 0; n <= tall; n++) line(pen, x, n * size, x + wide * size, n * size);
        for (let n = 0; n <= wide; n++) line(pen, x + n * size, 0, x + n * size, tall * size);
      }
    }
    pen.fillStyle = ink;
    pen.font = `${Math.max(12, size * 0.6)}px ${style.fontFamily}`;
    pen.fillText("=", 1.5 * size, (Math.min(rows, 12) * size) / 2);
    pen.fillText("·", right - size / 2, (Math.min(rows, 12) * size) / 2);
    if (this.pointed) {
      pen.strokeStyle = ink;
      pen.lineWidth = 2;
      pen.strokeRect(
        left + this.pointed[1] * size + 1,
        this.pointed[0] * size + 1,
        Math.max(1, size - 2),
        Math.max(1, size - 2),
      );
    }
  }

  /** Which row and column belong to what is looked at. */
  #marked() {
    const { store, view } = this;
    if (this.pointed) return { row: this.pointed[0], column: this.pointed[1] };
    const { array, index } = store.at;
    const place = flat(shapes(store.g)[kindOf(array)].with(0, 1), [0, index[1], index[2]]);
    return {
      row: kindOf(array) === kindOf(view.result) ? place : -1,
      column: kindOf(array) === kindOf(view.factor) ? place : -1,
    };
  }

  /** @param {[number, number] | null} spot */
  #point(spot) {
    if (`${spot}` === `${this.pointed}`) return;
    this.pointed = spot;
    this.#soon();
    const said = get("matrix-said");
    if (!spot) {
      said.textContent = "";
      return;
    }
    const { store, view } = this;
    const [row, column] = spot;
    const found = this.#at(row, column);
    const [result, factor] = [
      entryName(store, view.result, this.#index(view.result, row)),
      entryName(store, view.factor, this.#index(view.factor, column)),
    ];
    const what = (/** @type {{ k: [number, number], i: [number, number] | null }} */ each) =>
      view.of === "w"
        ? entryName(store, "w", [store.view.weights, ...each.k])
        : each.i
          ? entryName(store, "x", [store.view.in, ...each.i])
          : "padding";
    said.textContent = found
      ? `${result} takes ${factor} times ${found.map(what).join(" + ")} = ${found.map((each) => this.#text(each)).join(" + ")}`
      : `${result} and ${factor} never meet: 0`;
  }

  #listen() {
    const { canvas, store } = this;
    const spot = (/** @type {MouseEvent} */ event) => {
      const [rows, columns] = this.#extent;
      const size = this.size ?? 1;
      const [row, column] = [Math.floor(event.offsetY / size), Math.floor(event.offsetX / size) - 2];
      return row >= 0 && row < rows && column >= 0 && column < columns
        ? /** @type {[number, number]} */ ([row, column])
        : null;
    };
    canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.#point(spot(event)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    const choose = () => {
      if (this.pointed)
        store.choose({ array: this.view.result, index: this.#index(this.view.result, this.pointed[0]) });
    };
    canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      this.#point(spot(event));
      choose();
    });
    canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const [rows, columns] = this.#extent;
      const [row, column] = this.pointed ?? [0, 0];
      const moves = {
        ArrowLeft: [row, column - 1],
        ArrowRight: [row, column + 1],
        ArrowUp: [row - 1, column],
        ArrowDown: [row + 1, column],
      };
      const aim = moves[/** @type {keyof typeof moves} */ (event.key)];
      if (event.key === "Enter" || event.key === " ") choose();
      else if (!aim) return;
      else this.#point([Math.min(Math.max(aim[0], 0), rows - 1), Math.min(Math.max(aim[1], 0), columns - 1)]);
      event.preventDefault();
    });
    canvas.addEventListener("blur", () => this.#point(null));
  }
}

/** @param {CanvasRenderingContext2D} pen @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function line(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0 + 0.5, y0 + 0.5);
  pen.lineTo(x1 + 0.5, y1 + 0.5);
  pen.stroke();
}

/** The colour that a custom property has here, light or dark. @param {HTMLElement} element @param {string} name */
export function resolved(element, name) {
  const { color } = element.style;
  element.style.color = `var(${name})`;
  const found = getComputedStyle(element).color;
  element.style.color = color;
  return found;
}

/**
 * A real image under a filter: x, y and gx as pictures, for a loss that one can choose. The numbers come from the same
 * relation as everywhere, with the stride, dilation and boundary mode of the page and padding that keeps the size.
 */

import { OUTSIDE, land } from "./boundary.js";
import { get } from "./dom.js";
import { outputs, shapes } from "./geometry.js";
import { resolved } from "./matrix.js";
import { flat } from "./words.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {{ width: number, height: number, data: Float64Array }} Plane */

const LARGEST = 224; // pixels of a side

/** @type {Record<string, number[][]>} */
const FILTERS = {
  "edges, left to right": [
    [-1, 0, 1],
    [-2, 0, 2],
    [-1, 0, 1],
  ],
  "edges, top to bottom": [
    [-1, -2, -1],
    [0, 0, 0],
    [1, 2, 1],
  ],
  outline: [
    [0, 1, 0],
    [1, -4, 1],
    [0, 1, 0],
  ],
  blur: [
    [1, 2, 1],
    [2, 4, 2],
    [1, 2, 1],
  ].map((row) => row.map((n) => n / 16)),
  "shift right": [
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0],
  ],
};
const OWN = "w from the grid above";

/**
 * One image under one filter, forward and back. gy is the loss's derivative by y.
 * @param {Plane} x @param {number[][]} w @param {import("./geometry.js").Geometry} g @param {"square" | "sum" | "point"} loss
 */
export function filtered(x, w, g, loss) {
  const axes = g.axes.map((axis, n) => {
    const kernel = n ? w[0].length : w.length;
    const { stride, dilation } = g.rank === 1 ? g.axes[1] : axis;
    const room = (kernel - 1) * dilation;
    const [before, input] = [room >> 1, n ? x.width : x.height];
    return { input, kernel, stride, dilation, before, after: room - before };
  });
  const tables = axes.map((axis) =>
    Array.from({ length: outputs(axis) }, (_, o) =>
      Array.from({ length: axis.kernel }, (_, k) =>
        land(g.mode, o * axis.stride + (g.flip ? axis.kernel - 1 - k : k) * axis.dilation - axis.before, axis.input),
      ),
    ),
  );
  const [down, across] = tables;
  const y = { width: across.length, height: down.length, data: new Float64Array(across.length * down.length) };
  const gx = { width: x.width, height: x.height, data: new Float64Array(x.data.length) };
  const given = g.mode === "constant" ? g.value : 0;
  const each = (/** @type {(i: number, weight: number, o: number) => void} */ visit) =>
    down.forEach((rows, r) =>
      across.forEach((columns, c) =>
        rows.forEach((i, a) =>
          columns.forEach((j, b) =>
            visit(i === OUTSIDE || j === OUTSIDE ? OUTSIDE : i * x.width + j, w[a][b], r * y.width + c),
          ),
        ),
      ),
    );
  each((i, weight, o) => {
    y.data[o] += weight * (i === OUTSIDE ? given : x.data[i]);
  });
  const middle = (y.height >> 1) * y.width + (y.width >> 1);
  const gy = y.data.map((value, o) => (loss === "square" ? value : loss === "sum" ? 1 : Number(o === middle)));
  each((i, weight, o) => {
    if (i !== OUTSIDE) gx.data[i] += weight * gy[o];
  });
  return { y, gx };
}

export class Picture {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    /** @type {Plane | null} none yet: the sample, drawn when it is first seen */
    this.image = null;
    this.visible = false;
    get("filter").append(...[...Object.keys(FILTERS), OWN].map((name) => new Option(name, name)));
    for (const id of ["filter", "loss"]) get(id).addEventListener("change", () => this.#soon());
    get("file").addEventListener("change", (/** @type {any} */ event) => this.#open(event.target.files[0]));
    get("sample").addEventListener("click", () => {
      this.image = sample();
      get("picture-fault").textContent = "";
      this.#soon();
    });
    store.on("geometry", () => this.#soon());
    store.on("numbers", () => this.#soon());
    document.addEventListener("theme", () => this.#soon());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#soon());
    new IntersectionObserver(
      ([entry]) => {
        this.visible = entry.isIntersecting;
        this.#soon();
      },
      { rootMargin: "200px" },
    ).observe(get("picture"));
    addEventListener("beforeprint", () => this.#draw());
    const zone = document.body;
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      get("picture").classList.add("over");
    });
    zone.addEventListener("dragleave", () => get("picture").classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      get("picture").classList.remove("over");
      const file = event.dataTransfer?.files[0];
      if (file) {
        this.#open(file);
        get("picture").scrollIntoView();
      }
    });
  }

  /** @param {File | undefined} file */
  async #open(file) {
    if (!file) return;
    try {
      const bitmap = await createImageBitmap(file);
      const shrink = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
      this.image = grey(
        Math.max(1, Math.round(bitmap.width * shrink)),
        Math.max(1, Math.round(bitmap.height * shrink)),
        (pen, width, height) => pen.drawImage(bitmap, 0, 0, width, height),
      );
      get("picture-fault").textContent = "";
    } catch {
      get("picture-fault").textContent =
        `${file.name}: is no picture that this browser can read; accepted: PNG, JPEG, WebP and the like`;
    }
    this.#soon();
  }

  #soon() {
    if (this.waiting || !this.visible) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
    });
  }

  /** @returns {number[][]} */
  #weights() {
    const { store } = this;
    if (get("filter").value !== OWN) return FILTERS[get("filter").value];
    const shape = shapes(store.g).w;
    return Array.from({ length: shape[1] }, (_, a) =>
      Array.from({ length: shape[2] }, (_, b) => store.setting.arrays.w[flat(shape, [store.view.weights, a, b])]),
    );
  }

  #draw() {
    this.image ??= sample();
    const weights = this.#weights();
    const { y, gx } = filtered(this.image, weights, this.store.g, get("loss").value);
    paint(get("picture-x"), this.image, false);
    paint(get("picture-y"), y, true);
    paint(get("picture-gx"), gx, true);
    get("picture-sizes").textContent =
      `${this.image.height} × ${this.image.width} pixels, ${weights.length} × ${weights[0].length} taps, ${y.height} × ${y.width} outputs`;
  }
}

/** A picture that needs no file: a letter, a disc and a ramp. */
function sample() {
  return grey(160, 120, (pen, width, height) => {
    const sky = pen.createLinearGradient(0, 0, width, 0);
    sky.addColorStop(0, "#fff");
    sky.addColorStop(1, "#aaa");
    pen.fillStyle = sky;
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = "#222";
    pen.font = `italic 700 ${height * 0.95}px Georgia, "DejaVu Serif", serif`;
    pen.fillText("∂x", width * 0.05, height * 0.84);
    pen.fillStyle = "#777";
    pen.beginPath();
    pen.arc(width * 0.86, height * 0.2, height * 0.12, 0, 7);
    pen.fill();
  });
}

/**
 * @param {number} width
 * @param {number} height
 * @param {(pen: CanvasRenderingContext2D, width: number, height: number) => void} draw
 * @returns {Plane}
 */
function grey(width, height, draw) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  draw(pen, width, height);
  const { data } = pen.getImageData(0, 0, width, height);
  return {
    width,
    height,
    data: Float64Array.from(
      { length: width * height },
      (_, n) => (0.2126 * data[4 * n] + 0.7152 * data[4 * n + 1] + 0.0722 * data[4 * n + 2]) / 255,
    ),
  };
}

/**
 * Grey from black to white; signed: orange above zero, blue below, paper at zero.
 * @param {HTMLCanvasElement} canvas
 * @param {Plane} plane
 * @param {boolean} signed
 */
function paint(canvas, { width, height, data }, signed) {
  canvas.width = width;
  canvas.height = height;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = pen.createImageData(width, height);
  const most = Math.max(1e-12, ...strongest(data));
  const [paper, above, below] = ["--card", "--orange-fill", "--blue-fill"].map((name) =>
    channels(resolved(canvas, name)),
  );
  data.forEach((value, n) => {
    const share = Math.min(1, Math.abs(value) / most);
    const ink = value > 0 ? above : below;
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = signed ? paper[c] + (ink[c] - paper[c]) * share : 255 * value;
    image.data[4 * n + 3] = 255;
  });
  pen.putImageData(image, 0, 0);
}

/**
 * The size that almost all values stay below, so that a few strong ones do not leave the rest pale.
 * @param {Float64Array} data
 */
function strongest(data) {
  const sizes = data.map(Math.abs).sort();
  return [sizes[Math.floor((sizes.length - 1) * 0.995)] || sizes[sizes.length - 1]];
}

/** @param {string} colour   as computed: rgb(…) */
const channels = (colour) => (colour.match(/[\d.]+/g) ?? ["0", "0", "0"]).slice(0, 3).map(Number);

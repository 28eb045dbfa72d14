/**
 * One axis of the layer and its gradients as three sliding strips, drawn over the same places: what is a hole and what
 * is a step in each, and how stride and dilation trade places in the weight gradient.
 */

import { OUTSIDE, land } from "./boundary.js";
import { outputs, source } from "./geometry.js";
import { get, make } from "./dom.js";
import { kindOf } from "./link.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {{ array: "y" | "gw" | "gx", base: "x" | "gy", kernel: "w" | "gy" }} Role */

/** @type {Role[]} */
const ROLES = [
  { array: "y", base: "x", kernel: "w" },
  { array: "gw", base: "x", kernel: "gy" },
  { array: "gx", base: "gy", kernel: "w" },
];

export class Strips {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.axis = 1;
    this.least = 0; // the place at which the drawings begin
    this.visible = true;
    this.parts = ROLES.map((role) => {
      const id = `slide-${role.array}`;
      const slider = make("input", { type: "range", id, min: 0, step: 1, "aria-label": `position of ${role.array}` });
      const picture = make("div", { class: "strip", "aria-hidden": "true" });
      const words = make("p", { class: "note" });
      slider.addEventListener("input", () => this.#slide(role, Number(slider.value)));
      get("strips").append(
        make(
          "div",
          { class: "slide", "data-array": role.array },
          words,
          picture,
          make("label", { for: id, class: "visually-hidden", text: `position of ${role.array}` }),
          slider,
        ),
      );
      return { role, slider, picture, words };
    });
    for (const axis of [0, 1])
      get(`strip-axis-${axis}`).addEventListener("change", () => {
        this.axis = axis;
        this.#draw();
      });
    store.on("geometry", () => {
      get("strip-axes").hidden = store.g.rank === 1;
      if (store.g.rank === 1) {
        this.axis = 1;
        get("strip-axis-1").checked = true;
        get("slides-beside").append(get("slides")); // flat grids leave room below them
      } else get("bench").after(get("slides"));
      this.#draw();
    });
    store.on("step", () => this.#move());
    new IntersectionObserver(([entry]) => {
      this.visible = entry.isIntersecting;
      this.#move();
    }).observe(get("strips"));
    addEventListener("beforeprint", () => {
      this.visible = true;
      this.#move();
    });
  }

  /**
   * Where each role stands: the entry that is looked at, or what the shown meeting has to do with it.
   * @param {Role} role
   */
  #position({ array }) {
    const { store, axis } = this;
    const kind = kindOf(array);
    const meeting = store.meetings[store.step ?? 0];
    const index = kindOf(store.at.array) === kind ? store.at.index : (meeting?.[kind] ?? null);
    return index ? index[axis + 1] : 0;
  }

  /** @param {Role} role @param {number} value */
  #slide({ array }, value) {
    const { store, axis } = this;
    const same = kindOf(store.at.array) === kindOf(array);
    const index = /** @type {import("./definition.js").Index} */ (
      same
        ? [...store.at.index]
        : [kindOf(array) === "x" ? store.view.in : kindOf(array) === "w" ? store.view.weights : store.view.out, 0, 0]
    );
    index[axis + 1] = value;
    store.choose({ array, index });
  }

  #draw() {
    const { g } = this.store;
    const a = g.axes[this.axis];
    const reach = (a.kernel - 1) * a.dilation;
    this.least = -a.before - reach;
    const columns = a.input + a.after + reach - this.least;
    for (const { role, slider, picture, words } of this.parts) {
      const base = role.base === "x" ? this.#inputs() : this.#gradients(0);
      picture.style.setProperty("--columns", `${columns}`);
      picture.innerHTML = `<div class="base ${role.base.at(-1)}">${base.map((cell) => spot(cell, this.least)).join("")}</div><div class="kernel ${role.kernel.at(-1)}"></div>`;
      slider.max = `${(role.array === "y" ? outputs(a) : role.array === "gw" ? a.kernel : a.input) - 1}`;
      words.innerHTML = sentence(role, a, g.flip);
    }
    this.#move();
  }

  #move() {
    if (!this.visible) return;
    const { g } = this.store;
    const a = g.axes[this.axis];
    for (const { role, slider, picture } of this.parts) {
      const at = this.#position(role);
      slider.value = `${at}`;
      slider.setAttribute("aria-valuetext", `${role.array}[${at}]`);
      const taps = Array.from({ length: a.kernel }, (_, k) => k);
      const cells =
        role.array === "y"
          ? taps.map((k) => ({ at: source(g, a, at, k), text: `${k}` }))
          : role.array === "gw"
            ? this.#gradients(source(g, a, 0, at) + a.before)
            : taps.map((k) => ({ at: at - (g.flip ? a.kernel - 1 - k : k) * a.dilation, text: `${k}` }));
      picture.lastChild.innerHTML = withHoles(cells)
        .map((cell) => spot(cell, this.least))
        .join("");
    }
  }

  /** The places of x, padding included. */
  #inputs() {
    const { g } = this.store;
    const a = g.axes[this.axis];
    return Array.from({ length: a.before + a.input + a.after }, (_, n) => {
      const i = land(g.mode, n - a.before, a.input);
      const inside = n >= a.before && n < a.before + a.input;
      return { at: n - a.before, text: i === OUTSIDE ? "" : `${i}`, style: inside ? "" : "ghost" };
    });
  }

  /** The entries of gy, a stride apart. @param {number} offset */
  #gradients(offset) {
    const a = this.store.g.axes[this.axis];
    return withHoles(
      Array.from({ length: outputs(a) }, (_, o) => ({ at: o * a.stride - a.before + offset, text: `${o}` })),
    );
  }
}

/** @param {{ at: number, text: string, style?: string }[]} cells */
function withHoles(cells) {
  const filled = new Map(cells.map((cell) => [cell.at, cell]));
  const places = [...filled.keys()];
  const [least, most] = [Math.min(...places), Math.max(...places)];
  return Array.from(
    { length: most - least + 1 },
    (_, n) => filled.get(least + n) ?? { at: least + n, text: "", style: "hole" },
  );
}

/** @param {{ at: number, text: string, style?: string }} cell @param {number} least */
const spot = ({ at, text, style = "" }, least) => `<i class="${style}" style="--n:${at - least}">${text}</i>`;

/** @param {Role} role @param {import("./geometry.js").Axis} a @param {boolean} flip */
function sentence({ array }, { stride, dilation }, flip) {
  const holes = (/** @type {number} */ number, /** @type {string} */ name) =>
    number > 1 ? `holes in it: ${name} ${number}` : `no holes in it: ${name} 1`;
  const w = '<b class="w">w</b>',
    x = '<b class="x">x</b>',
    gy = '<b class="y">gy</b>';
  if (array === "y")
    return `<b class="y">y</b>: ${w}${flip ? ", flipped," : ""} slides over ${x}; ${holes(dilation, "dilation")}; each step: stride ${stride}.`;
  if (array === "gw")
    return `<b class="w">gw</b>: ${gy} slides over ${x}; ${holes(stride, "stride")}; each step: dilation ${dilation}.${stride !== dilation ? " <em>They have traded places.</em>" : ""}`;
  return `<b class="x">gx</b>: ${w}${flip ? "" : ", backwards,"} slides over ${gy}; ${[dilation > 1 ? `holes in w: dilation ${dilation}` : "", stride > 1 ? `holes in gy: stride ${stride}` : ""].filter(Boolean).join("; ") || "no holes"}; each step: 1.`;
}

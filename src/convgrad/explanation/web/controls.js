/** The controls: sizes and options, where the numbers come from, ready-made settings, light and dark. */

import { MODES } from "./boundary.js";
import { LIMITS, POINT, shownAxes } from "./geometry.js";
import { get, make } from "./dom.js";
import { decode } from "./link.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./geometry.js").Geometry} Geometry */
/** @typedef {keyof import("./geometry.js").Axis} AxisField */

/** Settings worth a click: what it is called, and its link. */
export const PRESETS = [
  ["The note’s five letters", "i5.k2.p1&letters&at=gx,0,0,1"],
  ["The flip", "i5x5.k3x3.p1&random=1&at=gx,0,2,2"],
  ["Digits", "i5.k3&digits&at=gx,0,0,2"],
  ["Stride leaves holes", "i7x7.k3x3.s2.p1&random=3&at=gx,0,3,3"],
  ["Dilation too", "i9.k3.d2.s3.p1&random=4&at=gw,0,0,1"],
  ["Unread pixels", "i8x8.k3x3.s3&random=6&at=x,0,7,7"],
  ["Reflected border", "i5x5.k3x3.p1&mode=reflect&random=2&at=gx,0,1,1"],
  ["Circular", "i6.k3.p2&mode=circular&random=2&at=gx,0,0,5"],
  ["Groups", "i4x4.k2x2.ic4.oc4.g2&random=5&at=gx,1,1,1"],
  ["True convolution", "i5x5.k3x3.p1&flip&random=1&at=gx,0,2,2"],
];

/** @type {[AxisField, string, string][]} */
const FIELDS = [
  ["input", "input", "positions along an axis"],
  ["kernel", "kernel", "taps along an axis"],
  ["stride", "stride", "how far the window steps"],
  ["dilation", "dilation", "distance between taps"],
  ["before", "pad before", "positions added before the input"],
  ["after", "pad after", "positions added after the input"],
];

export class Controls {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.together = shownAxes(store.g).every((axis, _, all) => JSON.stringify(axis) === JSON.stringify(all[0]));
    this.#presets();
    this.#options();
    this.#numbers();
    this.#theme();
    get("settings").open = !matchMedia("(max-width: 40rem)").matches;
    store.on("geometry", () => this.#show());
    store.on("numbers", () => this.#showSource());
  }

  /** Try a geometry; say why where it is none. @param {(g: Geometry) => Geometry} change */
  #try(change) {
    const g = change(structuredClone(this.store.g));
    const wrong = this.store.reshape(g);
    get("fault").textContent = wrong;
    if (wrong) this.#show();
  }

  #presets() {
    const buttons = PRESETS.map(([name, link]) =>
      make("button", {
        type: "button",
        text: name,
        onclick: () => {
          get("fault").textContent = "";
          const setting = decode(link);
          this.together = shownAxes(setting.g).every((axis, _, all) => JSON.stringify(axis) === JSON.stringify(all[0]));
          this.store.load(setting);
        },
      }),
    );
    get("presets").append(...buttons);
  }

  #options() {
    for (const rank of /** @type {const} */ ([1, 2])) {
      get(`rank-${rank}`).addEventListener("change", () => {
        this.together = true;
        this.#try((g) => {
          const axis = g.axes[1];
          const most = LIMITS[rank].input;
          const fitted = { ...axis, input: Math.min(axis.input, most) };
          return { ...g, rank, axes: rank === 1 ? [{ ...POINT }, fitted] : [{ ...fitted }, fitted] };
        });
      });
    }
    get("together").addEventListener("change", (/** @type {any} */ event) => {
      this.together = event.target.checked;
      if (this.together) this.#try((g) => ({ ...g, axes: [{ ...g.axes[1] }, g.axes[1]] }));
      this.#show();
    });
    /** @type {Map<string, HTMLInputElement>} */
    this.inputs = new Map();
    get("sizes").append(
      ...FIELDS.map(([field, name, meaning]) => {
        const steppers = [0, 1].map((axis) =>
          this.#stepper(
            `${field}-${axis}`,
            `${name}, ${axis ? "columns" : "rows"}`,
            field === "before" || field === "after" ? 0 : 1,
            (value) => this.#setAxis(field, axis, value),
          ),
        );
        return make("div", { class: "option", title: meaning }, make("span", { text: name }), ...steppers);
      }),
    );
    const channels = /** @type {const} */ ([
      ["inChannels", "channels in"],
      ["outChannels", "channels out"],
      ["groups", "groups"],
    ]);
    get("channels").append(
      ...channels.map(([field, name]) =>
        make(
          "div",
          { class: "option" },
          make("span", { text: name }),
          this.#stepper(field, name, 1, (value) => this.#setChannels(field, value)),
        ),
      ),
    );
    get("mode").append(...MODES.map((mode) => make("option", { value: mode, text: mode })));
    get("mode").addEventListener("change", (/** @type {any} */ event) =>
      this.#try((g) => ({ ...g, mode: event.target.value })),
    );
    get("value").addEventListener("change", (/** @type {any} */ event) =>
      this.#try((g) => ({ ...g, value: Number(event.target.value) })),
    );
    get("flip").addEventListener("change", (/** @type {any} */ event) =>
      this.#try((g) => ({ ...g, flip: event.target.checked })),
    );
  }

  /** @param {AxisField} field @param {number} axis @param {number} value */
  #setAxis(field, axis, value) {
    this.#try((g) => {
      g.axes[axis][field] = value;
      if (this.together && g.rank === 2) g.axes[1 - axis][field] = value;
      return g;
    });
  }

  /**
   * Groups must divide the channels: what cannot stay follows.
   * @param {"inChannels" | "outChannels" | "groups"} field
   * @param {number} value
   */
  #setChannels(field, value) {
    this.#try((g) => {
      g[field] = value;
      if (value > LIMITS.channels || value < 1) return g;
      if (field === "groups") {
        const fits = (/** @type {number} */ n) =>
          Math.min(Math.floor(LIMITS.channels / value), Math.max(1, Math.ceil(n / value))) * value;
        return { ...g, inChannels: fits(g.inChannels), outChannels: fits(g.outChannels) };
      }
      while (g.inChannels % g.groups || g.outChannels % g.groups) g.groups -= 1;
      return g;
    });
  }

  /**
   * A number with a button on either side.
   * @param {string} id
   * @param {string} label
   * @param {number} least
   * @param {(value: number) => void} set
   */
  #stepper(id, label, least, set) {
    const input = make("input", { id, type: "number", min: least, "aria-label": label, inputmode: "numeric" });
    const step = (/** @type {number} */ by) => () => set(Math.max(least, Number(input.value) + by));
    input.addEventListener("change", () => set(Math.round(Number(input.value))));
    this.inputs?.set(id, input);
    const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {number} */ by) =>
      make("button", { type: "button", tabindex: -1, "aria-label": `${name} ${label}`, text, onclick: step(by) });
    return make("span", { class: "stepper", "data-for": id }, button("−", "less", -1), input, button("+", "more", 1));
  }

  #show() {
    const { g } = this.store;
    get(`rank-${g.rank}`).checked = true;
    get("together").checked = this.together;
    get("together-label").hidden = g.rank === 1;
    const separate = g.rank === 2 && !this.together;
    get("sizes").classList.toggle("separate", separate);
    for (const [field] of FIELDS) {
      for (const axis of [0, 1]) {
        const input = this.inputs?.get(`${field}-${axis}`);
        if (!input) continue;
        input.value = `${g.axes[axis][field]}`;
        /** @type {any} */ (input.parentElement).hidden = axis === 0 && !separate;
        input.setAttribute(
          "aria-label",
          `${FIELDS.find(([name]) => name === field)?.[1]}${separate ? (axis ? ", columns" : ", rows") : ""}`,
        );
      }
    }
    for (const field of /** @type {const} */ (["inChannels", "outChannels", "groups"]))
      /** @type {any} */ (this.inputs?.get(field)).value = `${g[field]}`;
    get("mode").value = g.mode;
    get("value").value = `${g.value}`;
    get("value-label").hidden = g.mode !== "constant";
    get("flip").checked = g.flip;
    this.#showSource();
  }

  #numbers() {
    get("random").addEventListener("click", () =>
      this.store.fill(
        "random",
        this.store.setting.source === "random" ? this.store.setting.seed + 1 : this.store.setting.seed,
      ),
    );
    get("digits").addEventListener("click", () => this.store.fill("digits"));
    get("letters").addEventListener("click", () => this.store.fill("letters"));
  }

  #showSource() {
    const { source } = this.store.setting;
    for (const name of ["random", "digits", "letters"]) get(name).setAttribute("aria-pressed", `${source === name}`);
  }

  #theme() {
    const root = document.documentElement;
    get("theme").addEventListener("click", () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      document.dispatchEvent(new Event("theme"));
    });
  }
}

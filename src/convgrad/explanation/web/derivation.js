/** The derivation beside the grids: four steps from the definition to both gradients, for the numbers of this very setting. */

import { outputs } from "./geometry.js";
import { get } from "./dom.js";
import { kindOf } from "./link.js";
import { written } from "./numbers.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./geometry.js").Axis} Axis */

export class Derivation {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.root = get("derivation");
    store.on("geometry", () => this.#write());
    store.on("look", () => this.#follow());
    this.#link();
  }

  #write() {
    const { g } = this.store;
    const axis = g.axes[1];
    get("step-1").innerHTML = block(
      row(
        term("y", sub(i("y"), i("o"))),
        o("="),
        sum(i("k")),
        term("x", sub(i("x"), source(axis, g.flip))),
        term("w", sub(i("w"), i("k"))),
      ),
    );
    get("step-1-axis").innerHTML = axisNote(g);
    get("step-2").innerHTML = block(
      row(
        term("gw", derivative("w", "k")),
        o("="),
        sum(i("o")),
        term("gy", derivative("y", "o")),
        fraction(row(o("∂"), sub(i("y"), i("o"))), row(o("∂"), sub(i("w"), i("k")))),
        o("="),
        sum(i("o")),
        term("gy", derivative("y", "o")),
        term("x", sub(i("x"), source(axis, g.flip))),
      ),
    );
    get("step-3").innerHTML = block(row(i("o"), o("="), solved(axis, i("i"), g.flip)));
    get("step-4").innerHTML = block(
      row(
        term("gx", derivative("x", "i")),
        o("="),
        sum(i("k")),
        term("gy", fraction(row(o("∂"), i("L")), row(o("∂"), sub(i("y"), solved(axis, i("i"), g.flip))))),
        term("w", sub(i("w"), i("k"))),
      ),
    );
    get("step-4-words").textContent = g.flip
      ? "The forward pass already walked the taps backwards, so here they go forwards: i and k both grow. The flip of a flip is none."
      : "Where forward had + k, here stands − k. As the outputs go forwards, the taps go backwards: this is a convolution with the flipped kernel.";
  }

  /** The numbers of the entry that is looked at, along the last axis. */
  #follow() {
    const { store } = this;
    const { g, at } = store;
    const axis = g.axes[1];
    const kind = kindOf(at.array);
    const here = at.index[2];
    for (const step of this.root.querySelectorAll("li"))
      step.classList.toggle("here", step.dataset.for.split(" ").includes(kind));
    const along = g.rank === 2 ? "Along the columns, " : "";
    const taps = Array.from({ length: axis.kernel }, (_, k) => k);
    const place = (/** @type {number} */ o, /** @type {number} */ k) =>
      o * axis.stride + (g.flip ? axis.kernel - 1 - k : k) * axis.dilation - axis.before;
    get("here-1").textContent =
      kind === "y"
        ? `${along}o = ${here} reads i = ${taps.map((k) => written(place(here, k))).join(", ")} through k = ${taps.join(", ")}.`
        : "";
    const last = outputs(axis) - 1;
    const some = [...new Set([0, 1, last])].filter((o) => o <= last);
    const listed = (/** @type {(string | number)[]} */ all) =>
      (last > 2 ? [...all.slice(0, -1), "…", all.at(-1)] : all).join(", ");
    get("here-2").textContent =
      kind === "w"
        ? `${along}k = ${here} reads i = ${listed(some.map((o) => written(place(o, here))))} at o = ${listed(some)}.`
        : "";
    get("here-3").innerHTML =
      kind === "x" ? `${along}i = ${here}: ${taps.map((k) => tried(axis, here, k, g.flip)).join("; ")}.` : "";
  }

  /** Pointing at a term of a formula points at its grid; for the keyboard each formula has buttons of the same names. */
  #link() {
    const grids = get("grids");
    const point = (/** @type {Event} */ event) => {
      const term = /** @type {Element} */ (event.target).closest?.("[data-term]");
      grids.dataset.named = /** @type {any} */ (term)?.getAttribute("data-term") ?? "";
    };
    for (const kind of ["pointerover", "focusin"]) this.root.addEventListener(kind, point);
    for (const kind of ["pointerleave", "focusout"]) this.root.addEventListener(kind, () => (grids.dataset.named = ""));
    const choose = (/** @type {Event} */ event) => {
      const name = /** @type {Element} */ (event.target).closest?.("[data-term]")?.getAttribute("data-term");
      if (!name) return;
      const { store } = this;
      const meeting = store.meetings[store.step ?? 0];
      const kind = kindOf(/** @type {any} */ (name));
      const index = kind === kindOf(store.at.array) ? store.at.index : (meeting?.[kind] ?? [0, 0, 0]);
      store.choose({ array: /** @type {any} */ (name), index });
    };
    this.root.addEventListener("click", choose);
  }
}

/**
 * One tap tried for an input: which output reads it there, or why none.
 * @param {Axis} axis
 * @param {number} here
 * @param {number} k
 * @param {boolean} flip
 */
function tried(axis, here, k, flip) {
  const numerator = here + axis.before - (flip ? axis.kernel - 1 - k : k) * axis.dilation;
  const output = numerator / axis.stride;
  if (!Number.isInteger(output))
    return `<span class="no">k = ${k}: ${written(numerator)}/${axis.stride} is not whole</span>`;
  if (output < 0 || output >= outputs(axis)) return `<span class="no">k = ${k}: no output ${written(output)}</span>`;
  return `<span class="yes">k = ${k}: o = ${output}</span>`;
}

/** @param {import("./geometry.js").Geometry} g */
function axisNote(g) {
  return g.rank === 1
    ? ""
    : "Two axes are one axis twice: this holds for the rows and for the columns, and the sums run over both.";
}

// ---- MathML

const i = (/** @type {string} */ name) => `<mi>${name}</mi>`;
const o = (/** @type {string} */ sign) => `<mo>${sign}</mo>`;
const n = (/** @type {number} */ number) => `<mn>${number}</mn>`;
const row = (/** @type {string[]} */ ...parts) => `<mrow>${parts.join("")}</mrow>`;
const sub = (/** @type {string} */ base, /** @type {string} */ index) =>
  `<mrow>${base}<mo stretchy="false">[</mo>${index}<mo stretchy="false">]</mo></mrow>`;
const fraction = (/** @type {string} */ above, /** @type {string} */ below) => `<mfrac>${above}${below}</mfrac>`;
const sum = (/** @type {string} */ under) => `<munder><mo movablelimits="false">∑</mo>${under}</munder>`;
const block = (/** @type {string} */ content) => `<math display="block">${content}</math>`;
const derivative = (/** @type {string} */ by, /** @type {string} */ index) =>
  fraction(row(o("∂"), i("L")), row(o("∂"), sub(i(by), i(index))));

/** A part of a formula that is one of the six arrays. @param {string} name @param {string} content */
const term = (name, content) => `<mrow class="term ${name.at(-1)}" data-term="${name}">${content}</mrow>`;

/** The tap in the relation, backwards where the kernel is flipped. @param {Axis} axis @param {boolean} flip */
const tap = (axis, flip) => (flip ? row(o("("), n(axis.kernel - 1), o("−"), i("k"), o(")")) : i("k"));

/** o·s + k·d − p, without what changes nothing. @param {Axis} axis @param {boolean} flip */
function source({ stride, dilation, before, ...axis }, flip) {
  const times = (/** @type {string} */ what, /** @type {number} */ number) =>
    number === 1 ? what : `${what}<mo>·</mo>${n(number)}`;
  const moved = before ? `<mo>−</mo>${n(before)}` : "";
  return row(
    times(i("o"), stride),
    o("+"),
    times(tap(/** @type {Axis} */ (/** @type {any} */ (axis)), flip), dilation),
    moved,
  );
}

/** (i + p − k·d) / s, without what changes nothing. @param {Axis} axis @param {string} what @param {boolean} flip */
function solved(axis, what, flip) {
  const { stride, dilation, before } = axis;
  const numerator = row(
    what,
    before ? `<mo>+</mo>${n(before)}` : "",
    o("−"),
    tap(axis, flip),
    dilation === 1 ? "" : `<mo>·</mo>${n(dilation)}`,
  );
  return stride === 1 ? numerator : row(o("("), numerator, o(")"), o("/"), n(stride));
}

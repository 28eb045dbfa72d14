/**
 * What a convolution is, in whole numbers: the same records, rules and spelling as in Python.
 * One axis is held as two of which the first has a single position, so that all mathematics is written once.
 */

import { MODES } from "./boundary.js";

/**
 * @typedef {{ input: number, kernel: number, stride: number, dilation: number, before: number, after: number }} Axis
 *
 * @typedef {object} Geometry
 * @property {1 | 2} rank
 * @property {[Axis, Axis]} axes   with rank 1 the first is `POINT`
 * @property {number} inChannels
 * @property {number} outChannels
 * @property {number} groups
 * @property {import("./boundary.js").Mode} mode
 * @property {number} value   what stands outside of the input in the mode "constant"
 * @property {boolean} flip   a true convolution: the taps are read backwards
 */

/** @type {Axis} */
export const POINT = { input: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };

/** What the page can show: the most of each number, by rank. The least is 1, of padding 0. */
export const LIMITS = {
  1: { input: 24, kernel: 7, stride: 6, dilation: 6, before: 6, after: 6 },
  2: { input: 12, kernel: 7, stride: 6, dilation: 6, before: 6, after: 6 },
  channels: 4,
};

/** @param {Axis} axis */
export const span = (axis) => (axis.kernel - 1) * axis.dilation + 1;

/** @param {Axis} axis */
export const padded = (axis) => axis.before + axis.input + axis.after;

/** @param {Axis} axis */
export const outputs = (axis) => Math.floor((padded(axis) - span(axis)) / axis.stride) + 1;

/**
 * The place that `tap` reads for `output`: the one relation.
 * @param {Geometry} g
 * @param {Axis} axis
 * @param {number} output
 * @param {number} tap
 */
export function source(g, axis, output, tap) {
  return output * axis.stride + (g.flip ? axis.kernel - 1 - tap : tap) * axis.dilation - axis.before;
}

/** The axes that a reader knows of. @param {Geometry} g */
export const shownAxes = (g) => (g.rank === 1 ? [g.axes[1]] : g.axes);

/** @param {Geometry} g */
export const groupInputs = (g) => g.inChannels / g.groups;

/** @param {Geometry} g */
export const groupOutputs = (g) => g.outChannels / g.groups;

/**
 * The input channel behind channel `local` of the weights of output channel `out`.
 * @param {Geometry} g
 * @param {number} out
 * @param {number} local
 */
export const inputChannel = (g, out, local) => Math.floor(out / groupOutputs(g)) * groupInputs(g) + local;

/** Shapes as [channels (of both kinds for w), rows, columns]. @param {Geometry} g */
export function shapes(g) {
  const [rows, columns] = g.axes;
  return {
    x: [g.inChannels, rows.input, columns.input],
    w: [g.outChannels * groupInputs(g), rows.kernel, columns.kernel],
    y: [g.outChannels, outputs(rows), outputs(columns)],
  };
}

/**
 * Why `g` describes no convolution, or none that fits on the page; "" where it does.
 * @param {Geometry} g
 */
export function fault(g) {
  const limits = LIMITS[g.rank];
  for (const axis of shownAxes(g)) {
    for (const [name, most] of Object.entries(limits)) {
      const number = axis[/** @type {keyof Axis} */ (name)];
      const least = name === "before" || name === "after" ? 0 : 1;
      if (!Number.isInteger(number) || number < least)
        return `${name} = ${number}: must be a whole number of at least ${least}`;
      if (number > most) return `${name} = ${number}: this page shows at most ${most}`;
    }
    if (span(axis) > padded(axis)) {
      return `kernel = ${axis.kernel}: spans ${span(axis)} positions, but input ${axis.input} plus padding ${axis.before}+${axis.after} offers ${padded(axis)}`;
    }
  }
  for (const [name, number] of Object.entries({
    "input channels": g.inChannels,
    "output channels": g.outChannels,
    groups: g.groups,
  })) {
    if (!Number.isInteger(number) || number < 1) return `${name} = ${number}: must be a whole number of at least 1`;
    if (number > LIMITS.channels) return `${name} = ${number}: this page shows at most ${LIMITS.channels}`;
    if (number % g.groups)
      return `groups = ${g.groups}: ${number} ${name} cannot be shared equally by ${g.groups} groups`;
  }
  if (!MODES.includes(g.mode)) return `mode = ${g.mode}: is none of ${MODES.join(", ")}`;
  if (!Number.isFinite(g.value)) return `value = ${g.value}: is not a number`;
  return "";
}

// ---- the spelling, as in "i5x5 k3x3 s2 p1+0"

const DEFAULTS = { n: "1", ic: "1", oc: "1", s: "1", p: "0", d: "1", g: "1" };

/**
 * The geometry that `text` spells. Throws an Error whose message says what is wrong.
 * @param {string} text @param {Partial<Geometry>} [options]   mode, value and flip, which no spelling holds
 * @returns {Geometry}
 */
export function parse(text, options = {}) {
  /** @type {Record<string, string>} */
  const words = { ...DEFAULTS };
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const match = /^(n|ic|oc|i|k|s|p|d|g)(\d[\dx+]*)$/.exec(word);
    if (!match) throw new Error(`the word “${word}” is none of ic oc i k s p d g with a size`);
    words[match[1]] = match[2];
  }
  if (!words.i || !words.k) throw new Error("the input size i and the kernel size k must be given");
  if (words.n !== "1") throw new Error("this page shows one image: n1");
  const rank = words.i.split("x").length;
  if (rank > 2) throw new Error(`${rank} axes: this page shows one or two`);
  const sizes = (/** @type {string} */ name) => spread(name, words[name], rank);
  const [i, k, s, d, p] = ["i", "k", "s", "d", "p"].map(sizes);
  const axes = i.map((input, n) => {
    const [before, after = before] = p[n].split("+");
    return { input: +input, kernel: +k[n], stride: +s[n], dilation: +d[n], before: +before, after: +after };
  });
  const g = /** @type {Geometry} */ ({
    rank,
    axes: rank === 1 ? [{ ...POINT }, axes[0]] : axes,
    inChannels: +words.ic,
    outChannels: +words.oc,
    groups: +words.g,
    mode: "zeros",
    value: 0,
    flip: false,
    ...options,
  });
  const wrong = fault(g);
  if (wrong) throw new Error(wrong);
  return g;
}

/** @param {string} name @param {string} value @param {number} rank */
function spread(name, value, rank) {
  const parts = value.split("x");
  if (parts.length === 1) return Array(rank).fill(parts[0]);
  if (parts.length !== rank)
    throw new Error(`${name}${value} has ${parts.length} sizes, but the input has ${rank} axes`);
  return parts;
}

/** The spelling of `g`, without the words that equal their default. @param {Geometry} g */
export function spell(g) {
  const axes = shownAxes(g);
  const shortest = (/** @type {(string | number)[]} */ values) =>
    new Set(values).size === 1 ? `${values[0]}` : values.join("x");
  const optional = {
    ic: `${g.inChannels}`,
    oc: `${g.outChannels}`,
    s: shortest(axes.map((axis) => axis.stride)),
    p: shortest(axes.map((axis) => (axis.before === axis.after ? axis.before : `${axis.before}+${axis.after}`))),
    d: shortest(axes.map((axis) => axis.dilation)),
    g: `${g.groups}`,
  };
  const words = Object.entries(optional).filter(([name, value]) => value !== DEFAULTS[/** @type {"s"} */ (name)]);
  const sizes = [`i${axes.map((axis) => axis.input).join("x")}`, `k${axes.map((axis) => axis.kernel).join("x")}`];
  return [...sizes, ...words.map(([name, value]) => name + value)].join(" ");
}

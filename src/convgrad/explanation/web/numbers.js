/** Numbers and letters for the grids, and how they are written. */

import { shapes } from "./geometry.js";

/** @typedef {import("./geometry.js").Geometry} Geometry */
/** @typedef {{ x: Float64Array, w: Float64Array, gy: Float64Array }} Arrays */

/** @param {number[]} shape */
export const count = (shape) => shape.reduce((product, n) => product * n, 1);

/**
 * Small whole numbers, so that every sum is exact and short.
 * @param {Geometry} g
 * @param {number} seed
 * @returns {Arrays}
 */
export function random(g, seed) {
  const next = generator(seed);
  const fill = (/** @type {number[]} */ shape, /** @type {number} */ least, /** @type {number} */ most) =>
    Float64Array.from({ length: count(shape) }, () => least + Math.floor(next() * (most - least + 1)));
  const size = shapes(g);
  return { x: fill(size.x, 0, 9), w: fill(size.w, -2, 3), gy: fill(size.y, -3, 4) };
}

/**
 * Inputs count up, weights are 1 10 100: each output spells the window that it saw.
 * @param {Geometry} g
 * @returns {Arrays}
 */
export function digits(g) {
  const size = shapes(g);
  return {
    x: Float64Array.from({ length: count(size.x) }, (_, n) => (n % 9) + 1),
    w: Float64Array.from({ length: count(size.w) }, (_, n) => 10 ** (n % 7)),
    gy: Float64Array.from({ length: count(size.y) }, (_, n) => (n % 9) + 1),
  };
}

/** Uniform numbers in [0, 1) that a seed determines. @param {number} seed */
function generator(seed) {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number for a reader: a true minus, three digits of what is not whole. @param {number} value */
export function written(value) {
  if (Number.isNaN(value)) return "NaN";
  const size = Math.abs(value);
  if (size === Infinity) return value > 0 ? "∞" : "−∞";
  const whole = Number.isInteger(value) && size < 1e15;
  const text = whole
    ? `${size}`
    : size >= 1e6 || size < 1e-3
      ? size.toExponential(1).replace("e+", "e")
      : `${+size.toPrecision(3)}`;
  return value < 0 ? `−${text}` : text;
}

// ---- letters

const INPUT_AND_GRADIENT_LETTERS = "abcdefghijkmnpqrstuv"; // without l and o, which read like 1 and 0, and without w
const WEIGHT_LETTERS = "xyz";
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/**
 * Names of all entries, as `convgrad derive` gives them: one letter each while letters suffice, else a letter with indices.
 * @param {Geometry} g @returns {{ x: string[], w: string[], gy: string[] }}
 */
export function letters(g) {
  const size = shapes(g);
  const [inputs, taps, outs] = [count(size.x), count(size.w), count(size.y)];
  const given = INPUT_AND_GRADIENT_LETTERS;
  if (
    g.rank === 1 &&
    g.inChannels * g.outChannels === 1 &&
    taps <= WEIGHT_LETTERS.length &&
    inputs + outs <= given.length
  ) {
    return {
      x: [...given.slice(0, inputs)],
      w: [...WEIGHT_LETTERS.slice(0, taps)],
      gy: [...given.slice(inputs, inputs + outs)],
    };
  }
  const named = (/** @type {string} */ name, /** @type {number[]} */ shape) =>
    Array.from({ length: count(shape) }, (_, n) => {
      const [, rows, columns] = shape;
      const [channel, row, column] = [Math.floor(n / rows / columns), Math.floor(n / columns) % rows, n % columns];
      const place = [...(shape[0] > 1 ? [channel] : []), ...(g.rank > 1 ? [row] : []), column];
      const separator = place.some((at) => at > 9) ? "," : "";
      return name + place.map((at) => [...`${at}`].map((digit) => SUBSCRIPTS[+digit]).join("")).join(separator);
    });
  return { x: named("x", size.x), w: named("w", size.w), gy: named("g", size.y) };
}

/** `ax` for single letters, `x₀·w₁` for longer names; `0y` beside padding. @param {string} a @param {string} b */
export const product = (a, b) => (a.length === 1 && b.length === 1 ? a + b : `${a}·${b}`);

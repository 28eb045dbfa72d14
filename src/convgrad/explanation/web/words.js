/** How entries are called and what stands in them: `gx[2,1]`, `3`, `ax + by`. */

import { outside, touches } from "./definition.js";
import { groupInputs, padded, shapes } from "./geometry.js";
import { kindOf } from "./link.js";
import { product, written } from "./numbers.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./link.js").Name} Name */
/** @typedef {import("./definition.js").Index} Index */
/** @typedef {import("./definition.js").Meeting} Meeting */

/**
 * The two arrays whose entries are multiplied where one of this array is looked at.
 * @type {Record<Name, [Name, Name]>}
 */
export const FACTORS = {
  x: ["gy", "w"],
  gx: ["gy", "w"],
  w: ["gy", "x"],
  gw: ["gy", "x"],
  y: ["x", "w"],
  gy: ["gy", "w"],
};

/** What the six arrays are, in words. @type {Record<Name, string>} */
export const MEANING = { x: "input", w: "weight", y: "output", gx: "∂L/∂x", gw: "∂L/∂w", gy: "∂L/∂y, given" };

/** Where an index stands in the flat array. @param {number[]} shape @param {Index} index */
export const flat = ([, rows, columns], [channel, row, column]) => (channel * rows + row) * columns + column;

/** All indices of an array, as they lie in it. @param {number[]} shape @returns {Index[]} */
export const indices = ([channels, rows, columns]) =>
  Array.from({ length: channels * rows * columns }, (_, n) => [
    Math.floor(n / rows / columns),
    Math.floor(n / columns) % rows,
    n % columns,
  ]);

/**
 * An entry as Python writes it; channels only where there are several.
 * @param {Store} store
 * @param {Name} array
 * @param {Index} index
 */
export function entryName({ g }, array, [channel, row, column]) {
  const ins = groupInputs(g);
  const several = g.inChannels > 1 || g.outChannels > 1;
  const channels = !several ? [] : kindOf(array) === "w" ? [Math.floor(channel / ins), channel % ins] : [channel];
  return `${array}[${[...channels, ...(g.rank > 1 ? [row] : []), column].join(",")}]`;
}

/** A place in the input, which may lie in its padding. @param {Store} store @param {[number, number]} place */
export const placeName = ({ g }, [row, column]) =>
  `[${(g.rank > 1 ? [row, column] : [column]).map(written).join(",")}]`;

/** The number in an entry. @param {Store} store @param {Name} array @param {Index} index */
export function valueAt({ g, setting, results }, array, index) {
  const all = { ...setting.arrays, ...results };
  return all[array][flat(shapes(g)[kindOf(array)], index)];
}

/**
 * What an entry holds, for a reader: its number, or letters.
 * @param {Store} store
 * @param {Name} array
 * @param {Index} index
 */
export function entryText(store, array, index) {
  if (!store.letters) return written(valueAt(store, array, index));
  if (array === "x" || array === "w" || array === "gy")
    return store.letters[array][flat(shapes(store.g)[kindOf(array)], index)];
  return "";
}

/**
 * The two factors of a meeting, as (name, text, value) each.
 * @param {Store} store
 * @param {Name} array   that is looked at
 * @param {Meeting} meeting
 */
export function factors(store, array, meeting) {
  return FACTORS[array].map((name) => {
    const index = meeting[kindOf(name)];
    if (index === null) {
      const value = outside(store.g);
      return { array: name, index, name: `pad${placeName(store, meeting.place)}`, text: written(value), value };
    }
    return {
      array: name,
      index,
      name: entryName(store, name, index),
      text: entryText(store, name, index),
      value: valueAt(store, name, index),
    };
  });
}

/** A product as the page writes it. @param {Store} store @param {{ text: string }[]} pair */
export function productText(store, [a, b]) {
  if (store.letters) return product(a.text, b.text);
  const guarded = (/** @type {string} */ text) => (text.startsWith("−") ? `(${text})` : text);
  return `${guarded(a.text)}·${guarded(b.text)}`;
}

/**
 * The gradient that arrives at a place of the padded input.
 * @param {Store} store
 * @param {number} channel
 * @param {number} row
 * @param {number} column
 */
export function marginAt({ g, results }, channel, row, column) {
  const [rows, columns] = g.axes;
  return results.margin[(channel * padded(rows) + row + rows.before) * padded(columns) + column + columns.before];
}

const SHORT = { 1: 6, 2: 3 }; // terms of a sum that is written out inside a cell, by number of axes

/**
 * What an entry of y, gx or gw is in letters, or how many products it sums.
 * @param {Store} store
 * @param {Name} name
 * @param {Index} index
 */
export function letterSum(store, name, index) {
  const terms = touches(store.g, kindOf(name), index).filter((meeting) => meeting.x !== null || name === "y");
  if (terms.length > SHORT[store.g.rank]) return `Σ ${terms.length}`;
  return terms.map((meeting) => productText(store, factors(store, name, meeting))).join(" + ") || "0";
}

/** The whole setting as the part of a link behind #, so that what one sees can be sent: written and read. */

import { MODES } from "./boundary.js";
import { parse, shapes, spell } from "./geometry.js";
import { count, digits, random } from "./numbers.js";

/**
 * @typedef {"x" | "w" | "y" | "gx" | "gw" | "gy"} Name   one of the six arrays
 * @typedef {{ array: Name, index: import("./definition.js").Index }} Place
 * @typedef {"random" | "digits" | "letters" | "own"} Source   where the numbers come from
 *
 * @typedef {object} Setting
 * @property {import("./geometry.js").Geometry} g
 * @property {Source} source
 * @property {number} seed   of random numbers, and of those behind letters
 * @property {import("./numbers.js").Arrays} arrays
 * @property {Place} at   the entry that is looked at
 */

/** @type {Name[]} */
export const NAMES = ["x", "w", "y", "gx", "gw", "gy"];

/** Which index set an array has: gx is indexed like x. @param {Name} array @returns {import("./definition.js").Kind} */
export const kindOf = (array) => /** @type {import("./definition.js").Kind} */ (array.at(-1));

/** @param {Setting} setting */
export function encode({ g, source, seed, arrays, at }) {
  const parts = [spell(g).replaceAll(" ", ".")];
  if (g.mode !== "zeros") parts.push(`mode=${g.mode}`);
  if (g.mode === "constant") parts.push(`value=${g.value}`);
  if (g.flip) parts.push("flip");
  if (source === "own")
    for (const [name, array] of Object.entries(arrays)) parts.push(`${name}=${[...array].join(",")}`);
  else parts.push(source === "digits" ? source : `${source}=${seed}`);
  parts.push(`at=${[at.array, ...at.index].join(",")}`);
  return parts.join("&");
}

/**
 * The setting that a link holds. Throws an Error whose message says what is wrong with it.
 * @param {string} text @returns {Setting}
 */
export function decode(text) {
  const [spelling, ...rest] = decodeURIComponent(text.replace(/^#/, "")).split("&");
  const given = new Map(
    rest.map((part) => /** @type {[string, string]} */ ([part.split("=")[0], part.slice(part.indexOf("=") + 1)])),
  );
  const mode = given.get("mode") ?? "zeros";
  if (!MODES.includes(/** @type {any} */ (mode))) throw new Error(`mode = ${mode}: is none of ${MODES.join(", ")}`);
  const value = Number(given.get("value") ?? 0);
  const g = parse(spelling.replaceAll(".", " "), { mode: /** @type {any} */ (mode), value, flip: given.has("flip") });
  const own = ["x", "w", "gy"].some((name) => given.has(name));
  const source = own ? "own" : given.has("digits") ? "digits" : given.has("letters") ? "letters" : "random";
  const seed = Number(given.get(source)) || 1;
  const arrays = source === "digits" ? digits(g) : random(g, seed);
  const size = shapes(g);
  for (const [name, shape] of /** @type {const} */ ([
    ["x", size.x],
    ["w", size.w],
    ["gy", size.y],
  ])) {
    if (given.has(name)) arrays[name] = numbers(name, given.get(name) ?? "", count(shape));
  }
  return { g, source, seed, arrays, at: place(g, given.get("at")) };
}

/** @param {string} name @param {string} text @param {number} length */
function numbers(name, text, length) {
  const found = Float64Array.from(text.split(","), Number);
  if (found.length !== length || found.some(Number.isNaN)) {
    throw new Error(
      `${name} has ${found.length} entries that are numbers or not; this setting needs ${length} numbers`,
    );
  }
  return found;
}

/**
 * The entry named in a link, or where none of that name exists the middle input's gradient.
 * @param {import("./geometry.js").Geometry} g
 * @param {string | undefined} text
 * @returns {Place}
 */
function place(g, text) {
  const [array, ...index] = (text ?? "").split(",");
  if (NAMES.includes(/** @type {Name} */ (array)) && index.length === 3) {
    const at = {
      array: /** @type {Name} */ (array),
      index: /** @type {import("./definition.js").Index} */ (index.map(Number)),
    };
    if (
      shapes(g)[kindOf(at.array)].every(
        (size, axis) => Number.isInteger(at.index[axis]) && at.index[axis] >= 0 && at.index[axis] < size,
      )
    )
      return at;
  }
  return middle(g);
}

/** @param {import("./geometry.js").Geometry} g @returns {Place} */
export function middle(g) {
  const [, rows, columns] = shapes(g).x;
  return { array: "gx", index: [0, (rows - 1) >> 1, (columns - 1) >> 1] };
}

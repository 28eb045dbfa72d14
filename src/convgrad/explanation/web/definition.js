/**
 * The layer and its gradients as the mathematics writes them: three sums over one list of meetings.
 * This is `definition.py` with boundary modes; `touches` finds the meetings of one entry.
 */

import { OUTSIDE, land } from "./boundary.js";
import { groupInputs, groupOutputs, inputChannel, outputs, padded, shapes, source } from "./geometry.js";

/** @typedef {import("./geometry.js").Geometry} Geometry */
/** @typedef {[number, number, number]} Index   channel, row, column */
/** @typedef {"x" | "w" | "y"} Kind   which index set: x and gx, w and gw, y and gy */

/**
 * One product of the sums.
 * @typedef {object} Meeting
 * @property {Index | null} x   null where a number outside of the input is read
 * @property {Index} w
 * @property {Index} y
 * @property {[number, number]} place   row and column that were read; they may lie in the padding
 */

/**
 * Along one axis, for every output and tap: the place that is read, and the input position found there.
 * @param {Geometry} g @param {number} axis
 */
export function reads(g, axis) {
  const a = g.axes[axis];
  const table = [];
  for (let o = 0; o < outputs(a); o++) {
    for (let k = 0; k < a.kernel; k++) {
      const place = source(g, a, o, k);
      table.push({ o, k, place, i: land(g.mode, place, a.input) });
    }
  }
  return table;
}

/**
 * y, gx and gw; and `margin`, the gradient where each number was read, padding included, before it is folded back.
 * @param {Geometry} g @param {{ x: Float64Array, w: Float64Array, gy: Float64Array }} arrays
 */
export function evaluate(g, { x, w, gy }) {
  const size = shapes(g);
  const [rows, columns] = g.axes;
  const [height, width] = [padded(rows), padded(columns)];
  const count = (/** @type {number[]} */ shape) => shape.reduce((product, n) => product * n, 1);
  const y = new Float64Array(count(size.y));
  const gx = new Float64Array(count(size.x));
  const gw = new Float64Array(count(size.w));
  const margin = new Float64Array(g.inChannels * height * width);
  eachMeeting(g, (i, k, o, place) => {
    const read = i === OUTSIDE ? outside(g) : x[i];
    y[o] += read * w[k];
    gw[k] += gy[o] * read;
    margin[place] += gy[o] * w[k];
    if (i !== OUTSIDE) gx[i] += gy[o] * w[k];
  });
  return { y, gx, gw, margin };
}

/** The number that is read outside of the input. @param {Geometry} g */
export const outside = (g) => (g.mode === "constant" ? g.value : 0);

/**
 * Calls `visit` with the flat indices of every meeting: input or OUTSIDE, weight, output, place in the padded input.
 * @param {Geometry} g @param {(i: number, k: number, o: number, place: number) => void} visit
 */
export function eachMeeting(g, visit) {
  const [rows, columns] = g.axes;
  const [down, across] = [reads(g, 0), reads(g, 1)];
  const [tall, wide] = [outputs(rows), outputs(columns)];
  const [height, width] = [padded(rows), padded(columns)];
  for (let out = 0; out < g.outChannels; out++) {
    for (let local = 0; local < groupInputs(g); local++) {
      const channel = inputChannel(g, out, local);
      const weights = out * groupInputs(g) + local;
      for (const r of down) {
        for (const c of across) {
          visit(
            r.i === OUTSIDE || c.i === OUTSIDE ? OUTSIDE : (channel * rows.input + r.i) * columns.input + c.i,
            (weights * rows.kernel + r.k) * columns.kernel + c.k,
            (out * tall + r.o) * wide + c.o,
            (channel * height + r.place + rows.before) * width + c.place + columns.before,
          );
        }
      }
    }
  }
}

/**
 * Every meeting of one entry, by output position and then by tap; those with what lies outside included.
 * @param {Geometry} g @param {Kind} kind @param {Index} index @returns {Meeting[]}
 */
export function touches(g, kind, [channel, row, column]) {
  const key = /** @type {const} */ ({ x: "i", w: "k", y: "o" })[kind];
  const down = reads(g, 0).filter((step) => step[key] === row);
  const across = reads(g, 1).filter((step) => step[key] === column);
  /** @type {Meeting[]} */
  const found = [];
  for (const [out, local] of channelPairs(g, kind, channel)) {
    for (const r of down) {
      for (const c of across) {
        const inside = r.i !== OUTSIDE && c.i !== OUTSIDE;
        found.push({
          x: inside ? [inputChannel(g, out, local), r.i, c.i] : null,
          w: [out * groupInputs(g) + local, r.k, c.k],
          y: [out, r.o, c.o],
          place: [r.place, c.place],
        });
      }
    }
  }
  return found.sort((a, b) => before(a.y, b.y) || before(a.w, b.w));
}

/**
 * Which [output channel, input channel of its group] an entry meets.
 * @param {Geometry} g
 * @param {Kind} kind
 * @param {number} channel
 * @returns {[number, number][]}
 */
function channelPairs(g, kind, channel) {
  const [ins, outs] = [groupInputs(g), groupOutputs(g)];
  if (kind === "w") return [[Math.floor(channel / ins), channel % ins]];
  if (kind === "y") return Array.from({ length: ins }, (_, local) => [channel, local]);
  const group = Math.floor(channel / ins);
  return Array.from({ length: outs }, (_, n) => [group * outs + n, channel % ins]);
}

/** Orders indices as NumPy does. @param {Index} a @param {Index} b */
const before = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

/**
 * For each position of an axis that no window reads: why. Positions that are read are absent.
 * @param {Geometry} g @param {number} axis @returns {Map<number, string>}
 */
export function unread(g, axis) {
  const a = g.axes[axis];
  const read = new Set(reads(g, axis).map((step) => step.i));
  const last = (outputs(a) - 1) * a.stride + (a.kernel - 1) * a.dilation - a.before;
  const left = a.input - 1 - last + a.after;
  /** @type {Map<number, string>} */
  const reasons = new Map();
  for (let i = 0; i < a.input; i++) {
    if (read.has(i)) continue;
    if (i > last)
      reasons.set(i, `the last window ends before it: ${left} left over, too few for another step of ${a.stride}`);
    else if (a.dilation === 1) reasons.set(i, `stride ${a.stride} jumps over it: the kernel spans only ${a.kernel}`);
    else reasons.set(i, `with stride ${a.stride} and dilation ${a.dilation} it always falls into a hole of the kernel`);
  }
  return reasons;
}

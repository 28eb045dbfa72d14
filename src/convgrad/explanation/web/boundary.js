/**
 * Boundary modes as index maps: which input position is read at a place outside of the input.
 * The gradient runs the same map backwards; `definition.js` does that by using it, not by undoing it.
 */

/** @typedef {"zeros" | "constant" | "edge" | "reflect" | "symmetric" | "circular"} Mode */

/** @type {Mode[]} */
export const MODES = ["zeros", "constant", "edge", "reflect", "symmetric", "circular"];

/** What `land` returns where no input position is read, but a given number. */
export const OUTSIDE = -1;

/**
 * The input position that is read at `place`, for an axis of `size` positions.
 * With input a b c: edge aabcc, reflect cbabcba (the end is not repeated), symmetric baabccb, circular cabca.
 * @param {Mode} mode @param {number} place @param {number} size
 */
export function land(mode, place, size) {
  if (place >= 0 && place < size) return place;
  switch (mode) {
    case "edge":
      return Math.min(Math.max(place, 0), size - 1);
    case "reflect":
      return size === 1 ? 0 : mirrored(place, 2 * (size - 1), size);
    case "symmetric": {
      const folded = modulo(place, 2 * size);
      return folded < size ? folded : 2 * size - 1 - folded;
    }
    case "circular":
      return modulo(place, size);
    default:
      return OUTSIDE;
  }
}

/** @param {number} place @param {number} period @param {number} size */
function mirrored(place, period, size) {
  const folded = modulo(place, period);
  return folded < size ? folded : period - folded;
}

/** The remainder that is never negative. @param {number} a @param {number} b */
export function modulo(a, b) {
  return ((a % b) + b) % b;
}

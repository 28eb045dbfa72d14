/** The one place that holds state: the setting, what follows from it, and who wants to hear of changes. */

import { evaluate, touches } from "./definition.js";
import { fault, groupInputs, inputChannel, shapes } from "./geometry.js";
import { kindOf, middle } from "./link.js";
import { digits, letters, random } from "./numbers.js";

/** @typedef {import("./link.js").Setting} Setting */
/** @typedef {import("./link.js").Place} Place */
/** @typedef {import("./link.js").Name} Name */
/** @typedef {{ weights: number, out: number, in: number }} Channels   a channel of w, and the two that it connects */
/**
 * What a listener can be told: "geometry" (sizes or options), "numbers" (entries), "look" (the entry that is looked at),
 * "step" (which of its meetings). Each implies those after it.
 * @typedef {"geometry" | "numbers" | "look" | "step"} Change
 */

const ORDER = /** @type {const} */ (["geometry", "numbers", "look", "step"]);

export class Store {
  /** @param {Setting} setting */
  constructor(setting) {
    /** @type {Setting} */
    this.setting = setting;
    /** @type {Map<Change, (() => void)[]>} */
    this.listeners = new Map(ORDER.map((change) => [change, []]));
    /** @type {Place | null} the entry under the pointer, before that which was chosen */
    this.hovered = null;
    /** @type {number | null} which meeting is shown, null for all of them */
    this.step = null;
    /** @type {Channels} the channels in view; they meet each other */
    this.view = this.#channelsOf(0);
    this.results = evaluate(setting.g, setting.arrays);
    /** @type {ReturnType<typeof letters> | null} */
    this.letters = null;
    /** @type {import("./definition.js").Meeting[]} of the shown entry */
    this.meetings = [];
    this.#follow("geometry");
  }

  get g() {
    return this.setting.g;
  }

  /** The entry that is shown. @returns {Place} */
  get at() {
    return this.hovered ?? this.setting.at;
  }

  /** @param {Change} change @param {() => void} listener */
  on(change, listener) {
    this.listeners.get(change)?.push(listener);
  }

  /** Show everything once. */
  start() {
    this.#tell("geometry");
  }

  /**
   * Another geometry, with new numbers where the old ones do not fit.
   * @param {import("./geometry.js").Geometry} g
   * @returns {string} why not, or ""
   */
  reshape(g) {
    const wrong = fault(g);
    if (wrong) return wrong;
    const { arrays, seed, at } = this.setting;
    const size = shapes(g);
    const same = `${Object.values(shapes(this.g))}` === `${Object.values(size)}`;
    const source = this.setting.source === "own" && !same ? "random" : this.setting.source;
    const fitting = same ? arrays : source === "digits" ? digits(g) : random(g, seed);
    const inside = size[kindOf(at.array)].every((extent, axis) => at.index[axis] < extent);
    this.setting = { g, source, seed, arrays: fitting, at: inside && (same || at.array !== "gx") ? at : middle(g) };
    this.#changed("geometry");
    return "";
  }

  /** A whole setting, as a link holds it. @param {Setting} setting */
  load(setting) {
    this.setting = setting;
    this.#changed("geometry");
  }

  /** @param {import("./link.js").Source} source @param {number} [seed] */
  fill(source, seed = this.setting.seed) {
    const arrays = source === "digits" ? digits(this.g) : random(this.g, seed);
    this.setting = { ...this.setting, source, seed, arrays };
    this.#changed("numbers");
  }

  /** Put a number into x, w or gy. @param {"x" | "w" | "gy"} name @param {number} flat @param {number} value */
  edit(name, flat, value) {
    const array = this.setting.arrays[name].slice();
    array[flat] = value;
    this.setting = { ...this.setting, source: "own", arrays: { ...this.setting.arrays, [name]: array } };
    this.#changed("numbers");
  }

  /** Look at an entry until told otherwise. @param {Place} at */
  choose(at) {
    this.setting = { ...this.setting, at };
    this.#changed("look");
  }

  /** Look at an entry while the pointer is there, null: back to the chosen one. @param {Place | null} at */
  hover(at) {
    const same =
      (at ?? this.setting.at).array === this.at.array && `${(at ?? this.setting.at).index}` === `${this.at.index}`;
    if (same && !at === !this.hovered) return;
    const [step, chosen] = [this.step, this.setting.at];
    this.hovered = at;
    this.#follow("look");
    if (at && at.array === chosen.array && `${at.index}` === `${chosen.index}`) this.step = step;
    this.#tell("look");
  }

  /** Show one meeting, or all with null. @param {number | null} step */
  walk(step) {
    this.step = step === null ? null : Math.min(Math.max(step, 0), this.meetings.length - 1);
    if (this.meetings.length === 0) this.step = null;
    const meeting = this.step === null ? null : this.meetings[this.step];
    if (meeting) this.view = this.#channelsOf(meeting.w[0]);
    this.#tell("step");
  }

  /**
   * Show these channels.
   * @param {number} weights   a channel of w: an output channel and an input channel of its group
   */
  show(weights) {
    this.view = this.#channelsOf(weights);
    this.#tell("look");
  }

  /** @param {Change} change */
  #changed(change) {
    this.hovered = null;
    this.#follow(change);
    this.#tell(change);
  }

  /** Computes what follows from a change. @param {Change} change */
  #follow(change) {
    const { g, arrays, source } = this.setting;
    if (change === "geometry" || change === "numbers") {
      this.results = evaluate(g, arrays);
      this.letters = source === "letters" ? letters(g) : null;
    }
    const { array, index } = this.at;
    this.step = null;
    this.meetings = touches(g, kindOf(array), index);
    if (change === "geometry") this.view = this.#channelsOf(this.meetings[0]?.w[0] ?? 0);
    this.view = this.#channelsOf(this.#weightsShowing(kindOf(array), index[0]));
  }

  /**
   * The channel of w to show so that this entry is in view, near to what is shown.
   * @param {import("./definition.js").Kind} kind
   * @param {number} channel
   * @returns {number}
   */
  #weightsShowing(kind, channel) {
    const { g, view } = this;
    const ins = groupInputs(g);
    if (kind === "w") return channel;
    if (kind === "y") return channel === view.out ? view.weights : channel * ins + (view.weights % ins);
    if (channel === view.in) return view.weights;
    const [group, outs] = [Math.floor(channel / ins), g.outChannels / g.groups];
    return (group * outs + (view.out % outs)) * ins + (channel % ins);
  }

  /** @param {number} weights @returns {Channels} */
  #channelsOf(weights) {
    const ins = groupInputs(this.g);
    const out = Math.floor(weights / ins);
    return { weights, out, in: inputChannel(this.g, out, weights % ins) };
  }

  /** @param {Change} change */
  #tell(change) {
    for (const each of ORDER.slice(ORDER.indexOf(change)))
      for (const listener of this.listeners.get(each) ?? []) listener();
  }
}

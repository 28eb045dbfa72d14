/** Starts the page: reads the link, builds the parts, keeps the link in step, and answers questions from the console. */

import { LANGUAGES } from "./code.js";
import { Controls } from "./controls.js";
import { evaluate, touches } from "./definition.js";
import { Derivation } from "./derivation.js";
import { get, make } from "./dom.js";
import { shapes, spell } from "./geometry.js";
import { Grids } from "./grids.js";
import { decode, encode } from "./link.js";
import { Matrix } from "./matrix.js";
import { Pairs } from "./pairs.js";
import { Picture } from "./picture.js";
import { Store } from "./store.js";
import { Strips } from "./strips.js";

const start = document.documentElement.dataset.start ?? "";

/** The setting of the link, else the one that the page was written for. @returns {import("./link.js").Setting} */
function opened() {
  if (location.hash.length > 1) {
    try {
      return decode(location.hash);
    } catch (error) {
      get("fault").textContent = `The link cannot be read: ${/** @type {Error} */ (error).message}`;
    }
  }
  return decode(start);
}

const store = new Store(opened());

/** Builds the parts and shows everything once. */
function begin() {
  for (const Part of [Controls, Grids, Pairs, Derivation, Strips, Matrix, Picture]) new Part(store);
  store.start();
  document.documentElement.dataset.ready = "";
}

// ---- the link

let link = "";
/** @type {import("./link.js").Setting | null} */
let linked = null;
store.on("look", () => {
  if (store.setting === linked) return; // the pointer moves often, the setting does not
  linked = store.setting;
  get("spelling").textContent = spell(store.g);
  const next = `#${encode(store.setting)}`;
  if (next === link) return;
  link = next;
  get("copied-link").textContent = "";
  get("link").href = link;
  try {
    history.replaceState(null, "", link);
  } catch {
    // inside a notebook's frame the address is not ours to change; the link below the page still holds the setting
  }
});
addEventListener("hashchange", () => {
  if (location.hash === link) return;
  try {
    store.load(decode(location.hash));
    get("fault").textContent = "";
  } catch (error) {
    get("fault").textContent = `The link cannot be read: ${/** @type {Error} */ (error).message}`;
  }
});

// ---- code to take along

let language = /** @type {import("./code.js").Language} */ ("NumPy");
const showCode = () => {
  get("code").textContent = LANGUAGES[language](store.g, store.setting.arrays);
  get("copied").textContent = "";
};
for (const name of /** @type {import("./code.js").Language[]} */ (Object.keys(LANGUAGES))) {
  const input = make("input", { type: "radio", name: "language", id: `language-${name}`, value: name });
  input.checked = name === language;
  input.addEventListener("change", () => {
    language = name;
    showCode();
  });
  get("languages").append(input, make("label", { for: `language-${name}`, text: name }));
}
store.on("numbers", showCode);

/** Puts text on the clipboard, also where the page was opened as a file. @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "visually-hidden", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
get("copy").addEventListener("click", async () => {
  await copy(get("code").textContent);
  get("copied").textContent = `Copied: ${language}.`;
});
get("copy-link").addEventListener("click", async () => {
  await copy(new URL(link, location.href).href);
  get("copied-link").textContent = "Copied.";
});
const LARGE = 300; // entries of x, w and y in view
const { x, w, y } = shapes(store.g);
const entries = [x, w, y].reduce((sum, [, rows, columns]) => sum + rows * columns, 0);
// thousands of cells take their time: the head of the page is painted before them
if (entries > LARGE) requestAnimationFrame(() => setTimeout(begin));
else begin();

/** For the console, and for the tests that hold these numbers against the definition in Python. */
Object.assign(globalThis, {
  convgrad: {
    store,
    /** The three results of a link, as flat lists. @param {string} hash */
    compute(hash) {
      const { g, arrays } = decode(hash);
      const plain = (/** @type {Record<string, Float64Array>} */ all) =>
        Object.fromEntries(Object.entries(all).map(([name, array]) => [name, [...array]]));
      return { ...plain(arrays), ...plain(evaluate(g, arrays)) };
    },
    /**
     * The meetings of one entry of a link's setting.
     * @param {string} hash
     * @param {import("./definition.js").Kind} kind
     * @param {import("./definition.js").Index} index
     */
    touches: (hash, kind, index) => touches(decode(hash).g, kind, index),
    /** The program for a link's setting. @param {string} hash @param {import("./code.js").Language} name */
    code: (hash, name) => LANGUAGES[name](decode(hash).g, decode(hash).arrays),
  },
});

/** The setting as a program: for NumPy, convgrad, PyTorch or JAX, with the page's numbers in it. Each leaves y, gx, gw. */

import { shapes, shownAxes } from "./geometry.js";

/** @typedef {import("./geometry.js").Geometry} Geometry */
/** @typedef {import("./numbers.js").Arrays} Arrays */
/** @typedef {"NumPy" | "convgrad" | "PyTorch" | "JAX"} Language */

/** @type {Record<Language, (g: Geometry, arrays: Arrays) => string>} */
export const LANGUAGES = { NumPy: numpy, convgrad, PyTorch: torch, JAX: jax };

const NUMPY_MODES = {
  zeros: "constant",
  constant: "constant",
  edge: "edge",
  reflect: "reflect",
  symmetric: "symmetric",
  circular: "wrap",
};

/** @param {Geometry} g @param {Arrays} arrays */
function numpy(g, arrays) {
  const f = facts(g);
  const tap = g.flip ? "(w.shape[2 + n] - 1 - k[n])" : "k[n]";
  const lines = [
    "import numpy as np",
    "",
    ...assignments(g, arrays, (text) => `np.array(${text}, float)`),
    `stride, dilation, groups = ${f.stride}, ${f.dilation}, ${g.groups}`,
    `padding = ${f.padding}`,
    "",
    ...(f.given
      ? ["# which input position is read at each place; -1: none, padding"]
      : [`# which input position is read at each place, padding included: ${g.mode}`]),
    `pad = dict(${f.given ? "constant_values=-1" : `mode="${NUMPY_MODES[g.mode]}"`})`,
    "read = [np.pad(np.arange(size), pads, **pad) for size, pads in zip(x.shape[2:], padding)]",
    "",
    "y, gx, gw = np.zeros(gy.shape), np.zeros(x.shape), np.zeros(w.shape)",
    "for oc, c, *at in np.ndindex(*w.shape[:2], *gy.shape[2:], *w.shape[2:]):",
    `    o, k = at[:${g.rank}], at[${g.rank}:]`,
    `    i = [read[n][o[n] * stride[n] + ${tap} * dilation[n]] for n in range(${g.rank})]`,
    "    ic = oc // (w.shape[0] // groups) * w.shape[1] + c",
    ...(g.mode === "constant"
      ? [
          "    if min(i) < 0:",
          `        y[0, oc, *o] += ${g.value} * w[oc, c, *k]`,
          `        gw[oc, c, *k] += gy[0, oc, *o] * ${g.value}`,
          "        continue",
        ]
      : []),
    ...(g.mode === "zeros" ? ["    if min(i) < 0:", "        continue"] : []),
    "    y[0, oc, *o] += x[0, ic, *i] * w[oc, c, *k]",
    "    gx[0, ic, *i] += gy[0, oc, *o] * w[oc, c, *k]",
    "    gw[oc, c, *k] += gy[0, oc, *o] * x[0, ic, *i]",
  ];
  return finished(lines);
}

/** @param {Geometry} g @param {Arrays} arrays */
function convgrad(g, arrays) {
  const f = facts(g);
  const native = g.mode === "zeros";
  const options = [
    ...(f.strided ? [`stride=${f.stride}`] : []),
    ...(f.dilated ? [`dilation=${f.dilation}`] : []),
    ...(f.padded && native ? [`padding=${f.padding}`] : []),
    ...(g.groups > 1 ? [`groups=${g.groups}`] : []),
  ]
    .map((option) => `, ${option}`)
    .join("");
  const flip = g.flip ? `[:, :, ${f.backwards}]` : "";
  const [weight, input] = [`w${flip}`, native ? "x" : "padded"];
  const gradient = `conv_input_grad(gy, ${weight}, input_size=${input}.shape[2:]${options})`;
  const inner = shownAxes(g)
    .map((axis) => `${axis.before}:${axis.before + axis.input}`)
    .join(", ");
  const lines = [
    "import numpy as np",
    "from convgrad import conv, conv_input_grad, conv_weight_grad",
    "",
    ...assignments(g, arrays, (text) => `np.array(${text}, float)`),
    ...(g.mode === "constant"
      ? [`padded = np.pad(x, [(0, 0), (0, 0), ${f.pairs}], constant_values=${g.value})`, ""]
      : []),
    ...(f.given
      ? []
      : [
          `read = [np.pad(np.arange(size), pads, mode="${NUMPY_MODES[g.mode]}") for size, pads in zip(x.shape[2:], ${f.padding})]`,
          "at = (slice(None), slice(None), *np.ix_(*read))",
          "padded = x[at]",
          "",
        ]),
    `y = conv(${input}, ${weight}${options})`,
    ...(f.given
      ? [`gx = ${gradient}${native ? "" : `[:, :, ${inner}]`}`]
      : ["gx = np.zeros(x.shape)", `np.add.at(gx, at, ${gradient})  # the gradient folds back`]),
    `gw = conv_weight_grad(gy, ${input}, kernel_size=w.shape[2:]${options})${flip}`,
  ];
  return finished(lines);
}

/** @param {Geometry} g @param {Arrays} arrays */
function torch(g, arrays) {
  const f = facts(g);
  const alike = g.mode === "zeros" && shownAxes(g).every((axis) => axis.before === axis.after);
  const options = [
    ...(f.strided ? [`stride=${f.stride}`] : []),
    ...(f.padded && alike ? [`padding=${tuple(shownAxes(g).map((axis) => axis.before))}`] : []),
    ...(f.dilated ? [`dilation=${f.dilation}`] : []),
    ...(g.groups > 1 ? [`groups=${g.groups}`] : []),
  ]
    .map((option) => `, ${option}`)
    .join("");
  const lastFirst = shownAxes(g)
    .toReversed()
    .flatMap((axis) => [axis.before, axis.after]);
  const weight = g.flip ? `w.flip(${tuple(shownAxes(g).map((_, n) => n + 2))})` : "w";
  const lines = [
    ...(f.given ? [] : ["import numpy as np"]),
    "import torch",
    "from torch.nn import functional as F",
    "",
    ...assignments(
      g,
      arrays,
      (text, name) => `torch.tensor(${text}, dtype=torch.float64${name === "gy" ? "" : ", requires_grad=True"})`,
    ),
    ...(f.given
      ? []
      : [
          "# which input position is read at each place, padding included: indexing, so that the gradient folds back",
          `read = [np.pad(np.arange(size), pads, mode="${NUMPY_MODES[g.mode]}") for size, pads in zip(x.shape[2:], ${f.padding})]`,
        ]),
    ...(alike || !f.padded
      ? ["padded = x"]
      : f.given
        ? [`padded = F.pad(x, ${tuple(lastFirst)}${g.mode === "constant" ? `, value=${g.value}` : ""})`]
        : [`padded = x[:, :, ${g.rank === 1 ? "read[0]" : "read[0]][:, :, :, read[1]"}]`]),
    `y = F.conv${g.rank}d(padded, ${weight}${options})`,
    "y.backward(gy)",
    "gx, gw = x.grad, w.grad",
  ];
  return finished(lines);
}

/** @param {Geometry} g @param {Arrays} arrays */
function jax(g, arrays) {
  const f = facts(g);
  const native = g.mode === "zeros";
  const mode = g.mode === "constant" ? `constant_values=${g.value}` : `mode="${NUMPY_MODES[g.mode]}"`;
  const lines = [
    "import jax",
    "import jax.numpy as jnp",
    "from jax import lax",
    "",
    'jax.config.update("jax_enable_x64", True)',
    ...assignments(g, arrays, (text) => `jnp.array(${text}, float)`),
    "",
    "def layer(x, w):",
    ...(native ? [] : [`    x = jnp.pad(x, [(0, 0), (0, 0), ${f.pairs}], ${mode})`]),
    ...(g.flip ? [`    w = jnp.flip(w, ${tuple(shownAxes(g).map((_, n) => n + 2))})`] : []),
    "    return lax.conv_general_dilated(",
    `        x, w, window_strides=${f.stride}, padding=${native ? f.padding : '"VALID"'},`,
    `        rhs_dilation=${f.dilation}, feature_group_count=${g.groups})`,
    "",
    "y, pull = jax.vjp(layer, x, w)",
    "gx, gw = pull(gy)",
  ];
  return finished(lines);
}

/** What all four need, as Python text. @param {Geometry} g */
function facts(g) {
  const axes = shownAxes(g);
  const pairs = axes.map((axis) => `(${axis.before}, ${axis.after})`).join(", ");
  return {
    stride: tuple(axes.map((axis) => axis.stride)),
    dilation: tuple(axes.map((axis) => axis.dilation)),
    pairs,
    padding: `[${pairs}]`,
    strided: axes.some((axis) => axis.stride > 1),
    dilated: axes.some((axis) => axis.dilation > 1),
    padded: axes.some((axis) => axis.before + axis.after > 0),
    given: g.mode === "zeros" || g.mode === "constant", // what is read outside is a given number
    backwards: axes.map(() => "::-1").join(", "),
  };
}

/** @param {number[]} numbers */
const tuple = (numbers) => (numbers.length === 1 ? `(${numbers[0]},)` : `(${numbers.join(", ")})`);

/** @param {Geometry} g @param {Arrays} arrays @param {(text: string, name: string) => string} made */
function assignments(g, arrays, made) {
  const size = shapes(g);
  const shape = {
    x: [1, ...size.x],
    w: [g.outChannels, size.w[0] / g.outChannels, ...size.w.slice(1)],
    gy: [1, ...size.y],
  };
  return /** @type {const} */ (["x", "w", "gy"]).map((name) => {
    const spatial = g.rank === 1 ? [...shape[name].slice(0, 2), shape[name][3]] : shape[name];
    return `${name} = ${made(nested([...arrays[name]], spatial), name)}`;
  });
}

/** Flat numbers as a list nested like `shape`. @param {number[]} numbers @param {number[]} shape @returns {string} */
function nested(numbers, [, ...rest]) {
  if (rest.length === 0) return `[${numbers.map(literal).join(", ")}]`;
  const each = rest.reduce((product, n) => product * n, 1);
  const parts = Array.from({ length: numbers.length / each }, (_, n) =>
    nested(numbers.slice(n * each, (n + 1) * each), rest),
  );
  return `[${parts.join(", ")}]`;
}

/** @param {number} number */
const literal = (number) => (Number.isFinite(number) ? `${number}` : `float("${`${number}`.toLowerCase()}")`);

/** @param {string[]} lines */
const finished = (lines) => [...lines, 'print(y, gx, gw, sep="\\n\\n")', ""].join("\n");

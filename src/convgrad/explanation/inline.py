"""Writes JavaScript modules into one script that needs no loader: each becomes a function, called once, in order.

The modules keep to a small part of the language, and anything else is refused: imports are `import { a, b } from
"./other.js";`, exports stand before a `const`, `function` or `class` at the start of a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Read = Callable[[str], str]

_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|class) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def inlined(entry: str, read: Read) -> str:
    """One script of the module `entry` and all that it imports. `read` gives a module's text by its name.

    >>> modules = {"main": 'import { a } from "./a.js";\\nprint(a);\\n', "a": "export const a = 1;\\n"}
    >>> print(inlined("main", modules.__getitem__))
    "use strict";
    const module_a = (() => {
    const a = 1;
    return { a };
    })();
    const module_main = (() => {
    const { a } = module_a;
    print(a);
    return {};
    })();
    <BLANKLINE>
    """
    texts: dict[str, str] = {}
    for name in _ordered(entry, read, ()):
        texts[name] = _wrapped(name, read(name))
    return '"use strict";\n' + "".join(texts.values())


def _ordered(name: str, read: Read, above: tuple[str, ...]) -> list[str]:
    """`name` and its imports, each after what it imports itself."""
    if name in above:
        raise ValueError(f"modules import each other in a circle: {' -> '.join([*above, name])}")
    order: list[str] = []
    for found in _IMPORT.finditer(read(name)):
        order += [other for other in _ordered(found[2], read, (*above, name)) if other not in order]
    return [*order, name]


def _wrapped(name: str, text: str) -> str:
    exports = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = module_{found[2]};\n", text))
    left = _LEFT.search(body)
    if left:
        raise ValueError(f"{name}.js: {left[0]!r} is an import or export that is not understood here")
    returned = f"return {{ {exports} }};" if exports else "return {};"
    return f"const module_{name} = (() => {{\n{body}{returned}\n}})();\n"

"""Where things are in the frame with which XLA calls a foreign function.

From `xla/ffi/api/c_api.h`, version 0.3 (jaxlib 0.10) and later, on 64-bit machines; `handlers` tries it once in every
process before it relies on it.
"""

from __future__ import annotations

import ctypes

# byte offsets
FRAME = {"extension": 8, "api": 16, "stage": 32, "arguments": 72, "results": 112}
EXTENSION = {"type": 8, "metadata": 24}
METADATA = {"major": 24, "minor": 28}
BUFFER_DATA = 24
API_ERROR_CREATE = 48

IS_METADATA = 1  # the type of an extension
EXECUTE = 3  # the stage
VERSION = (0, 1)  # of the interface that we were written for
INTERNAL = 13  # the code of an error


def is_question(frame: int) -> bool:
    """Whether XLA wants to know something, or another stage; what it wants to know is answered."""
    extension = _pointer(frame + FRAME["extension"])
    if extension and _int(extension + EXTENSION["type"]) == IS_METADATA:
        metadata = _pointer(extension + EXTENSION["metadata"])
        for field, number in zip(METADATA.values(), VERSION, strict=True):
            ctypes.c_int32.from_address(metadata + field).value = number
        return True
    return _int(frame + FRAME["stage"]) != EXECUTE


def pointers(frame: int) -> tuple[int, int, int]:
    """The addresses of both arguments and of the result."""
    arguments, results = _pointer(frame + FRAME["arguments"]), _pointer(frame + FRAME["results"])
    buffers = _pointer(arguments), _pointer(arguments + 8), _pointer(results)
    first, second, result = (_pointer(buffer + BUFFER_DATA) for buffer in buffers)
    return first, second, result


class _ErrorCreate(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )


def fail(frame: int, message: str) -> int:
    """An error for XLA to raise."""
    api = _pointer(frame + FRAME["api"])
    create = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(_pointer(api + API_ERROR_CREATE))
    arguments = _ErrorCreate(_ErrorCreate.code.offset + 4, None, message.encode(), INTERNAL)
    found: int = create(ctypes.addressof(arguments))
    return found


def _pointer(address: int) -> int:
    return ctypes.c_void_p.from_address(address).value or 0


def _int(address: int) -> int:
    return ctypes.c_int32.from_address(address).value

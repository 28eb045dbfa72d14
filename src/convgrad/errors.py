"""Every exception that convgrad raises on purpose.

    ConvgradError
      GeometryError      (ValueError)    the numbers describe no convolution
      UnsupportedError   (TypeError)     they do, but nothing here computes it
      InputError         (ValueError)    a file or folder cannot be used
      MissingExtraError  (ImportError)   an optional library is absent

Each message has one form, and its four parts stay readable as attributes:

    argument = value: the rule, with the user's numbers in it; accepted: what would pass
"""

from __future__ import annotations


class ConvgradError(Exception):
    """Base of all errors here: what was given, which rule it broke, what would pass."""

    def __init__(self, argument: str, value: object, rule: str, accepted: str) -> None:
        super().__init__(argument, value, rule, accepted)
        self.argument = argument
        self.value = value
        self.rule = rule
        self.accepted = accepted

    def __str__(self) -> str:
        return f"{self.argument} = {self.value!r}: {self.rule}; accepted: {self.accepted}"


class GeometryError(ConvgradError, ValueError):
    """Shapes and options that describe no convolution."""


class UnsupportedError(ConvgradError, TypeError):
    """A convolution that exists, of a kind that nothing here computes."""


class InputError(ConvgradError, ValueError):
    """A file, folder or model that cannot be read, trusted or written."""

    def __str__(self) -> str:
        # a path reads better bare than quoted: `path/to/file: rule; accepted: ...`
        return f"{self.value}: {self.rule}; accepted: {self.accepted}"


class MissingExtraError(ConvgradError, ImportError):
    """An optional library that the called function needs is not installed; `extra` is ours that brings it, or empty."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        rule = f"is not installed, and {purpose} needs it"
        super().__init__(library, None, rule, f'pip install "convgrad[{extra}]"' if extra else f"pip install {library}")
        self.args = (library, extra, purpose)  # what pickle calls the constructor with

    def __str__(self) -> str:
        return f"{self.argument} {self.rule}; accepted: {self.accepted}"

"""Other libraries that tests compare with: present, or skipped with a reason, or required."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest


def peer(name: str) -> ModuleType:
    """The module `name`. Where its library is absent the test skips, or fails if CONVGRAD_REQUIRE_PEERS names it.

    CONVGRAD_REQUIRE_PEERS: libraries separated by commas, as in "torch,jax".
    """
    library = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if library in os.environ.get("CONVGRAD_REQUIRE_PEERS", "").split(","):
            pytest.fail(f"CONVGRAD_REQUIRE_PEERS asks for {library}: {error}")
        pytest.skip(f"{library} is not installed, and this test compares with it", allow_module_level=True)

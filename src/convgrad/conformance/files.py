"""Cases on disk: one JSON file each, with the script that shows the failure beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..errors import InputError
from .campaign import Report
from .case import Case


def save(folder: Path, report: Report) -> list[Path]:
    """Write every finding of a report; returns the JSON files.

    Raises InputError where the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for finding in report.findings:
            digest = hashlib.sha256(str(finding.case).encode()).hexdigest()[:8]
            name = f"{report.backend.replace(':', '.')}-{finding.verdict.kind}-{digest}"
            path = folder / f"{name}.json"
            path.write_text(json.dumps({"backend": report.backend, **finding.to_json()}, indent=1) + "\n", "utf-8")
            path.with_suffix(".py").write_text(finding.reproduction, "utf-8")
            written.append(path)
    except OSError as error:
        raise InputError("save", str(folder), f"cannot be written ({error.strerror})", "a folder to write to") from None
    return written


def load(path: Path) -> list[Case]:
    """The cases of a file, or of every JSON file of a folder.

    Raises InputError for what holds none.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            found.append(Case.from_json(json.loads(file.read_text("utf-8"))["case"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("replay", str(file), f"holds no case ({error})", "what --save wrote") from None
    if not found:
        raise InputError("replay", str(path), "holds no saved case", "a folder or file that --save wrote")
    return found

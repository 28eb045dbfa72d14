"""Make src/convgrad/train/digits.npz: the 1797 real 8x8 scans, from the copy that scikit-learn carries.

    uv run --with scikit-learn tools/make_digits.py [OUT.npz]

The same bytes on every run and machine with the same zlib; the arrays are the same on all.
"""

from __future__ import annotations

import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "convgrad" / "train" / "digits.npz"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    digits = load_digits()
    arrays = {"x": digits.images.astype(np.uint8), "y": digits.target.astype(np.uint8)}
    assert arrays["x"].shape == (1797, 8, 8) and arrays["x"].max() == 16
    assert (arrays["x"] == digits.images).all() and (arrays["y"] == digits.target).all()
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            member = BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: nothing of today's date gets into the file
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()

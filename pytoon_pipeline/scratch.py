"""Working folders of this machine, each with a sign that its process lives: a lock, which ends with
the process however that ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytoon_pipeline.locks import grasp

_SIGN = ".held"


@contextmanager
def working_folder(root: Path, prefix: str) -> Iterator[Path]:
    """A folder of one's own below `root`, gone afterwards. OSError when it can't be made."""
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    try:
        sign = grasp(folder / _SIGN)
        assert sign is not None, "nobody else knows of this folder yet"
        with sign:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forsaken(folder: Path) -> bool | None:
    """Has the process of a working folder ended? None where the folder bears no sign."""
    if not (folder / _SIGN).is_file():
        return None
    try:
        sign = grasp(folder / _SIGN)
    except OSError:
        return None
    if sign is None:
        return False
    sign.close()
    return True

"""What Pytoon carries, as it is shipped: a copy that tests use in place of the checkout's own
folders, so that a brief, a brand or a font that somebody has put there changes no test."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("presets", "briefs", "deploy")
VARIABLE = "PYTOON_DATA_DIR"


def shipped_files(root: Path = ROOT) -> list[str]:
    """Files of those folders that git knows; all of them where there is no git."""
    # The checkout may belong to somebody else than whoever runs the tests.
    listed = (
        subprocess.run(
            ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--", *FOLDERS],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if (root / ".git").exists() and shutil.which("git")
        else None
    )
    if listed is not None and listed.returncode == 0:
        names = listed.stdout.split("\0")
        return [n for n in names if n and (root / n).is_file()]
    found = (p for f in FOLDERS for p in (root / f).rglob("*") if p.is_file())
    return [p.relative_to(root).as_posix() for p in found]


def lay_out_shipped_data() -> None:
    """Copies them to a new folder and makes Pytoon take it for what it carries, in this process and
    all that it starts. The folder is gone when this process ends."""
    if os.environ.get("PYTEST_XDIST_WORKER") and os.environ.get(VARIABLE):
        return  # The process that started this one has done so.
    folder = Path(tempfile.mkdtemp(prefix="pytoon-shipped-"))
    folder.chmod(0o755)
    for name in shipped_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    os.environ[VARIABLE] = str(folder)
    owner = os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder, ignore_errors=True))


def plain_environment(*, without: tuple[str, ...] = ()) -> dict[str, str]:
    """This process's environment without settings of Pytoon's and Dagster's, but for where the
    shipped data lies. `without`: further prefixes of names to leave out."""
    refused = ("PYTOON_", "DAGSTER_HOME", *without)
    return {k: v for k, v in os.environ.items() if k == VARIABLE or not k.startswith(refused)}

"""The walls between the layers hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pytoon_pipeline import dagster_private

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytoon_pipeline"


def test_layers_import_downward_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_private_names_of_dagster_are_imported_in_one_place():
    """An upgrade of Dagster that moves one of them fails there, by name."""
    private = re.compile(r"^\s*(?:from|import) dagster(?:_\w+)?\._", re.MULTILINE)
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if private.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["dagster_private.py"]
    assert all(getattr(dagster_private, name) for name in dagster_private.LAZY)


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_functions_are_named_by_verb_and_object():
    """A name of one word says too little to be found, or to be understood where it is called."""
    names = [
        node.name
        for _, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("__")
    ]
    one_word = [name for name in names if "_" not in name.strip("_")]
    assert len(one_word) < 0.2 * len(names), Counter(one_word).most_common(20)


def test_a_class_name_means_one_class_and_exceptions_end_in_error():
    classes = [
        (node, path)
        for path, tree in _trees()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    count = Counter(node.name for node, _ in classes)
    assert not [name for name, times in count.items() if times > 1]
    errors = {"Exception", "ValueError", "OSError", "KeyError", "LookupError", "RuntimeError"}
    for _ in range(6):  # As deep as classes derive from one another.
        errors |= {
            node.name
            for node, _ in classes
            if any(isinstance(base, ast.Name) and base.id in errors for base in node.bases)
        }
    assert not [name for name in errors if name in count and not name.endswith("Error")]


def test_files_are_short_enough_to_be_read():
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long

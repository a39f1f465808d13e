"""The documentation is true: its commands run, and what it names exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml
from shipped import ROOT, plain_environment

from pytoon_pipeline.cli import app
from pytoon_pipeline.settings import project_data

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        ROOT / "deploy" / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "decisions").glob("*.md"),
    ]
)
MARKS = ("server", "slow", "install", "example")
"""After `sh`: why a block is not run here (CONTRIBUTING.md, "Write documentation")."""
OTHER_PROGRAMS = {
    *("export", "cp", "curl", "docker", "envsubst", "pip", "schemathesis"),
    "dagster-daemon",
}
"""What marked blocks may start besides `pytoon` and `make`."""
INVENTED = ("NAME", "mine", "acme", ".env", "<", "*", "...")
"""In names of files that a reader is to choose."""
OTHERS_NAMES = {"DynamicOut", "NAME", "check_NAME"}
"""Names in the pages that are not of this project's code."""

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    blocks = []
    for match in _FENCE.finditer(text):
        language, _, mark = match[2].strip().partition(" ")
        line = text.count("\n", 0, match.start()) + 1
        blocks.append(Block(page_id(path), line, language, mark, textwrap.dedent(match[3])))
    return blocks


BLOCKS = [block for page in PAGES for block in read_blocks(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]


@cache
def prose_of(path: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def inline_code(path: Path) -> list[str]:
    return _CODE.findall(prose_of(path))


def read_commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell block as lists of words, without variables that are set before."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word in ("|", "&", "&&", "||", ";"):
                if command:
                    yield command
                command = []
            elif command or not re.match(r"[A-Z_]+=", word):
                command.append(word)


@cache
def make_targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE))


@cache
def cli_options(name: str) -> frozenset[str]:
    """The options that a command of `pytoon` accepts. KeyError for one that does not exist."""
    group = typer.main.get_command(app)
    assert hasattr(group, "commands")
    command = group.commands[name]
    if name == "page":
        from dagster_webserver import cli

        command = cli.dagster_webserver
    own = {"--help", "-h"}
    return frozenset(own.union(*(p.opts + p.secondary_opts for p in command.params)))


def check_pytoon(words: list[str], where: str) -> None:
    """`pytoon X` exists and accepts every option that is shown."""
    if words[1].startswith("-"):
        assert words[1] in ("--version", "--help"), where
        return
    try:
        known = cli_options(words[1])
    except KeyError:
        raise AssertionError(f"{where}: there is no `pytoon {words[1]}`") from None
    for word in words[2:]:
        option = word.partition("=")[0]
        if re.match(r"--?[a-z]", option):
            assert option in known, f"{where}: `pytoon {words[1]}` has no option {option}"


def check_command(words: list[str], where: str) -> None:
    program = words[0].rpartition("/")[2]
    if program == "pytoon":
        check_pytoon(words, where)
    elif program == "make":
        assert set(words[1:]) <= make_targets(), f"{where}: {words}"
    else:
        assert program in OTHER_PROGRAMS, f"{where}: {words}"


# Commands -----------------------------------------------------------------------------------------


def test_every_block_says_what_it_is() -> None:
    for block in BLOCKS:
        assert block.language, f"{block}: a block without a language"
        assert block.language not in ("bash", "shell", "console"), f"{block}: write sh"
        assert not block.mark or (block.language == "sh" and block.mark in MARKS), str(block)
    assert len(SHELL) > 15


def test_no_command_hides_in_an_indented_block() -> None:
    for page in PAGES:
        lines = prose_of(page).splitlines()
        for before, line in zip(["", *lines], lines, strict=False):
            indented = not before.strip() and re.match(r" {4}(\.venv/|pytoon |make |pip )", line)
            assert not indented, f"{page_id(page)}: {line}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_exist_with_their_options(block: Block) -> None:
    commands = list(read_commands(block.text))
    assert commands, "a shell block without a command"
    for words in commands:
        check_command(words, str(block))


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with Pytoon's own presets and briefs, and an environment in which `pytoon` runs."""
    start_in = tmp_path / "folder"
    for name in ("presets", "briefs"):
        shutil.copytree(project_data(name), start_in / name, copy_function=_link_or_copy)
    for place in (tmp_path / "bin", start_in / ".venv" / "bin"):
        place.mkdir(parents=True)
        start = place / "pytoon"
        start.write_text(f'#!/bin/sh\nexec {sys.executable} -m pytoon_pipeline.cli "$@"\n')
        start.chmod(start.stat().st_mode | stat.S_IXUSR)
    environment = plain_environment()
    environment |= {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTOON_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": "",
    }
    return start_in, environment


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.mark.parametrize("block", [b for b in SHELL if not b.mark], ids=str)
def test_unmarked_blocks_run(block: Block, folder: tuple[Path, dict[str, str]]) -> None:
    start_in, environment = folder
    done = subprocess.run(
        ["sh", "-e", "-c", block.text],
        cwd=start_in,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_within_sentences_exist(page: Path) -> None:
    for code in inline_code(page):
        if re.match(r"(pytoon|make) [a-z-]", code):
            plain = code.replace("[", "").replace("]", "").replace("\\|", "|")
            for words in read_commands(plain):
                check_command(words, page_id(page))
        for named in re.findall(r"-m pytest ((?:tests/\S+\s*)+)", code):
            for file in named.split():
                assert (ROOT / file.partition("::")[0]).exists(), f"{page_id(page)}: {file}"


# Names --------------------------------------------------------------------------------------------


def heading_slugs(path: Path) -> set[str]:
    """The fragments that GitHub and the site give to the headings of a page."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        found.add(re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip()))
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_what_exists(page: Path) -> None:
    for target in _LINK.findall(prose_of(page)):
        if re.match(r"[a-z]+://", target):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page_id(page)}: {target}"
        if fragment:
            assert fragment in heading_slugs(file), f"{page_id(page)}: {target}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=page_id)
def test_named_files_exist(page: Path) -> None:
    top = {"pytoon_pipeline", "tests", "docs", "presets", "deploy", ".ci"}
    package = {p.name for p in (ROOT / "pytoon_pipeline").iterdir() if p.is_dir()}
    for code in inline_code(page):
        name = code.partition("::")[0]
        if not re.fullmatch(r"[\w.<>*-]+(/[\w.<>*-]*)+", name) or any(x in name for x in INVENTED):
            continue
        first = name.partition("/")[0]
        if first in top:
            assert (ROOT / name).exists(), f"{page_id(page)}: {name}"
        elif first in package and name.endswith(".py"):
            assert (ROOT / "pytoon_pipeline" / name).exists(), f"{page_id(page)}: {name}"


@cache
def all_names() -> frozenset[str]:
    """Every word of the code, its tests and its configuration."""
    files = [ROOT / "pyproject.toml", *(ROOT / "pytoon_pipeline").rglob("*.py")]
    files += [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__)]
    words: set[str] = set()
    for file in files:
        words.update(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    return frozenset(words)


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page.parent.name == "decisions" or page.name in ("CONTRIBUTING.md", "glossary.md")
    ],
    ids=page_id,
)
def test_named_symbols_exist(page: Path) -> None:
    for code in inline_code(page):
        symbol = re.fullmatch(r"(?:\w+\.)*(\w*[a-z]_\w+|_\w+|[A-Z]\w*[a-z]\w*|[A-Z_]{4,})", code)
        if symbol and symbol[1] not in OTHERS_NAMES:
            assert symbol[1] in all_names(), f"{page_id(page)}: {code}"


def test_named_settings_exist() -> None:
    known = {w for f in ("pytoon_pipeline", "deploy", "tests", "Makefile") for w in _settings_in(f)}
    for page in PAGES:
        for name in re.findall(r"PYTOON_[A-Z0-9_]*[A-Z0-9]", page.read_text(encoding="utf-8")):
            assert name in known, f"{page_id(page)}: {name}"


def _settings_in(name: str) -> set[str]:
    place = ROOT / name
    files = [p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place]
    found: set[str] = set()
    for file in files:
        if file != Path(__file__):
            text = file.read_text(encoding="utf-8", errors="ignore")
            found.update(re.findall(r"PYTOON_[A-Z0-9_]*[A-Z0-9]", text))
    return found


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_yaml_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict | None), block.text


def test_the_map_names_every_package() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("## The map of the code")[2]
    packages = {p.parent.name for p in (ROOT / "pytoon_pipeline").glob("*/__init__.py")}
    assert set(re.findall(r"`pytoon_pipeline/(\w+)`", table)) == packages


def test_every_page_is_in_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))

    def pages(item: object) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            for value in item.values():
                yield from pages(value)
        elif isinstance(item, list):
            for value in item:
                yield from pages(value)

    shown = set(pages(site["nav"]))
    docs = ROOT / "docs"
    assert shown >= {p.relative_to(docs).as_posix() for p in PAGES if p.is_relative_to(docs)}
    assert site["theme"]["font"] is False, "no font of another server"


def test_wrong_commands_are_found() -> None:
    for line in ("pytoon rendr x", "pytoon render x --ouut y", "make nothing", "rm -rf /"):
        with pytest.raises(AssertionError):
            for words in read_commands(line):
                check_command(words, "here")

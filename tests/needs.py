"""Programs that some tests need and that no Python package brings: found, or their tests skipped
with the reason. Where `CI` is set a skip would hide what was not tried, so it fails there."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_program(*names: str) -> str | None:
    """A program by the first of its names that is there: beside this Python, then on the path."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return next(filter(None, (shutil.which(name, path=places) for name in names)), None)


def find_browser() -> str | None:
    """Chromium or Chrome of the system, else the one that Playwright has downloaded."""
    if found := find_program(*BROWSERS):
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    folders = Path(own).parents[2].glob("chromium_headless_shell-*/*/*") if own else ()
    shells = [p for p in folders if p.name in ("headless_shell", "chrome-headless-shell")]
    return next((str(p) for p in [Path(own), *shells] if p.is_file()), None)


def give_up(what: str, remedy: str) -> NoReturn:
    """Skips the test, or fails it in CI."""
    said = f"needs {what}: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(said, pytrace=False)
    pytest.skip(said)


def need_browser() -> str:
    return find_browser() or give_up("a browser", "install the Debian package chromium, or Chrome")


def find_nginx() -> str | None:
    """It lies where only root's shell looks."""
    return find_program("nginx", "/usr/sbin/nginx")


def need_nginx() -> str:
    return find_nginx() or give_up("nginx", "install the Debian package nginx-light")


def need_redis() -> str:
    return find_program("redis-server", "valkey-server") or give_up(
        "a Redis server", "install the Debian package redis-server"
    )

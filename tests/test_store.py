"""One contract over all stores."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytoon_pipeline.errors import SettingsError, StoreError
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.store import FolderStore, Store, open_store


@pytest.fixture(params=["folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return {"folder": lambda: FolderStore(tmp_path / "store")}[request.param]()


def test_what_is_put_is_found(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"pixels")
    assert not store.exists("segments/a.mp4")
    store.put("segments/a.mp4", tmp_path / "a")
    store.put_bytes("documents/x y/ü 🎬.json", b"{}")
    assert store.local("segments/a.mp4").read_bytes() == b"pixels"
    assert store.read_bytes("documents/x y/ü 🎬.json") == b"{}"
    assert store.keys("documents") == ["documents/x y/ü 🎬.json"]
    store.put_bytes("segments/a.mp4", b"newer")
    assert store.read_bytes("segments/a.mp4") == b"newer"
    assert store.url("segments/a.mp4")


def test_the_first_of_several_stays(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"second")
    assert store.put("segments/a.mp4", tmp_path / "a", once=True)
    assert not store.put("segments/a.mp4", tmp_path / "b", once=True)
    assert not store.put_bytes("segments/a.mp4", b"third", once=True)
    assert store.local("segments/a.mp4").read_bytes() == b"first"
    assert store.keys("segments") == ["segments/a.mp4"]


def test_what_lies_there_is_told_and_deleted(store: Store) -> None:
    before = time.time() - 2
    store.put_bytes("a/one.json", b"1234")
    store.put_bytes("b/two.json", b"12")
    found = {s.key: s for s in store.objects("")}
    assert {k: s.bytes for k, s in found.items()} == {"a/one.json": 4, "b/two.json": 2}
    assert all(before < s.modified < time.time() + 2 for s in found.values())
    assert store.stat("a/one.json") == found["a/one.json"] and store.stat("a/none") is None
    store.delete("a/one.json")
    store.delete("a/one.json")
    assert not store.exists("a/one.json") and store.keys("") == ["b/two.json"]


def test_what_is_absent_is_said(store: Store) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        store.local("nowhere.mp4")
    assert store.keys("nothing") == []


def test_half_a_file_is_never_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        store.put("segments/a.mp4", tmp_path / "does-not-exist")
    assert not store.exists("segments/a.mp4") and store.keys("segments") == []


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../b", "a//b", ".tmp-x", "a\\b"])
def test_keys_stay_inside(store: Store, key: str) -> None:
    with pytest.raises(StoreError):
        store.put_bytes(key, b"")


def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(SettingsError, match="PYTOON_STORE"):
        open_store(load_settings({"PYTOON_STORE": "ftp://host/folder"}))

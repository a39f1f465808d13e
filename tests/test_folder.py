"""Briefs in folders, and the ledger of them."""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_states import force_state

from pytoon_pipeline.briefs.source import BriefSource, content_hash, read_signature, read_stillness
from pytoon_pipeline.errors import StoreError, UserError
from pytoon_pipeline.intake.folders import find_sources, scan_folder
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.store.base import checked_key


def write(path: Path, text: str = "media: [a.jpg]\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def keys(root: Path) -> list[str]:
    sources, problems = scan_folder(root)
    assert problems == []
    return [s.key for s in sources]


def test_every_shape_of_a_brief_is_found(tmp_path: Path):
    write(tmp_path / "spring/lamp/brief.yaml")
    write(tmp_path / "spring/desk/render_spec.json", '{"segments": []}')
    write(tmp_path / "spring/chair.yaml")
    write(tmp_path / "spring/plan.yaml", "archetype: hero\nsegments:\n  - media: a.jpg\n")
    write(tmp_path / "loose/brief.yaml")
    sources = {s.key: s for s in find_sources([tmp_path])}
    assert set(sources) == {
        f"{tmp_path.name}/loose",
        "spring/chair",
        "spring/desk",
        "spring/lamp",
        "spring/plan",
    }
    assert {k: s.kind for k, s in sources.items() if s.kind == "spec"} == {
        "spring/desk": "spec",
        "spring/plan": "spec",
    }
    assert sources["spring/lamp"].folder == tmp_path / "spring/lamp"
    assert sources["spring/chair"].folder == tmp_path / "spring"


@pytest.mark.parametrize(
    "given_path, expected",
    [
        ("spring", ["spring/chair", "spring/lamp"]),
        ("spring/lamp", ["spring/lamp"]),
        ("spring/lamp/brief.yaml", ["spring/lamp"]),
        ("spring/chair.yaml", ["spring/chair"]),
        (".", ["spring/chair", "spring/lamp"]),
    ],
)
def test_a_person_may_name_any_level(tmp_path: Path, given_path: str, expected: list[str]):
    write(tmp_path / "spring/lamp/brief.yaml")
    write(tmp_path / "spring/chair.yaml")
    assert [s.key for s in find_sources([tmp_path / given_path])] == expected


def test_what_is_no_brief_is_passed_over(tmp_path: Path):
    for name in (
        ".pytoon/store/x/brief.yaml",
        "spring/.hidden.yaml",
        "spring/_draft.yaml",
        "spring/_old/brief.yaml",
        "spring/brand.yaml",
        "spring/acme.brand.yaml",
        "spring/lamp/notes.yaml",
        "spring/lamp/deeper/brief.yaml",
        "spring/metrics.json",
    ):
        write(tmp_path / name)
    write(tmp_path / "spring/lamp/brief.yaml")
    assert keys(tmp_path) == ["spring/lamp"]


def test_briefs_lie_at_any_depth(tmp_path: Path):
    root = tmp_path / "root"
    for name in ("2025/spring/lamp", "2026/spring/lamp", "2026/spring/more/desk"):
        write(root / name / "brief.yaml")
    write(root / "2026/spring/chair.yaml")
    found = {s.path.relative_to(root).as_posix(): (s.campaign, s.key) for s in scan_folder(root)[0]}
    assert found == {
        "2025/spring/lamp/brief.yaml": ("2025/spring", "2025_spring/lamp"),
        "2026/spring/lamp/brief.yaml": ("2026/spring", "2026_spring/lamp"),
        "2026/spring/chair.yaml": ("2026/spring", "2026_spring/chair"),
        "2026/spring/more/desk/brief.yaml": ("2026/spring/more", "2026_spring_more/desk"),
    }


def test_links_out_of_the_folder_are_passed_over(tmp_path: Path):
    write(tmp_path / "elsewhere/secret/brief.yaml")
    root = tmp_path / "root"
    write(root / "spring/lamp/brief.yaml")
    (root / "spring/stolen").symlink_to(tmp_path / "elsewhere/secret")
    (root / "spring/round").symlink_to(root / "spring")
    (root / "spring/nowhere").symlink_to(root / "gone")
    (root / "spring/inner").mkdir()
    (root / "spring/inner/brief.yaml").symlink_to(tmp_path / "elsewhere/secret/brief.yaml")
    (root / "spring/again").symlink_to(root / "spring/lamp")
    assert keys(root) == ["spring/again", "spring/lamp"]


def test_nothing_to_render_is_said_for_every_path(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "photo.jpg")
    with pytest.raises(UserError) as caught:
        find_sources([tmp_path / "empty", tmp_path / "photo.jpg", tmp_path / "gone"])
    assert [p.code for p in caught.value.problems] == ["call.nothing", "call.kind", "call.missing"]
    assert all(p.file and p.remedy for p in caught.value.problems)


def test_names_of_all_scripts_stay_and_are_one_form(tmp_path: Path):
    decomposed = unicodedata.normalize("NFD", "café")
    write(tmp_path / "夏 セール" / f"{decomposed} 🎉" / "brief.yaml")
    (key,) = keys(tmp_path)
    assert key == "夏 セール/café 🎉"
    assert unicodedata.is_normalized("NFC", key)


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_a_key_is_safe_whatever_the_names(campaign: str, name: str):
    key = BriefSource(Path("x"), "brief", campaign, name, Path(".")).key
    assert checked_key(f"videos/{key}/video.mp4")
    assert key.count("/") == 1
    assert "..." not in key and not any(c in key for c in "\a\b\f\n\r\t\v\0")
    assert all(len(part.encode()) <= 200 for part in key.split("/"))


# Contents ----------------------------------------------------------------------------------------


def test_contents_are_the_brief_and_the_files_it_names(tmp_path: Path):
    folder = tmp_path / "c/b"
    path = write(folder / "brief.yaml", "media: [a.jpg, 'ö 1.png']\nbrand: kit.yaml\n")
    write(folder / "kit.yaml", "logo: {on_pictures: logo.png}\n")
    for name in ("a.jpg", "ö 1.png", "logo.png", "unused.jpg"):
        write(folder / name, name)
    (source,) = find_sources([path])
    first = content_hash(source)

    os.utime(folder / "a.jpg", (1, 1))
    write(folder / "unused.jpg", "changed")
    assert content_hash(source) == first, "a touched file, or one that is not named, is no change"
    for name in ("a.jpg", "ö 1.png", "logo.png", "kit.yaml", "brief.yaml"):
        before, seen = content_hash(source), read_signature(source)
        write(folder / name, (folder / name).read_text() + "\n# more")
        assert content_hash(source) != before and read_signature(source) != seen, name


def test_contents_of_a_moved_folder_are_the_same(tmp_path: Path):
    write(tmp_path / "c/b/brief.yaml")
    write(tmp_path / "c/b/a.jpg", "pixels")
    (source,) = find_sources([tmp_path / "c"])
    before = content_hash(source)
    (tmp_path / "c").rename(tmp_path / "d")
    (moved,) = find_sources([tmp_path / "d"])
    assert content_hash(moved) == before


def test_contents_include_a_named_media_root(tmp_path: Path):
    path = write(tmp_path / "c/b/brief.yaml", "media: ['products:lamp/a.jpg']\n")
    photo = write(tmp_path / "products/lamp/a.jpg", "one")
    (source,) = find_sources([path])
    roots = {"products": tmp_path / "products"}
    before = content_hash(source, roots)
    photo.write_text("two!")
    assert content_hash(source, roots) != before


@pytest.mark.parametrize(
    "text", ["media: [a.jpg", "\x00", "- 1", "", "a: &x [*x]", "media: ['../../o']"]
)
def test_a_broken_brief_still_has_contents(tmp_path: Path, text: str):
    path = write(tmp_path / "c/b/brief.yaml", text)
    write(tmp_path / "o", "outside")
    (source,) = find_sources([path])
    before = content_hash(source)
    write(path, "media: [a.jpg]\n")
    assert content_hash(source) != before


def test_stillness_sees_half_copied_files(tmp_path: Path):
    path = write(tmp_path / "c/b/brief.yaml")
    (source,) = find_sources([path])
    before = read_stillness(source)
    part = write(tmp_path / "c/b/.a.jpg.Xy12", "half")
    for file in (path, part):
        os.utime(file, (1, 1))
    after = read_stillness(source)
    assert after.signature != before.signature
    assert after.newest > 1e9, "a copy that keeps old times is new all the same"


# The ledger --------------------------------------------------------------------------------------


def source_of(path: Path) -> BriefSource:
    (source,) = find_sources([write(path)])
    return source


def test_a_key_is_kept_over_restarts(tmp_path: Path):
    source = source_of(tmp_path / "c/b/brief.yaml")
    assert Ledger(tmp_path / "l.db").register(source) == "c/b"
    again = Ledger(tmp_path / "l.db")
    assert again.register(source) == "c/b"
    assert again.source("c/b") == source


def test_two_briefs_of_one_key_are_kept_apart(tmp_path: Path):
    ledger = Ledger(tmp_path / "l.db")
    first = source_of(tmp_path / "one/c/b/brief.yaml")
    second = source_of(tmp_path / "two/c/b/brief.yaml")
    flat = source_of(tmp_path / "one/c/b.yaml")
    found = [ledger.register(s) for s in (first, second, flat)]
    assert found[0] == "c/b"
    assert len(set(found)) == 3
    assert all(k.startswith("c/b~") and len(k) == len("c/b~") + 6 for k in found[1:])
    assert [ledger.register(s) for s in (first, second, flat)] == found
    assert ledger.source(found[1]) == second


def test_a_moved_brief_keeps_its_key(tmp_path: Path):
    ledger = Ledger(tmp_path / "l.db")
    ledger.register(source_of(tmp_path / "one/c/b/brief.yaml"))
    force_state(ledger, "c/b", content_hash="old", state="done")
    (tmp_path / "one").rename(tmp_path / "two")
    moved = source_of(tmp_path / "two/c/b/brief.yaml")
    assert ledger.register(moved) == "c/b"
    assert ledger.find_entry("c/b").content_hash == "" and ledger.source("c/b") == moved


def test_requests_are_numbered(tmp_path: Path):
    ledger = Ledger(tmp_path / "l.db")
    for name in ("a", "b"):
        ledger.register(source_of(tmp_path / f"c/{name}/brief.yaml"))
    assert [ledger.request(k, "h", "l") for k in ("c/a", "c/b", "c/a")] == [1, 2, 3]
    assert ledger.request("c/b", "h", "l", after=40) == 41
    assert ledger.find_entry("c/b").state == "requested"


def test_an_unknown_key_is_the_callers_fault(tmp_path: Path):
    with pytest.raises(UserError, match="No brief is known as 'c/b'"):
        Ledger(tmp_path / "l.db").source("c/b")


def test_a_ledger_that_is_none_is_said(tmp_path: Path):
    (tmp_path / "l.db").write_text("not a database" * 100)
    with pytest.raises(StoreError, match=r"l\.db"):
        Ledger(tmp_path / "l.db")


def test_a_ledger_of_an_earlier_version_keeps_its_keys(tmp_path: Path):
    source = source_of(tmp_path / "c/b/brief.yaml")
    with sqlite3.connect(tmp_path / "l.db") as old:
        old.execute(
            "CREATE TABLE briefs (key TEXT PRIMARY KEY, path TEXT UNIQUE, kind TEXT, folder TEXT, "
            "campaign TEXT, name TEXT, content_hash TEXT, look TEXT, waiting TEXT, serial INTEGER, "
            "state TEXT, error TEXT, updated FLOAT)"
        )
        old.execute(
            "INSERT INTO briefs VALUES ('c/old', ?, 'brief', ?, 'c', 'b', 'h', 'l', '', 7, 'done', "
            "'', 1.5)",
            (str(source.path), str(source.folder)),
        )
        old.execute("CREATE TABLE campaign_pages (campaign TEXT PRIMARY KEY)")
    ledger = Ledger(tmp_path / "l.db")
    assert ledger.register(source) == "c/old"
    entry = ledger.find_entry("c/old")
    assert (entry.state, entry.serial, entry.content_hash) == ("done", 7, "h")
    ledger.note_page("c", asked=2.0)
    assert Ledger(tmp_path / "l.db").find_entry("c/old") == entry

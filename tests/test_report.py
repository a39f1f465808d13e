"""The campaign page: in a real browser, from a folder, with a video that was really rendered."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import pytest
from conftest import picture
from ledger_states import force_state
from needs import need_browser
from playwright.sync_api import Browser, Page, expect, sync_playwright
from s3_server import s3_server

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.cli.report import write_reports
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.deletions import mark_deleted
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.report import export_report, plots, write_report
from pytoon_pipeline.report.rows import gather_rows
from pytoon_pipeline.report.table import escape_formula
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.results import make_thumbnail, write_metrics
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import open_services
from pytoon_pipeline.store import FolderStore, S3Store
from pytoon_pipeline.telemetry.catalogue import BRIEFS
from pytoon_pipeline.telemetry.prometheus import ledger_gauges

MARKUP = "<script>window.hit = 1</script>\"><img src=x onerror='window.hit = 1'>"
NAME = "50% off #1 für alle?"
"""Of the brief that is rendered: nothing in it may be taken for part of an address."""


class Campaign:
    """Six briefs in a store and a ledger of their own: one rendered, two copies of it that say
    something else, and three without a video."""

    name = "Frühling & Co"

    def __init__(self, home: Path):
        settings = load_settings({"PYTOON_HOME": str(home)})
        self.services = open_services(settings)
        self.store = self.services.store
        self.ledger = Ledger(settings.ledger)
        self.root = home / "briefs" / self.name
        self._render()
        meme = {"archetype": "meme", "preset": "loud", "metadata": {"locale": "en"}}
        self._find_copy("meme", meme, hook=MARKUP, lufs=-9.0)
        self._find_copy(
            "zebra", {"metadata": {"locale": "de"}}, hook="=Schönes Café", engine="other"
        )
        self.refused = [
            Problem(
                "a",
                "'x' is no length. It has no unit.",
                "Write a number.",
                file=f"{self.name}/broken/brief.yaml",
                field="media[0].duration",
            ),
            Problem(
                "b",
                "gone.jpg does not exist.",
                "Copy the file there.",
                file=f"{self.name}/broken/brief.yaml",
                field="media[1]",
            ),
        ]
        self._note("broken", "refused", "\n".join(map(str, self.refused)))
        self._note("late", "failed", "No segment came out.\nother: HTTP 500\nother: gone")
        self._note("next", "requested")

    def _source(self, name: str) -> BriefSource:
        folder = self.root / name
        return BriefSource(folder / "brief.yaml", "brief", self.name, name, folder)

    def _note(self, name: str, state: str, error: str = "") -> str:
        key = self.ledger.register(self._source(name))
        force_state(self.ledger, key, state=state, error=error)
        return key

    def _render(self) -> None:
        picture(self.root / NAME / "a.png", (270, 480))
        spec = {
            "archetype": "hero",
            "resolution": "270x480",
            "audio_track": False,
            "segments": [{"media": ["a.png"], "duration": 2, "text": "Hello", "motion": "push_in"}],
        }
        (self.root / NAME / "render_spec.json").write_text(json.dumps(spec))
        (source,) = find_sources([self.root / NAME])
        self.first = self.ledger.register(source)
        plan = compile_source(source, self.services)
        segments = render_segments(plan, self.services, self.first)
        video = assemble_video(plan, segments, self.services, self.first)
        make_thumbnail(plan, video, self.services, self.first)
        write_metrics(plan, segments, video, self.services, self.first)
        force_state(self.ledger, self.first, state="done")

    def _find_copy(
        self, name: str, changes: dict, hook: str, lufs=-14.0, engine="compositor"
    ) -> None:
        key = self._note(name, "done")
        for file in ("video.mp4", "thumbnail.jpg", "captions.vtt", "captions.srt"):
            self.store.put(f"videos/{key}/{file}", self.store.local(f"videos/{self.first}/{file}"))
        spec, metrics = (
            json.loads(self.store.read_bytes(f"videos/{self.first}/{file}.json"))
            for file in ("render_spec", "metrics")
        )
        spec["captions"][0]["text"] = hook
        metrics["video"]["engines"] = [engine]
        metrics["video"]["sound"].update(lufs=lufs, true_peak_db=-1.5)
        if lufs != -14.0:
            metrics["verdicts"][6].update(passed=False, message="far too loud", remedy="Turn down.")
        for file, data in (("render_spec", {**spec, **changes}), ("metrics", metrics)):
            self.store.put_bytes(f"videos/{key}/{file}.json", json.dumps(data).encode())


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def address(campaign: Campaign) -> str:
    made = write_report(campaign.name, campaign.ledger, campaign.store)
    return campaign.store.url(made.page)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = need_browser()
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=flags)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that may ask for nothing but files, and may complain of nothing."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        made = context.new_page()
        complaints: list[str] = []
        made.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url),
        )
        made.set_default_timeout(5000)
        yield made
        assert complaints == []


def shown(page: Page) -> list[str]:
    cards = page.locator(".card:visible").all()
    return [card.get_attribute("data-key") or "" for card in cards]


# In the browser ----------------------------------------------------------------------------------


def test_a_video_plays_in_place(page: Page, address: str) -> None:
    page.goto(address)
    card = page.locator(f'.card[data-key="{NAME}"]')
    video = card.locator("video")
    assert video.evaluate("v => [v.preload, v.controls, v.poster.slice(0, 16)]") == [
        "none",
        False,
        "data:image/webp;",
    ]
    card.get_by_role("button", name=f"Play {NAME}").click()
    page.wait_for_function(
        "name => { const v = document.querySelector(`.card[data-key='${name}'] video`);"
        " return v.currentTime > 0.3 && v.videoWidth === 270 && v.controls; }",
        arg=NAME,
    )


def test_filters_narrow_the_cards_and_the_address_restores_them(page: Page, address: str) -> None:
    page.goto(address)
    assert shown(page) == [NAME, "broken", "late", "meme", "next", "zebra"]
    page.get_by_role("button", name="Checks not passed").click()
    assert "meme" in shown(page) and "broken" not in shown(page)
    page.get_by_role("button", name="All 6").click()
    page.get_by_label("Locale").select_option("de")
    assert shown(page) == ["zebra"]
    page.get_by_role("button", name="Show all").click()
    # Words of a problem are found too, and accents don't matter.
    page.get_by_role("searchbox").fill("GONE.jpg exist")
    assert shown(page) == ["broken"]
    page.get_by_role("searchbox").fill("cafe")
    page.get_by_label("Sort").select_option("loudness")
    expect(page.get_by_role("status")).to_have_text("1 of 6 briefs")
    link = page.url
    assert "q=cafe" in link and "sort=loudness" in link
    page.goto("about:blank")
    page.goto(link)
    assert shown(page) == ["zebra"]
    page.get_by_role("searchbox").fill("")
    assert shown(page)[:2] == ["meme", "zebra"], "the loudest first, the silent last"
    page.get_by_role("button", name="Table").click()
    rows = page.locator("tbody tr:visible")
    assert rows.count() == 6 and rows.first.get_attribute("data-key") == "meme"
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("Nothing fits these filters.").locator("visible=true")).to_be_visible()


def test_the_large_player_goes_on_by_arrow_keys(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Open meme in the large player").click()
    player = page.get_by_role("dialog")
    title = player.get_by_role("heading", level=2)
    expect(title).to_have_text("meme")
    expect(player).to_contain_text("far too loud")
    expect(player).to_contain_text("Turn down.")
    page.wait_for_function("() => document.getElementById('player-video').currentTime > 0.1")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("zebra")
    assert "play=zebra" in page.url
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text(NAME)
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("zebra")
    page.keyboard.press("Escape")
    expect(player).to_be_hidden()
    expect(page.locator('.card[data-key="zebra"] button.name')).to_be_focused()


def test_what_briefs_say_stays_text(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator('.card[data-key="meme"] .hook')).to_have_text(MARKUP)
    page.get_by_role("button", name="Open meme in the large player").click()
    expect(page.locator("#player-hook")).to_have_text(MARKUP)
    assert page.evaluate("window.hit") is None and page.locator("img[src=x]").count() == 0


def test_no_script_but_its_own_could_run(browser: Browser, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        with page.expect_console_message(lambda m: "Content Security Policy" in m.text):
            page.evaluate("document.body.innerHTML = '<i onclick=\"window.hit = 1\">x</i>'")
        page.evaluate("document.querySelector('i').click()")
        assert page.evaluate("window.hit") is None


def test_refused_cards_leave_no_hole_in_the_grid(page: Page, address: str) -> None:
    page.goto(address)
    shapes = {
        tuple(round(stage.bounding_box()[side]) for side in ("width", "height"))
        for stage in page.locator(".card .stage").all()
    }
    assert len(shapes) == 1, "all cards have one shape"
    columns = len({round(card.bounding_box()["x"]) for card in page.locator(".card").all()})
    rows = [round(card.bounding_box()["y"]) for card in page.locator(".card").all()]
    assert rows == sorted(rows) and rows.count(rows[0]) == columns, "no place is left free"


@pytest.mark.parametrize("view", ["grid", "table", "figures"])
def test_a_phone_need_not_scroll_sideways(page: Page, address: str, view: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}#view={view}")
    expect(page.locator(f"#view-{view}")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    if view == "grid":
        page.get_by_role("button", name="Filters").click()
        page.get_by_label("Archetype").select_option("meme")
        assert shown(page) == ["meme"]


def test_it_reads_without_a_script(browser: Browser, address: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        assert page.locator("video[controls]:visible").count() == 3
        assert page.locator("button:visible:not(.chip)").count() == 0
        broken = page.locator('.card[data-key="broken"]')
        for words in ("media[0].duration", "'x' is no length.", "Copy the file there."):
            expect(broken).to_contain_text(words)
        expect(page.locator("svg.plot").first).to_be_visible()


def test_in_a_bucket_its_links_are_signed_and_say_until_when(
    campaign: Campaign, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        store = S3Store(server.bucket("shop"), "team", tmp_path / "cache", endpoint=server.url)
        for stored in campaign.store.objects("videos"):
            store.put(stored.key, campaign.store.local(stored.key))
        made = write_report(campaign.name, campaign.ledger, store)
        html = store.read_bytes(made.page).decode()
        assert "../.." not in html and "metrics.json" not in html
        with browser.new_context() as context:
            page = context.new_page()
            complaints: list[str] = []
            page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
            page.goto(store.url(made.page))
            page.get_by_role("button", name="Open meme in the large player").click()
            page.wait_for_function(
                "() => document.getElementById('player-video').currentTime > 0.1"
            )
            page.keyboard.press("Escape")
            expect(page.get_by_text("Links are good until").first).to_be_visible()
            expect(page.locator("footer")).to_contain_text("pytoon report")
            found = page.locator("a[href*='X-Amz-Signature']").all()
            links = {link.get_attribute("href") or "" for link in found}
            assert len(links) == 3 * 4 + 1, "the files of each, and the table"
            assert all(context.request.get(link).ok for link in links)
            assert complaints == []


# What is written ---------------------------------------------------------------------------------


def test_the_page_counts_and_leads_to_what_is_there(campaign: Campaign) -> None:
    made = write_report(campaign.name, campaign.ledger, campaign.store)
    assert made.counts == {"done": 3, "failed": 1, "refused": 1, "requested": 1}
    assert (made.briefs, made.videos, made.seconds) == (6, 3, 6.0)
    assert made.progress == pytest.approx(5 / 6)
    html = campaign.store.read_bytes(made.page)
    write_report(campaign.name, campaign.ledger, campaign.store)
    assert campaign.store.read_bytes(made.page) == html, "same data, same bytes"
    folder = campaign.store.local(made.page).parent
    links = set(re.findall(r'(?:href|src)="(\.\./[^"]+)"', html.decode()))
    assert len(links) == 3 * 4
    for link in links:
        assert (folder / unquote(link)).is_file(), link
    assert max(map(len, re.findall(rb"base64,[^\"]+", html))) < 40_000


def test_a_deleted_brief_is_marked_and_not_counted(campaign: Campaign, tmp_path: Path) -> None:
    ledger, root = Ledger(tmp_path / "briefs.db"), tmp_path / "briefs"
    for name in ("kept", "gone"):
        picture(root / "camp" / name / "a.png", (27, 48))
        (root / "camp" / name / "brief.yaml").write_text("media: [a.png]\n")
    for source in find_sources([root]):
        force_state(ledger, ledger.register(source), state="done")
    shutil.rmtree(root / "camp/gone")
    assert mark_deleted(ledger) == ["camp/gone"] and mark_deleted(ledger) == []
    made = write_report("camp", ledger, FolderStore(tmp_path / "store"))
    assert made.counts == {"deleted": 1, "done": 1} and made.briefs == 2
    states = {row.name: row.state for row in gather_rows(ledger.find(), campaign.store)}
    assert states == {"gone": "Deleted", "kept": "Done"}
    samples = ledger_gauges(ledger).values[BRIEFS]
    assert samples["deleted",] == 1 and samples["done",] == 1

    picture(root / "camp/gone/a.png", (27, 48))
    (root / "camp/gone/brief.yaml").write_text("media: [a.png]\n")
    assert mark_deleted(ledger) == [] and not ledger.find_entry("camp/gone").deleted, "it is back"


def test_the_table_is_safe_to_open(campaign: Campaign) -> None:
    made = write_report(campaign.name, campaign.ledger, campaign.store)
    data = campaign.store.read_bytes(made.table)
    assert data.startswith(b"\xef\xbb\xbf"), "without it Excel garbles umlauts"
    rows = {r["name"]: r for r in csv.DictReader(io.StringIO(data.decode("utf-8-sig")))}
    assert len(rows) == 6 and all(None not in r for r in rows.values())
    assert rows["zebra"]["hook"] == "'=Schönes Café"
    assert rows["zebra"]["loudness (LUFS)"] == "-14.0", "a number stays one"
    assert rows["meme"]["checks not passed"].startswith("loudness: far too loud; duration: 2.0")
    assert "gone.jpg does not exist" in rows["broken"]["problems"]
    assert [escape_formula(t) for t in ("+1", "-1", "@a", "\t=1", "a=1", -1.5)] == [
        "'+1",
        "'-1",
        "'@a",
        "'\t=1",
        "a=1",
        -1.5,
    ]


def test_an_export_is_whole_by_itself(campaign: Campaign, tmp_path: Path, page: Page) -> None:
    out = tmp_path / "to send"
    for _ in range(2):  # The second takes the place of the first.
        export_report(campaign.name, campaign.ledger, campaign.store, out)
    moved = tmp_path / "elsewhere"
    out.rename(moved)
    assert [p.name for p in tmp_path.iterdir()] == ["elsewhere"]
    html = (moved / "index.html").read_text("utf-8")
    links = set(re.findall(r'(?:href|src)="((?!data:)[^"#]+)"', html))
    assert len(links) == 3 * 4 + 1 and all((moved / unquote(link)).is_file() for link in links)
    assert not re.search(r'[?*:"<>|]', "".join(p.name for p in moved.rglob("*")))
    page.goto(f"file://{quote(str(moved / 'index.html'))}")
    page.get_by_role("button", name="Play meme").click()
    page.wait_for_function("() => document.querySelector('[data-playing]').currentTime > 0.1")
    (moved / "own.txt").write_text("of somebody")
    with pytest.raises(UserError, match="no earlier report"):
        export_report(campaign.name, campaign.ledger, campaign.store, moved)
    assert (moved / "own.txt").exists()


@pytest.mark.parametrize("count", [3, 300])
def test_plots_show_every_brief(campaign: Campaign, count: int) -> None:
    entries = campaign.ledger.find(campaign=campaign.name, states=["done"])
    rows = gather_rows(entries, campaign.store)
    rows = [replace(rows[i % 3], name=f"<{i}>") for i in range(count)]
    for draw in (plots.render_times, plots.plot_loudness, plots.plot_lengths):
        svg = ElementTree.fromstring(draw(rows))
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        titles = [g.findtext("title", "") for g in svg.iter("g") if g.get("class") == "mark"]
        assert {t.split(":")[0] for t in titles} == {f"<{i}>" for i in range(count)}
        for shape in svg.iter("rect"):
            x, y, w, h = (float(shape.attrib[k]) for k in ("x", "y", "width", "height"))
            assert x >= 0 and y >= 0 and w >= 0 and h >= 0
            assert x + w <= width + 0.2 and y + h <= height + 0.2
    bad = ElementTree.fromstring(plots.plot_loudness(rows)).findall(".//circle[@class='dot bad']")
    assert len(bad) == count // 3, "each that is too loud"


def test_a_broken_file_costs_only_its_own_part(campaign: Campaign, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    entries = campaign.ledger.find(campaign=campaign.name, states=["done"])[:1]
    key = entries[0].key
    store.put_bytes(f"videos/{key}/metrics.json", b'{"of another": "version"}')
    store.put_bytes(f"videos/{key}/thumbnail.jpg", b"no picture")
    store.put_bytes(f"videos/{key}/render_spec.json", b'{"archetype": 3, "captions": [null]}')
    (row,) = gather_rows(entries, store)
    assert (row.metrics, row.poster, row.archetype, row.lines) == (None, "", "", [])
    assert [w.file for w in row.warnings] == ["metrics.json"]


# The command -------------------------------------------------------------------------------------


def test_the_command_writes_pages_and_knows_its_campaigns(
    campaign: Campaign,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("PYTOON_HOME", str(campaign.services.settings.home))
    monkeypatch.delenv("PYTOON_STORE", raising=False)
    assert write_reports([], tmp_path / "out", True) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["campaign"] == campaign.name and said["degraded"] == 0
    assert Path(said["page"]) == tmp_path / "out" / campaign.name / "index.html"
    assert Path(said["page"]).is_file() and Path(said["table"]).is_file()
    with pytest.raises(UserError, match=f"'spring'.*Known are: {campaign.name}"):
        write_reports(["spring"], None, False)

"""Parcels: a brief packed on one machine and compiled on another is what it was."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from conftest import picture
from ledger_states import force_state
from s3_server import S3Server, s3_server, trouble

from pytoon_pipeline.briefs.bundle import (
    BriefChangedError,
    BundleStore,
    is_packed,
    manifest_key,
    pack_brief,
    unpack_brief,
)
from pytoon_pipeline.briefs.source import BriefSource, content_hash
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.defs.videos import sensors
from pytoon_pipeline.defs.videos.assets import render_spec
from pytoon_pipeline.defs.videos.io_manager import documents
from pytoon_pipeline.defs.videos.resources import RESOURCES, SettingsResource
from pytoon_pipeline.errors import BriefError, StoreError, UserError
from pytoon_pipeline.intake import requests
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.media import copies
from pytoon_pipeline.runtime import brief_runs
from pytoon_pipeline.runtime.brief_runs import open_instance, run_brief
from pytoon_pipeline.service.documents import RenderRequest
from pytoon_pipeline.service.jobs import JobStore
from pytoon_pipeline.service.request import AcceptedRequest
from pytoon_pipeline.settings import Settings, load_settings, project_data
from pytoon_pipeline.stages.compile import compile_parcel, compile_source
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import Services, open_services
from pytoon_pipeline.store import FolderStore, open_store

FIXTURES = Path(__file__).parent / "fixtures" / "briefs"


class Shared(FolderStore):
    """A folder that stands for a bucket, and remembers what was put."""

    shared = True

    def __init__(self, root: Path):
        super().__init__(root)
        self.puts: list[str] = []

    def put(self, key: str, source: Path, *, once: bool = False, move: bool = False) -> bool:
        self.puts.append(key)
        return super().put(key, source, once=once, move=move)


class Machine:
    """An install with a home of its own."""

    def __init__(self, home: Path, bucket: Path, roots: dict[str, Path] | None = None):
        settings = Settings(
            home=home,
            store="",
            briefs_dir=home / "briefs",
            media_roots=roots or {},
            presets_dir=project_data("presets"),
        )
        self.services: Services = replace(
            open_services(replace(settings, store=str(home / "store"))), store=Shared(bucket)
        )
        self.store: Shared = self.services.store  # type: ignore[assignment]
        self.settings = self.services.settings

    def pack(self, source: BriefSource) -> str:
        roots = self.settings.media_roots
        contents = content_hash(source, roots)
        pack_brief(source, self.store, roots, contents, scratch=self.settings.scratch)
        return contents

    def in_place(self, source: BriefSource) -> str | list[dict]:
        return said(lambda: compile_source(source, self.services))

    def from_parcel(self, source: BriefSource, contents: str) -> str | list[dict]:
        place = source.folder
        return said(lambda: compile_parcel(source.key, contents, self.services, place))


def said(compile_it) -> str | list[dict]:
    try:
        return compile_it().model_dump_json(indent=1)
    except UserError as error:
        return [p.as_dict() for p in error.problems]


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    roots = {"products": tmp_path / "products", "empty": tmp_path / "nowhere"}
    picture(roots["products"] / "shelf/mug.png")
    return Machine(tmp_path / "here", tmp_path / "bucket", roots)


@pytest.fixture
def there(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "there", tmp_path / "bucket")


@pytest.fixture
def briefs(tmp_path: Path) -> Path:
    return tmp_path / "briefs"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def travel(here: Machine, there: Machine, briefs: Path) -> dict[str, tuple]:
    """Key -> what came out in place, and what on the other machine when the folder is gone."""
    sources = find_sources([briefs])
    packed = [(s, here.pack(s)) for s in sources]
    # In a store of its own, so that nothing is found in the bucket.
    alone = replace(here.services, store=FolderStore(here.settings.home / "alone"))
    before = [said(lambda s=s: compile_source(s, alone)) for s in sources]
    shutil.move(briefs, briefs.parent / "away")
    for root in here.settings.media_roots.values():
        if root.exists():
            shutil.move(root, root.parent / "away2")
    there.store.puts.clear()
    after = [there.from_parcel(s, contents) for s, contents in packed]
    assert not list(there.settings.scratch.iterdir()), "the working folder is gone"
    return {s.key: pair for s, pair in zip(sources, zip(before, after, strict=True), strict=True)}


KIT = """
name: Acme
colors: {brand: "#224466"}
logo: {on_pictures: art/logo.png, on_ground: dark.png}
"""


def test_a_brief_is_the_same_video_wherever_it_is_compiled(
    here: Machine, there: Machine, briefs: Path
):
    for folder in FIXTURES.iterdir():
        shutil.copytree(folder, briefs / "all" / folder.name)
    kit = briefs / "all/with_kit"
    write(kit / "kits/acme.yaml", KIT)
    (kit / "kit.yaml").symlink_to("kits/acme.yaml")
    picture(kit / "kits/art/logo.png", (300, 120))
    picture(kit / "kits/dark.png", (300, 120), (20, 20, 20))
    picture(kit / "photo", format="PNG")  # No ending.
    picture(kit / "Bild 9.41\u202fAM.png", hue=(10, 90, 200))
    (kit / "linked.png").symlink_to("kits/art/logo.png")
    write(
        kit / "brief.yaml",
        "brand: kit.yaml\nhook: Made by hand\nmusic: morning.wav\n"
        'media: [photo, "Bild 9.41\u202fAM.png", "products:shelf/mug.png", ./linked.png]\n',
    )
    subprocess.run([sys.executable, "-c", TONE, kit / "morning.wav"], check=True)
    write(
        briefs / "all/many.yaml",
        "media: [with_kit/photo]\nvariants:\n  hooks: [One, Two]\n  presets: [daylight]\n",
    )
    spelled = briefs / "all/spelled"  # As other systems write these names.
    for n, name in enumerate(("Pics/front.jpg", "my cup.png", "Gru\u0308n.png")):
        picture(spelled / name, hue=(40 * n, 90, 60))
    write(
        spelled / "brief.yaml",
        "media: ['.\\pics\\FRONT.jpg', my%20cup.png, ' Grün.png\u200b']\nlogo: MY CUP.png\n",
    )
    write(briefs / "spring.csv", "name,media,hook\ncup,all/with_kit/photo,Cup\npot,gone.png,Pot\n")
    (source,) = find_sources([kit])
    plan = here.in_place(source)  # A finished plan, as a source itself.
    shutil.copytree(kit, briefs / "all/plan", symlinks=True)
    (briefs / "all/plan/brief.yaml").unlink()
    write(briefs / "all/plan/render_spec.json", plan)
    found = travel(here, there, briefs)
    named = {"all/with_kit", "all/spelled", "all/many-daylight-h1", "spring/cup", "all/plan"}
    assert named <= found.keys()
    for key, (before, after) in found.items():
        assert after == before, key
        assert (key == "spring/pot") == isinstance(before, list), (key, before)
    assert '"watermark"' in found["all/with_kit"][0] and str(there.settings.home) not in str(found)
    assert len(here.store.puts) == len(set(here.store.puts)) > 20
    assert not set(there.store.puts) & set(here.store.puts), "nothing is put twice"


WRONG = {
    "missing": "media: [a.jpg, gone.png, ART/x.png, photo.jpg]",
    "dots": "media: [../secret.png, sub/../b.png, /etc/hostname]\nlogo: ../../secret.png",
    "link": "media: [out.png, dangling.png, out/secret.png]\nvoice: loop.wav",
    "folder": "media: [sub, pipe]",
    "field": "media: [b.png]\nhok: Words\nbeats: 7",
    "yaml": "media: [b.png",
    "empty": "",
    "huge": f"media: [b.png]\n# {'x' * 1_000_100}",
    "large": "media: [b.png, large.mp4]",
    "broken": "media: [cut.png, nothing.png, words.png]\nmusic: b.png",
    "brand": "media: [b.png]\nbrand: sub/kit.yaml",
    "nobrand": "media: [b.png]\nbrand: sub/gone.yaml",
    "logo": "media: [b.png]\nbrand: nologo.yaml",
    "outlogo": "media: [b.png]\nbrand: sub/out.yaml",
    "linklogo": "media: [b.png]\nbrand: sub/link.yaml",
    "root": "media: ['products:mug.png', 'products:../b.png', 'empty:a.png', 'other:a.png']",
    "address": "media: ['https://cdn.example.com/a.png?sig=1']",
    "long": f"media: [{'a' * 400}.png]",
}


def wrong(folder: Path, text: str) -> None:
    picture(folder / "b.png")
    for name in ("A.JPG", "Gone.PNG", "photo.jpeg/inside"):
        write(folder / name, "pixels")
    (folder / "out.png").symlink_to(folder.parent.parent / "secret.png")
    (folder / "dangling.png").symlink_to("/nowhere/at/all.png")
    (folder / "out").symlink_to(folder.parent.parent)
    os.mkfifo(folder / "pipe")
    write(folder / "sub/kit.yaml", "name: 7\ncolors: {brand: reddish}\nlogos: x")
    write(folder / "sub/out.yaml", "name: A\nlogo: {on_pictures: ../b.png}")
    write(folder / "sub/link.yaml", "name: A\nlogo: {on_pictures: link.png}")
    (folder / "sub/link.png").symlink_to("../b.png")
    write(folder / "nologo.yaml", "name: A\nlogo: {on_pictures: gone.png}")
    (folder / "cut.png").write_bytes((folder / "b.png").read_bytes()[:3000])
    write(folder / "nothing.png", "")
    write(folder / "words.png", "This is no picture.\n")
    write(folder / "brief.yaml", text)


def test_a_wrong_brief_is_wrong_in_the_same_words(here: Machine, there: Machine, briefs: Path):
    picture(briefs.parent / "secret.png", hue=(1, 2, 3))
    for name, text in WRONG.items():
        wrong(briefs / name, text)
    os.truncate(write(briefs / "large/large.mp4", ""), 2_000_000_001)
    found = travel(here, there, briefs)
    assert len(found) == len(WRONG)
    for key, (before, after) in found.items():
        assert isinstance(before, list) and before, key
        assert after == before, key
    secret = (briefs.parent / "secret.png").read_bytes()
    assert all(p.read_bytes() != secret for p in here.store.root.rglob("*") if p.is_file())


TONE = """
import sys, wave
with wave.open(sys.argv[1], "wb") as f:
    f.setparams((1, 2, 22050, 0, "NONE", ""))
    f.writeframes(bytes(range(250)) * 800)
"""


# What a parcel is --------------------------------------------------------------------------------


def small(folder: Path, hook: str = "One", **more: str) -> BriefSource:
    picture(folder / "a.png")
    lines = [f"hook: {hook}", "media: [a.png]", *(f"{k}: {v}" for k, v in more.items())]
    write(folder / "brief.yaml", "\n".join(lines) + "\n")
    (source,) = find_sources([folder])
    return source


def test_what_was_requested_is_compiled_whole(here: Machine, there: Machine, briefs: Path):
    source = small(briefs / "c/b")
    first = here.pack(source)
    was = here.in_place(source)
    picture(briefs / "c/b/a.png", hue=(0, 0, 90))
    with pytest.raises(BriefChangedError):
        pack_brief(source, here.store, {}, first)
    write(briefs / "c/b/brief.yaml", "hook: Two\nmedia: [a.png]\n")
    second = here.pack(source)
    assert there.from_parcel(source, first) == was
    assert there.from_parcel(source, second) == here.in_place(source) != was


def test_what_changes_while_it_is_packed_is_no_parcel(
    here: Machine, briefs: Path, monkeypatch: pytest.MonkeyPatch
):
    source = small(briefs / "c/b")
    contents, was = content_hash(source), copies._open_below

    def meanwhile(path, root):
        picture(path, hue=(9, 9, 9)) if path.name == "a.png" else None
        return was(path, root)

    monkeypatch.setattr(copies, "_open_below", meanwhile)
    with pytest.raises(BriefChangedError):
        pack_brief(source, here.store, {}, contents, scratch=here.settings.scratch)
    assert not is_packed(source.key, contents, here.store)
    assert not [k for k in here.store.keys("media") if k.endswith(".png")]
    assert not list(here.settings.scratch.iterdir())

    def swapped(path, root):
        if path.name == "a.png":
            os.replace(briefs / "link", path)
        return was(path, root)

    (briefs / "link").symlink_to("/etc/hostname")
    monkeypatch.setattr(copies, "_open_below", swapped)
    with pytest.raises(BriefChangedError):
        pack_brief(source, here.store, {}, content_hash(source))


def test_a_brief_that_is_a_link_stays_in_its_campaign(here: Machine, briefs: Path):
    source = small(briefs / "c/b")
    shutil.move(briefs / "c/b/brief.yaml", briefs / "c/shared.yaml")
    (briefs / "c/b/brief.yaml").symlink_to("../shared.yaml")
    here.pack(source)
    (briefs / "c/b/brief.yaml").unlink()
    shutil.move(briefs / "c/shared.yaml", briefs.parent / "secret.yaml")
    (briefs / "c/b/brief.yaml").symlink_to("../../../secret.yaml")
    with pytest.raises(BriefError, match="leads out of the folder of its campaign"):
        here.pack(source)


BAD = [
    {"path": "/etc/cron.d/x"},
    {"path": "../x"},
    {"path": "a/../../x"},
    {"path": ""},
    {"path": "a.png/x", "what": "folder"},
    {"root": "elsewhere"},
    {"suffix": "/../x"},
    {"what": "socket"},
    {"what": "link"},
    {"what": "link", "to": "../x"},
    {"size": -1},
    {"what": "link", "to": "x.png"},
    {"sha256": "x"},
    {"sha256": "0" * 64},
    {"mode": 511},
]


def test_a_manifest_is_data(here: Machine, there: Machine, briefs: Path, tmp_path: Path):
    source = small(briefs / "c/b")
    contents = here.pack(source)
    key = manifest_key(source.key, contents)
    good = json.loads(here.store.read_bytes(key))
    file = next(i for i in good["items"] if i["path"] == "a.png")

    def refused(manifest: bytes) -> str:
        here.store.put_bytes(key, manifest)
        with pytest.raises(StoreError) as caught:
            compile_parcel(source.key, contents, there.services)
        return str(caught.value)

    for change in BAD:
        items = [*good["items"], file | {"path": "b.png"} | change]
        refused(json.dumps(good | {"items": items}).encode())
    assert "whole manifest" in refused(json.dumps(good | {"path": "../brief.yaml"}).encode())
    assert "whole manifest" in refused(json.dumps(good).encode()[:-40])
    here.store.put_bytes(key, json.dumps(good).encode())
    with pytest.raises(StoreError, match="can't be put"):
        here.store.put_bytes(f"media/{file['sha256']}.png", b"other bytes")
    here.store.local(f"media/{file['sha256']}.png").write_bytes(b"other bytes")
    with pytest.raises(StoreError, match="was damaged"):
        unpack_brief(source.key, contents, there.store, tmp_path / "w")
    for wrong_hash in ("", "../../x", contents.replace(contents[0], "z")):
        with pytest.raises(StoreError):
            compile_parcel(source.key, wrong_hash, there.services)
    with pytest.raises(StoreError, match="was not packed"):
        compile_parcel(source.key, "0" * 64, there.services)


def _as_a_plain_user(here: Machine, there: Machine, briefs: Path) -> None:
    # From here on this process may read what its user may, even when that is root.
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
    for source in find_sources([briefs]):
        contents = here.pack(source)
        before, after = here.in_place(source), there.from_parcel(source, contents)
        assert "read" in str(before) and before == after, (before, after)


def test_what_can_not_be_read_is_said_in_the_same_words(
    here: Machine, there: Machine, briefs: Path
):
    small(briefs / "c/media")
    (briefs / "c/media/a.png").chmod(0)
    small(briefs / "c/text")
    (briefs / "c/text/brief.yaml").chmod(0)
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=_as_a_plain_user, args=(here, there, briefs))
    child.start()
    child.join(60)
    assert child.exitcode == 0


# Runs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3Server]:
    with s3_server() as server:
        server.bucket("shop")
        yield server


class Cluster:
    """Installs that share a bucket and a ledger; the first watches a folder of briefs."""

    def __init__(self, tmp: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch):
        self.tmp, self.server, self.patch = tmp, server, monkeypatch
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTOON_STORE", f"s3://shop/{tmp.name}")
        monkeypatch.setenv("PYTOON_BRIEFS_DIR", str(tmp / "briefs"))
        (tmp / "briefs").mkdir()
        self.ledger = Ledger(tmp / "ledger.db")
        self.cursor: str | None = None
        monkeypatch.setattr(requests, "SETTLED_SECONDS", -1.0)
        monkeypatch.setattr(sensors, "PACE", sensors.TickPace(least=0, share=0))

    def home(self, name: str) -> Settings:
        self.patch.setenv("PYTOON_HOME", str(self.tmp / name))
        return load_settings()

    def tick(self) -> list[dg.RunRequest]:
        self.home("watcher")
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance, cursor=self.cursor)
            result = sensors.intake(context, settings=SettingsResource(), ledger=self.ledger)
        self.cursor = result.cursor
        return list(result.run_requests or [])

    def compile(self, request: dg.RunRequest, name: str = "worker") -> str | None:
        """What `render_spec` makes of it on another machine; None when it fails."""
        services = open_services(self.home(name))
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions(BRIEFS.name, [request.partition_key])
            result = dg.materialize(
                [render_spec],
                instance=instance,
                partition_key=request.partition_key,
                tags=request.tags,
                raise_on_error=False,
                resources={
                    "services": services,
                    "ledger": self.ledger,
                    "reporter": Reporter(),
                    "documents": documents,
                },
            )
            assert not list(services.settings.scratch.iterdir())
            spec = result.output_for_node("render_spec") if result.success else None
        return spec and spec.model_dump_json(indent=1)


@pytest.fixture
def cluster(
    settings: Settings, tmp_path: Path, bucket: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Cluster:
    return Cluster(tmp_path, bucket, monkeypatch)


def test_a_run_compiles_what_it_was_requested_for(cluster: Cluster):
    source = small(cluster.tmp / "briefs/c/b")
    (first,) = cluster.tick()
    assert first.tags["pytoon/contents"] == content_hash(source)
    assert cluster.tick() == []
    small(cluster.tmp / "briefs/c/b", "Two")
    assert '"One"' in cluster.compile(first), "it was queued while the brief was edited"
    (second,) = cluster.tick()
    shutil.rmtree(cluster.tmp / "briefs/c")
    assert '"Two"' in cluster.compile(second)
    assert '"One"' in cluster.compile(first), "and taken up again"
    by_hand = second._replace(tags={})
    assert '"Two"' in cluster.compile(by_hand), "the last one that the ledger knows"
    force_state(cluster.ledger, "c/b", state="done")
    assert cluster.ledger.want(["c/b"], "rerender") == 1
    (again,) = cluster.tick()
    assert again.tags == second.tags | {"pytoon/action": "rerender"}
    assert '"Two"' in cluster.compile(again), "its folder is gone"


def test_a_store_that_is_away_makes_a_brief_wait(cluster: Cluster):
    small(cluster.tmp / "briefs/c/b")
    with trouble(cluster.server.url) as proxy:
        cluster.patch.setenv("PYTOON_S3_ENDPOINT", proxy.url)
        proxy.fail(100, 400)
        assert cluster.tick() == [], "it can't be packed"
        proxy.calm()
        assert [r.partition_key for r in cluster.tick()] == ["c/b"]


def test_large_files_keep_no_look_from_its_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    small(cluster.tmp / "briefs/c/large")
    go_on, was = threading.Event(), requests.pack_brief

    def slow(source, *args, **more):
        go_on.wait(30) if source.name == "large" else None
        return was(source, *args, **more)

    monkeypatch.setattr(requests, "pack_brief", slow)
    monkeypatch.setattr(requests, "PACKING", 0.3)
    assert cluster.tick() == []
    small(cluster.tmp / "briefs/c/small", "Other")

    def next_requested() -> list[str]:
        deadline = time.monotonic() + 30
        while not (requests := cluster.tick()):
            assert time.monotonic() < deadline
        return [r.partition_key for r in requests]

    assert next_requested() == ["c/small"]
    go_on.set()
    assert next_requested() == ["c/large"]


def test_a_brief_that_leads_out_is_refused_once(cluster: Cluster):
    small(cluster.tmp / "briefs/c/b")
    shutil.move(cluster.tmp / "briefs/c/b/brief.yaml", cluster.tmp / "briefs/shared.yml")
    (cluster.tmp / "briefs/c/b/brief.yaml").symlink_to("../../shared.yml")
    assert "c/b" not in [r.partition_key for r in cluster.tick()]
    entry = cluster.ledger.find_entry("c/b")
    assert entry.state == "refused" and entry.problems[0].code == "file.outside"
    assert cluster.tick() == []


def test_a_request_is_rendered_by_another_machine(cluster: Cluster):
    server = cluster.home("server")
    jobs = JobStore(cluster.ledger, server.home / "jobs", BundleStore(open_store(server)))
    data = {"media": ["My mug.png"], "generate": [{"prompt": "steam"}], "archetype": "hero"}
    asked = RenderRequest(campaign="api", name="mug", brief=data)
    with jobs.open_incoming() as folder:
        picture(folder / "0.png")
        accepted = AcceptedRequest(asked, "brief", data, {"My mug.png": "0.png"})
        job_id, _ = jobs.create(accepted, folder)
    folder = server.home / "jobs" / job_id
    assert [p.name for p in folder.iterdir()] == ["request.json"]
    shutil.rmtree(server.home)
    (request,) = cluster.tick()
    assert request.partition_key == "api/mug" and request.tags["pytoon/gpu"] == "1"
    assert '"My mug.png"' in cluster.compile(request)


def test_a_request_that_can_not_be_packed_is_no_job(cluster: Cluster):
    server = cluster.home("server")

    class Full(Shared):
        def put(self, *_, **__) -> bool:
            raise StoreError("The store is full.")

    jobs = JobStore(cluster.ledger, server.home / "jobs", BundleStore(Full(cluster.tmp / "full")))
    data = {"media": ["a.png"]}
    with pytest.raises(StoreError, match="full"), jobs.open_incoming() as folder:
        picture(folder / "0.png")
        accepted = AcceptedRequest(RenderRequest(brief=data), "brief", data, {"a.png": "0.png"})
        jobs.create(accepted, folder, owner="me", idempotency_key="1")
    assert jobs.page(state=None, campaign=None, limit=5, cursor=None) == ([], None)
    assert cluster.ledger.list_entries() == [] and list((server.home / "jobs").iterdir()) == []


def test_a_brief_rendered_here_can_be_rendered_again_elsewhere(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    source = small(cluster.tmp / "laptop/c/b", duration="3")
    services = open_services(cluster.home("laptop-home"))
    ledger = Ledger(services.settings.ledger)
    # As far as this step goes; what comes after is the same anywhere.
    short = dg.define_asset_job("brief_job", selection=[render_spec])
    resources = {**RESOURCES, "documents": documents}
    made = dg.Definitions([render_spec], jobs=[short], resources=resources)
    monkeypatch.setattr(brief_runs, "_brief_job", lambda: made.resolve_job_def("brief_job"))
    with open_instance(services.settings) as instance:
        result = run_brief(source, services, Reporter(), instance, verbose=True)
    assert result.ok, result
    cluster.ledger = ledger
    shutil.rmtree(cluster.tmp / "laptop")
    ledger.want([result.key], "rerender")
    (request,) = cluster.tick()
    assert cluster.compile(request) == result.spec.model_dump_json(indent=1)

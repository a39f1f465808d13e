"""One contract over all stores, and what only a store in a bucket does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import clip
from deployment import tiny
from ledger_states import force_state
from s3_server import S3Server, Trouble, s3_server, trouble
from starlette.requests import Request

from pytoon_pipeline.defs import metadata
from pytoon_pipeline.engines.comfyui.generated_clips import GeneratedClip, find_kept_clip, keep_clip
from pytoon_pipeline.engines.comfyui.sizes import ClipShape
from pytoon_pipeline.errors import SettingsError, StoreError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.report.write import write_report
from pytoon_pipeline.service.files import file_response
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.store import (
    FolderStore,
    ObjectNotFoundError,
    S3Store,
    Store,
    describe_location,
    open_store,
    s3,
    s3_client,
    sums,
)
from pytoon_pipeline.store.base import DamagedObjectError
from pytoon_pipeline.store.cache import IN_USE, ObjectCache
from pytoon_pipeline.store.reuse import touch_if_present

MB = 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        server.bucket("shop")
        yield server


@pytest.fixture(scope="module")
def proxy(server: S3Server) -> Iterator[Trouble]:
    with trouble(server.url) as proxy:
        yield proxy


@pytest.fixture
def s3_store(
    server: S3Server, proxy: Trouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> S3Store:
    """A store of its own, under a prefix, asked through the proxy."""
    proxy.calm()
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "_pause_before_retry", lambda attempt: time.sleep(0.01))
    # botocore waits by itself between tries, up to 16 s.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", _at_once)
    store = S3Store("shop", f"te am/{uuid4().hex[:8]}", tmp_path / "cache", endpoint=proxy.url)
    store.patience = 0.0
    return store


def _at_once(*_: object) -> float:
    return 0.01


def elsewhere(store: S3Store, folder: Path, **changes) -> S3Store:
    """The same store, seen by another machine."""
    return S3Store(store.bucket, store.prefix, folder, endpoint=store.endpoint, **changes)


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return request.getfixturevalue("s3_store")
    return FolderStore(tmp_path / "store")


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


def test_of_two_takes_the_first_stays_with_its_own_card(store: Store, tmp_path: Path) -> None:
    one = GeneratedClip(
        clip(tmp_path / "1.mp4", size=(64, 96), sound=False), ClipShape(64, 96, 25, 25), ("1",)
    )
    two = GeneratedClip(
        clip(tmp_path / "2.mp4", size=(32, 48), sound=False), ClipShape(32, 48, 25, 25), ("2",)
    )
    first = keep_clip(store, "a", one, {})
    for found in (first, keep_clip(store, "a", two, {}), find_kept_clip(store, "a")):
        assert (found.shape, found.notes) == (one.shape, one.notes)
        assert found.path.read_bytes() == one.path.read_bytes()
    # Whoever put the clip was killed before its card.
    store.put("takes/b.mp4", one.path)
    assert find_kept_clip(store, "b") is None
    assert keep_clip(store, "b", two, {}).shape == find_kept_clip(store, "b").shape == one.shape


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
    for read in (store.local, store.read_bytes):
        with pytest.raises(ObjectNotFoundError, match="nowhere"):
            read("nowhere.mp4")
    assert store.keys("nothing") == [] and store.sweep(0) == []


def test_a_prefix_is_a_folder(store: Store) -> None:
    odd = ["a/50% + #1?.txt", "a/b c/ü 🎬.txt", "a/é=&;.txt", "ab/no.txt", "a.txt"]
    for key in odd:
        store.put_bytes(key, key.encode())
    assert store.keys("a") == sorted(odd[:3]) and store.keys("") == sorted(odd)
    assert all(store.local(key).read_bytes() == key.encode() for key in odd)
    assert describe_location(store, odd[0]).endswith(odd[0])


def test_what_was_read_from_stays_readable(store: Store, tmp_path: Path) -> None:
    store.put_bytes("videos/a/b/video.mp4", b"first")
    with store.local("videos/a/b/video.mp4").open("rb") as reader:
        store.put_bytes("videos/a/b/video.mp4", b"second")
        assert store.local("videos/a/b/video.mp4").read_bytes() == b"second"
        assert reader.read() == b"first"


def test_of_many_at_once_one_is_first(store: Store, tmp_path: Path) -> None:
    files = []
    for i in range(8):
        files.append(tmp_path / f"{i}")
        files[-1].write_bytes(bytes([i]) * 1000)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda f: store.put("segments/a.mp4", f, once=True), files))
    assert won.count(True) == 1
    assert store.read_bytes("segments/a.mp4") == files[won.index(True)].read_bytes()


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


# In a bucket -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["s3://", "s3:///a", "s3://UP/a", "s3://a_b", "s3://10.0.0.1/a", "s3://shop/a//b"]
)
def test_a_bucket_that_could_not_be_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="PYTOON_STORE"):
        open_store(load_settings({"PYTOON_STORE": address}))


def test_a_password_in_the_endpoint_is_refused_and_not_repeated() -> None:
    env = {"PYTOON_STORE": "s3://shop", "PYTOON_S3_ENDPOINT": "http://me:secret@host"}
    with pytest.raises(SettingsError, match="PYTOON_S3_ENDPOINT") as caught:
        open_store(load_settings(env))
    assert "secret" not in str(caught.value)


def test_the_least_is_asked(s3_store: S3Store, proxy: Trouble, tmp_path: Path) -> None:
    """Requests are what takes time, and what is paid for."""
    other = elsewhere(s3_store, tmp_path / "other")

    def asked(call) -> str:
        proxy.requests.clear()
        call()
        return " ".join(line.split()[0] for line in proxy.requests)

    key, video = "segments/a.mp4", "videos/a/b/video.mp4"
    assert asked(lambda: s3_store.put_bytes(key, b"1")) == "PUT"
    assert asked(lambda: s3_store.put_bytes(video, b"1")) == "PUT"
    assert asked(lambda: s3_store.exists(key)) == "HEAD"
    assert asked(lambda: s3_store.local(key)) == "", "it was put here"
    assert asked(lambda: s3_store.read_bytes(key)) == ""
    assert asked(lambda: s3_store.local(video)) == "HEAD", "it may have changed"
    assert [asked(lambda: other.local(key)) for _ in range(2)] == ["GET", ""]
    assert [asked(lambda: other.local(video)) for _ in range(2)] == ["GET", "HEAD"]
    assert asked(lambda: s3_store.url(video)) == ""
    assert asked(lambda: list(s3_store.objects(""))) == "GET"


def test_long_files_go_up_in_parts(s3_store: S3Store, server: S3Server, tmp_path: Path) -> None:
    data = os.urandom(5 * MB) + os.urandom(5 * MB) + b"the rest"
    (tmp_path / "a").write_bytes(data)
    small = elsewhere(s3_store, tmp_path / "one", part=5 * MB)
    assert small.put("segments/a.mp4", tmp_path / "a", once=True)
    assert not small.put("segments/a.mp4", tmp_path / "a", once=True)
    # Where the question before finds nothing, the condition at the end still holds.
    small._head = lambda key: None  # type: ignore[method-assign]
    assert not small.put("segments/a.mp4", tmp_path / "a", once=True)
    head = server.client().head_object(Bucket="shop", Key=f"{s3_store.prefix}/segments/a.mp4")
    assert head["ETag"].endswith('-3"') and head["ContentType"] == "video/mp4"
    assert elsewhere(s3_store, tmp_path / "two").local("segments/a.mp4").read_bytes() == data
    assert s3_store.sweep(-60) == [], "what lost was taken away at once"


def test_what_fails_is_asked_again(s3_store: S3Store, proxy: Trouble, tmp_path: Path) -> None:
    proxy.fail(2)
    assert s3_store.put_bytes("segments/a.mp4", b"pixels")
    proxy.fail(2, 503)
    assert elsewhere(s3_store, tmp_path / "other").local("segments/a.mp4").read_bytes() == b"pixels"
    proxy.fail(99)
    with pytest.raises(StoreError, match=r"segments/b.mp4 can't be put.*InternalError \(6 tries\)"):
        s3_store.put_bytes("segments/b.mp4", b"")
    proxy.calm()
    assert s3_store.keys("") == ["segments/a.mp4"]


def test_who_was_first_is_known_though_the_answer_was_lost(
    s3_store: S3Store, proxy: Trouble, tmp_path: Path
) -> None:
    proxy.lose(1, "^PUT")
    assert s3_store.put_bytes("segments/a.mp4", b"mine", once=True)
    proxy.lose(1, "^PUT")
    assert not s3_store.put_bytes("segments/a.mp4", b"yours", once=True)
    parts = elsewhere(s3_store, tmp_path / "parts", part=5 * MB)
    (tmp_path / "b").write_bytes(bytes(6 * MB))
    proxy.lose(1, "^POST.*uploadId")
    assert parts.put("segments/b.mp4", tmp_path / "b", once=True)
    assert s3_store.stat("segments/b.mp4").bytes == 6 * MB


def test_a_server_without_conditions_is_asked_first(s3_store: S3Store, proxy: Trouble) -> None:
    proxy.fail(1, 501, "^PUT")
    assert s3_store.put_bytes("segments/a.mp4", b"first", once=True)
    assert not s3_store.put_bytes("segments/a.mp4", b"second", once=True)
    assert s3_store.read_bytes("segments/a.mp4") == b"first"


@pytest.mark.parametrize("fault", ["cut", "spoil"])
def test_what_is_not_whole_is_not_taken(
    s3_store: S3Store, proxy: Trouble, tmp_path: Path, fault: str
) -> None:
    s3_store.put_bytes("segments/a.mp4", b"pixels" * 1000)
    for read in (
        lambda: elsewhere(s3_store, tmp_path / uuid4().hex).local("segments/a.mp4").read_bytes(),
        lambda: elsewhere(s3_store, tmp_path / uuid4().hex).read_bytes("segments/a.mp4"),
    ):
        getattr(proxy, fault)(2)
        assert read() == b"pixels" * 1000
        getattr(proxy, fault)(99)
        with pytest.raises(StoreError, match="broke off|SHA-256 differs"):
            read()
        proxy.calm()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name.startswith(".tmp-")]


def test_several_threads_and_processes_fetch_once(
    s3_store: S3Store, proxy: Trouble, tmp_path: Path
) -> None:
    s3_store.put_bytes("media/a.jpg", b"picture")
    other = elsewhere(s3_store, tmp_path / "other")
    proxy.calm()
    proxy.delay = 0.2
    # Forked from a process that has used its connections: each makes its own.
    children = [get_context("fork").Process(target=_fetch, args=(other,)) for _ in range(2)]
    for child in children:
        child.start()
    with ThreadPoolExecutor(4) as pool:
        assert {p.read_bytes() for p in pool.map(lambda _: _fetch(other), range(4))} == {b"picture"}
    for child in children:
        child.join(20)
        assert child.exitcode == 0
    assert len(proxy.requests) == 1


def _fetch(store: S3Store) -> Path:
    path = store.local("media/a.jpg")
    assert path.read_bytes() == b"picture"
    return path


def test_a_copy_follows_its_object(s3_store: S3Store, tmp_path: Path) -> None:
    other = elsewhere(s3_store, tmp_path / "other")
    key = "videos/a/b/video.mp4"
    s3_store.put_bytes(key, b"first")
    before = other.local(key)
    s3_store.put_bytes(key, b"newer")
    assert other.local(key).read_bytes() == b"newer"
    assert before.read_bytes() == b"first", "whoever has the path reads on"
    s3_store.delete(key)
    with pytest.raises(ObjectNotFoundError):
        other.local(key)


def test_a_copy_that_a_crash_cut_is_fetched_anew(s3_store: S3Store) -> None:
    s3_store.put_bytes("segments/a.mp4", b"pixels")
    s3_store.local("segments/a.mp4").write_bytes(b"pix")
    assert s3_store.local("segments/a.mp4").read_bytes() == b"pixels"


def test_room_is_made_but_not_of_what_is_in_use(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, "shop", most=2500)

    def keep(key: str, version: str = "v", unused: float = 0) -> Path:
        with cache.draft() as draft:
            draft.write_bytes(bytes(1000))
            path = cache.keep(key, draft, version, 1_000_000 + len(version))
        os.utime(path, (time.time() - unused, path.stat().st_mtime))
        return path

    longest, long, short = (
        keep(f"segments/{i}.mp4", unused=age) for i, age in enumerate((9e4, 8e4, IN_USE - 60))
    )
    cache.tidy(now=True)
    assert not longest.exists() and long.exists() and short.exists()
    cache.most = 500
    cache.use(cache.copies("segments/1.mp4")[0])
    cache.tidy(now=True)
    assert long.exists() and short.exists(), "both were used just now"
    cache.most = 10**9
    newer, older = (keep("videos/v.mp4", "v" * n, unused=8e4) for n in (2, 1))
    cache.tidy(now=True)
    assert newer.exists() and not older.exists(), "an old version goes, room or not"


def test_unfinished_uploads_are_swept(s3_store: S3Store, server: S3Server) -> None:
    client, key = server.client(), f"{s3_store.prefix}/segments/a.mp4"
    begun = client.create_multipart_upload(Bucket="shop", Key=key)
    client.upload_part(
        Bucket="shop", Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"half"
    )
    client.create_multipart_upload(Bucket="shop", Key="of/another")
    assert not s3_store.exists("segments/a.mp4") and s3_store.sweep(1e12) == []
    assert s3_store.sweep(-60) == ["an unfinished upload of segments/a.mp4"]
    assert s3_store.sweep(-60) == []


def test_a_link_opens_without_credentials_and_ends(s3_store: S3Store, tmp_path: Path) -> None:
    key = "videos/spring/ü 50%/video.mp4"
    s3_store.put_bytes(key, b"pixels")
    short = elsewhere(s3_store, tmp_path / "other", link_seconds=1)
    link = short.url(key)
    with urllib.request.urlopen(link, timeout=10) as answer:
        assert answer.read() == b"pixels" and answer.headers["Content-Type"] == "video/mp4"
        said = answer.headers["Content-Disposition"]
        assert said.startswith("inline") and "%C3%BC%2050%25-video.mp4" in said
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link, timeout=10)
    assert "X-Amz-Expires=604800" in elsewhere(s3_store, tmp_path, link_seconds=10**7).url(key)
    public = elsewhere(s3_store, tmp_path, public="https://files.example.com")
    assert public.url(key).startswith("https://files.example.com/shop/te%20am/")
    assert describe_location(s3_store, key) == f"s3://shop/{s3_store.prefix}/{key}"


def test_a_session_token_is_in_no_link_that_is_written_down(
    s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, token = "videos/spring/a/video.mp4", "token-of-a-role"
    s3_store.put_bytes(key, b"pixels")
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    assert s3_store.url(key) == s3_store.place(key) == f"s3://shop/{s3_store.prefix}/{key}"
    assert s3_store.links_until() is None
    # Whoever asks for one gets one that opens.
    link = s3_store.link(key)
    assert f"X-Amz-Security-Token={token}" in link
    with urllib.request.urlopen(link, timeout=10) as answer:
        assert answer.read() == b"pixels"
    # Nor in what is made of them: a campaign's page and table, and what Dagster records.
    ledger = Ledger(tmp_path / "ledger.db")
    folder = tmp_path / "briefs" / "spring" / "a"
    tiny(folder)
    force_state(ledger, ledger.register(find_sources([folder])[0]), state="done")
    made = write_report("spring", ledger, s3_store)
    for name in (made.page, made.table):
        text = s3_store.read_bytes(name).decode()
        assert token not in text and "X-Amz" not in text
        assert f"s3://shop/{s3_store.prefix}/" in text
    assert token not in str(metadata.object_link(s3_store, key).value)
    # With a lasting key for links they are signed as before.
    (tmp_path / "aws").write_text(
        "[reader]\naws_access_key_id = reader\naws_secret_access_key = word\n", "ascii"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    with_key = elsewhere(s3_store, tmp_path / "other", link_profile="reader")
    assert "X-Amz-Credential=reader" in with_key.url(key) and token not in with_key.url(key)
    assert with_key.links_until() is not None
    unknown = elsewhere(s3_store, tmp_path / "other", link_profile="nobody")
    with pytest.raises(StoreError, match="can't be made"):
        unknown.url(key)


def test_what_is_wrong_is_said_with_its_remedy(
    s3_store: S3Store, proxy: Trouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(store: S3Store) -> str:
        with pytest.raises(StoreError) as caught:
            store.put_bytes("segments/a.mp4", b"")
        assert store.place("segments/a.mp4") in str(caught.value)
        assert not re.search("hush|tester|Signature=", str(caught.value))
        return str(caught.value)

    none = S3Store("no-such-bucket", "", tmp_path, endpoint=proxy.url)
    assert "no bucket no-such-bucket. Create it" in told(none)
    assert list(none._object_arguments("a").values()) == ["no-such-bucket", "a"]
    proxy.fail(1, 403)
    assert "no permission for it. Allow s3:PutObject" in told(s3_store)
    closed = S3Store("shop", "", tmp_path, endpoint="http://127.0.0.1:9")
    closed.patience = 0.0
    assert "can't be reached. Check PYTOON_S3_ENDPOINT" in told(closed)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert "no credentials for it. Check AWS_ACCESS_KEY_ID" in told(s3_store)


def test_files_are_served_in_ranges_from_the_copy(s3_store: S3Store, tmp_path: Path) -> None:
    """What another machine put has the same ETag here, so a player goes on where it was."""
    key = "videos/a/b/video.mp4"
    s3_store.put_bytes(key, b"0123456789")
    tags = []
    for store in (s3_store, elsewhere(s3_store, tmp_path / "other")):
        answer = file_response(_asked(range="bytes=2-4"), store.local(key), "video/mp4", "b.mp4")
        assert answer.status_code == 206 and answer.headers["content-range"] == "bytes 2-4/10"
        assert asyncio.run(_body(answer)) == b"234"
        tags.append(answer.headers["etag"])
        again = _asked(if_none_match=tags[0])
        assert file_response(again, store.local(key), "video/mp4", "b.mp4").status_code == 304
    assert tags[0] == tags[1]


def _asked(**headers: str) -> Request:
    said = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": said})


async def _body(answer) -> bytes:
    return b"".join([piece async for piece in answer.body_iterator])


def test_a_bucket_that_is_away_is_waited_for(
    s3_store: S3Store, proxy: Trouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a request is repeated; for what will not pass, nobody waits."""
    monkeypatch.setattr(s3, "_AGAIN", 0.05)
    s3_store.patience = 30.0
    s3_store.put_bytes("videos/a/b/metrics.json", b"{}")
    for away, back in ((proxy.__dict__, {"down": False}), ({}, {})):
        if away:
            proxy.down = True
        else:
            proxy.fail(3 * s3_client._ATTEMPTS)
        threading.Timer(1.0, lambda back=back: vars(proxy).update(back)).start()
        assert s3_store.read_bytes("videos/a/b/metrics.json") == b"{}"
    proxy.fail(1, 403)
    asked = len(proxy.requests)
    with pytest.raises(StoreError, match="permission"):
        s3_store.exists("videos/a/b/metrics.json")
    assert len(proxy.requests) == asked + 1
    s3_store.patience = 0.0
    proxy.down = True
    with pytest.raises(StoreError, match="reached"):
        s3_store.exists("videos/a/b/metrics.json")


# Damage ------------------------------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    """A file as a bad disk leaves it."""
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    else:
        data[len(data) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)
    sums.forget_all()  # As a new process, which has not read it yet.


@pytest.mark.parametrize("how", ["cut", "empty", "flip"])
@pytest.mark.parametrize("key", ["segments/a.mp4", "videos/c/b/video.mp4", "linked/c/b.json"])
def test_a_damaged_object_is_taken_away_when_it_is_used(
    tmp_path: Path, how: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderStore(tmp_path)
    store.put_bytes(key, b"pixels" * 100)
    assert store.read_bytes(key) == b"pixels" * 100
    spoil(store.local(key), how)
    with pytest.raises(DamagedObjectError):
        store.local(key)
    assert not store.exists(key) and not touch_if_present(store, key) and store.keys("") == []
    assert "was damaged" in caplog.text and key in store.damaged
    assert store.put_bytes(key, b"made again", once=True)
    assert store.read_bytes(key) == b"made again"
    # What it was lies beside it for a while, and is swept.
    assert store.sweep(3600) == [] and len(store.sweep(-60)) == 1
    assert store.keys("") == [key]


def test_a_damaged_object_gives_way_to_one_that_is_put_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put_bytes("segments/a.mp4", b"pixels")
    spoil(store.local("segments/a.mp4"), "flip")
    assert store.put_bytes("segments/a.mp4", b"pixels", once=True)
    assert store.read_bytes("segments/a.mp4") == b"pixels"


def test_a_medium_has_the_hash_of_its_key(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"pixels")
    key = f"media/{hashlib.sha256(b'pixels').hexdigest()}.png"
    assert store.put(key, tmp_path / "a", once=True)
    other = f"media/{hashlib.sha256(b'others').hexdigest()}.png"
    for put in (
        lambda: store.put(other, tmp_path / "a", once=True),
        lambda: store.put(other, tmp_path / "a", move=True),
        lambda: store.put_bytes(other, b"pixels"),
    ):
        with pytest.raises(StoreError, match="was changed since it was examined"):
            put()
    assert store.keys("media") == [key]
    # One that an earlier version put under a wrong hash is found by its name.
    if isinstance(store, FolderStore):
        (store.root / other).write_bytes(b"pixels")
    else:
        store._client.put_object(**store._object_arguments(other), Body=b"pixels")
    with pytest.raises(DamagedObjectError):
        store.local(other)
    assert store.keys("media") == [key]


def test_a_file_that_is_given_away_is_moved(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"pixels")
    inode = (tmp_path / "a").stat().st_ino
    assert store.put("segments/a.mp4", tmp_path / "a", move=True)
    assert store.local("segments/a.mp4").stat().st_ino == inode, "it was copied"
    assert store.read_bytes("segments/a.mp4") == b"pixels"


def test_sums_are_kept_where_files_can_not_bear_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "setxattr")
    store = FolderStore(tmp_path)
    store.put_bytes("segments/a.mp4", b"pixels" * 100)
    assert store.exists("segments/a.mp4") and store.keys("") == ["segments/a.mp4"]
    spoil(store.local("segments/a.mp4"), "flip")
    assert not store.exists("segments/a.mp4")
    store.put_bytes("segments/a.mp4", b"others")
    assert store.read_bytes("segments/a.mp4") == b"others"
    store.delete("segments/a.mp4")
    assert not [p for p in tmp_path.rglob("*.mp4") if not p.parent.name.startswith(".tmp-")]
    with pytest.raises(StoreError):
        store.put_bytes(".sums/segments/a.mp4", b"")


def test_a_damaged_object_of_a_bucket_is_taken_away(
    s3_store: S3Store, server: S3Server, proxy: Trouble, tmp_path: Path
) -> None:
    key = "segments/a.mp4"
    s3_store.put_bytes(key, b"pixels")
    at = {"Bucket": "shop", "Key": f"{s3_store.prefix}/{key}"}
    good = server.client().head_object(**at)["Metadata"]
    server.client().put_object(**at, Body=b"pixelS", Metadata=good)
    other = elsewhere(s3_store, tmp_path / "other")
    other.patience = 0
    with pytest.raises(DamagedObjectError, match="SHA-256 differs"):
        other.local(key)
    assert key in other.damaged and not s3_store.exists(key)
    assert s3_store.put_bytes(key, b"made again", once=True)
    assert other.read_bytes(key) == b"made again"


def test_a_copy_whose_bits_turned_is_fetched_anew(s3_store: S3Store) -> None:
    s3_store.put_bytes("segments/a.mp4", b"pixels" * 100)
    spoil(s3_store.local("segments/a.mp4"), "flip")
    assert s3_store.local("segments/a.mp4").read_bytes() == b"pixels" * 100
    spoil(s3_store.local("segments/a.mp4"), "flip")
    assert s3_store.read_bytes("segments/a.mp4") == b"pixels" * 100


def test_what_has_a_name_was_synced_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before it gets its name, the folder after; folders that are made, too."""
    done: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: done.append(os.readlink(f"/proc/self/fd/{handle}"))
    )
    for name in ("replace", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda a, b, real=real: (done.append(f"{a} named {b}"), real(a, b))[1]
        )
    store = FolderStore(tmp_path / "store")
    for once in (False, True):
        key = f"videos/c/{once}/video.mp4"
        done.clear()
        store.put_bytes(key, b"pixels", once=once)
        path = store.root / key
        (named,) = [i for i, text in enumerate(done) if text.endswith(f"named {path}")]
        temporary = done[named].partition(" named")[0]
        assert temporary in done[:named] and str(path.parent) in done[named:]
        assert str(path.parent.parent) in done[:named], "the new folder's own name"

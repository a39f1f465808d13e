"""One contract over all engines, and the policy that chooses among them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from comfy_server import ComfyServer
from conftest import clip, cut_out, picture
from peer import serving

from pytoon_pipeline.engines import policy
from pytoon_pipeline.engines.base import Engine, EngineHealth, FinishedSegment, Footage
from pytoon_pipeline.engines.comfyui import ComfyUI
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.policy import EngineSet, RenderBudget, obtain_footage
from pytoon_pipeline.engines.remote import RemoteEngine
from pytoon_pipeline.engines.still import StillEngine
from pytoon_pipeline.errors import EngineFailedError, EngineUnavailableError
from pytoon_pipeline.media.probe import hash_file, probe_media
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Background, Generate, Layout, Motion
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.store import FolderStore

ENGINES = [Compositor(), StillEngine()]


def job_of(path: Path | None, fit: str = "cover", motion: str = "push_in", **changes) -> SegmentJob:
    media, kind = [], "text"
    if path is not None:
        info = probe_media(path)
        kind = info.kind
        media = [
            Asset(
                id="a1",
                kind=info.kind,
                source=path.name,
                sha256=hash_file(path),
                width=info.width,
                height=info.height,
                seconds=info.seconds,
                has_alpha=info.has_alpha,
            )
        ]
    return SegmentJob(
        **{
            "segment_id": "s1",
            "archetype": "hero",
            "type": kind,
            "width": 270,
            "height": 480,
            "rate": 30,
            "head": 2,
            "body": 8,
            "tail": 3,
            "media": media,
            "background": Background(kind="blur", colors=["#203040"], darken=0.4),
            "layout": Layout(fit=fit, radius=12, shadow=0.4),
            "motion": Motion(kind=motion, amount=0.1),
            **changes,
        }
    )


def media_of(job: SegmentJob, path: Path | None) -> dict[str, Path]:
    return {"a1": path} if job.media and path else {}


MEDIA = {
    "portrait": lambda d: picture(d / "p.png", (90, 160)),
    "wide": lambda d: picture(d / "w.jpg", (300, 100)),
    "tiny": lambda d: picture(d / "t.png", (3, 5)),
    "huge": lambda d: picture(d / "h.jpg", (3000, 2200)),
    "rotated": lambda d: rotated(d / "r.jpg"),
    "grey": lambda d: converted(d / "g.png", "L"),
    "cmyk": lambda d: converted(d / "c.jpg", "CMYK"),
    "cut-out": lambda d: cut_out(d / "o.png"),
    "clip": lambda d: clip(d / "v.mp4", seconds=0.3),
    "odd clip": lambda d: clip(d / "v.mkv", size=(250, 406), rate="7", seconds=1, sound=False),
    "nothing": lambda d: None,
}


def rotated(path: Path) -> Path:
    """A phone's picture: stored lying, to be shown standing."""
    exif = __import__("PIL.Image", fromlist=["Image"]).Exif()
    exif[0x0112] = 6
    return picture(path, (160, 90), exif=exif)


def converted(path: Path, mode: str) -> Path:
    from PIL import Image

    picture(path.with_suffix(".png"), (80, 120))
    Image.open(path.with_suffix(".png")).convert(mode).save(path)
    return path


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("fit", ["cover", "contain", "frame", "cutout"])
def test_an_engine_gives_the_frames_it_promises(
    engine: Engine, kind: str, fit: str, tmp_path: Path
) -> None:
    path = MEDIA[kind](tmp_path)
    job = job_of(path, fit)
    assert engine.can_render(job) and engine.health().ok
    done = []
    footage = engine.render(job, media_of(job, path), tmp_path, done.append)
    assert isinstance(footage, Footage)
    assert (footage.width, footage.height, footage.rate) == (270, 480, 30)
    shapes, first = set(), []
    for planes in footage.frames():
        shapes.add(tuple((p.shape, p.dtype.str, p.flags.c_contiguous) for p in planes))
        first.append(planes[0][::16, ::16].copy())
    assert shapes == {
        (((480, 270), "|u1", True), ((240, 135), "|u1", True), ((240, 135), "|u1", True))
    }
    assert len(first) == footage.count == job.count == sum(done) == 13
    # The same job gives the same frames.
    again = engine.render(job, media_of(job, path), tmp_path, lambda n: None)
    for a, planes in zip(first, again.frames(), strict=True):
        assert np.array_equal(a, planes[0][::16, ::16])
    # No bars: every edge of the frame carries the picture or its ground, not black.
    if kind not in ("nothing",):
        assert first[0].max() > 30


def test_a_cut_out_shows_nothing_of_what_its_transparency_hides(tmp_path: Path) -> None:
    """Under the transparent part lies a loud green; no pixel of the frame may turn green."""
    path = cut_out(tmp_path / "o.png")
    job = job_of(path, "cutout", background=Background(kind="color", colors=["#F0E8E0"]))
    footage = Compositor().render(job, {"a1": path}, tmp_path, lambda n: None)
    y, u, v = next(footage.frames())
    green = (u.astype(int) < 118) & (v.astype(int) < 118)
    assert not green.any()
    assert y.min() < 120 and y.max() > 200  # the disc and the ground are both there


def test_pictures_are_not_stretched(tmp_path: Path) -> None:
    """A disc stays a disc however it is fitted."""
    path = cut_out(tmp_path / "disc.png", (400, 400))
    for fit in ("contain", "frame", "cutout"):
        job = job_of(
            path,
            fit,
            "still",
            background=Background(kind="color", colors=["#FFFFFF"]),
            layout=Layout(fit=fit, shadow=0),
        )
        footage = Compositor().render(job, {"a1": path}, tmp_path, lambda n: None)
        y = next(footage.frames())[0]
        rows, columns = np.nonzero(y < 140)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        # The fixture's ellipse is 320 wide and 294 high.
        assert abs(width / height - 320 / 294) < 0.02, fit


class Fake(Engine):
    """An engine that fails as told."""

    def __init__(self, name: str, errors=(), local=True):
        self.name, self.errors, self.local = name, list(errors), local
        self.calls = 0

    def health(self) -> EngineHealth:
        return EngineHealth(True, "")

    def can_render(self, job) -> bool:
        return True

    def inputs(self, job) -> dict:
        return {"name": self.name}

    def render(self, job, media, workdir, progress) -> Footage:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return Footage(job.width, job.height, job.rate, job.count, lambda: iter(()))


GONE = EngineUnavailableError("no answer")
BUSY = EngineFailedError("busy", transient=True)


@pytest.mark.parametrize(
    ("policy", "local", "remote", "engine", "tries", "fallback", "degraded"),
    [
        ("local_preferred", [], [], "local", ["local"], False, False),
        ("local_preferred", [GONE], [], "remote", ["local", "remote"], True, False),
        ("local_preferred", [BUSY], [], "local", ["local", "local"], False, False),
        ("local_preferred", [GONE], [GONE], "last", ["local", "remote", "last"], True, True),
        ("local_only", [GONE], [], "last", ["local", "last"], True, True),
        ("api_only", [], [], "remote", ["remote"], False, False),
        ("api_only", [], [GONE], "last", ["remote", "last"], True, True),
    ],
)
def test_the_policy_orders_tries_and_records_them(
    policy, local, remote, engine, tries, fallback, degraded
) -> None:
    engines = EngineSet(
        [Fake("local", local), Fake("remote", remote, local=False)],
        Fake("last"),
        pause=lambda s: None,
    )
    chosen = obtain_footage(
        engines, policy, job_of(None), lambda e, f: None, {}, Path(), lambda n: None
    )
    assert chosen.engine.name == engine
    assert [t.engine for t in chosen.tries] == tries
    assert [bool(t.reason) for t in chosen.tries] == [True] * (len(tries) - 1) + [False]
    assert (chosen.used_fallback, chosen.degraded) == (fallback, degraded)


def test_nothing_is_redrawn_unless_the_brief_says_so(tmp_path: Path) -> None:
    engines = EngineSet([Fake("dreamer"), Fake("painter")], Fake("last"))
    product = job_of(picture(tmp_path / "p.png", (90, 160)))
    anew = Generate(prompt="steam", from_media="a1")
    redrawn = product.model_copy(update={"type": "generated", "generate": anew})
    assert engines.order("local_preferred", redrawn) == []
    allowed = redrawn.model_copy(update={"allow_regeneration": True})
    behind = redrawn.model_copy(
        update={"generate": Generate(prompt="a kitchen", role="background")}
    )
    for job in (product, allowed, behind):
        assert [e.name for e in engines.order("local_preferred", job)] == ["dreamer", "painter"]


def test_engines_are_switched_off_or_chosen(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    job = job_of(None)

    def order(**switches) -> list[str]:
        engines = EngineSet([Fake(n) for n in names], Fake("last"), **switches)
        return [e.name for e in engines.order("local_preferred", job)]

    assert order(off=frozenset("b")) == ["a", "c"]
    assert order(only=frozenset("bc")) == ["b", "c"]
    assert order(only=frozenset("b"), off=frozenset("b")) == []


@pytest.mark.parametrize(
    "names, chosen, changes, said",
    [
        ([], "local_preferred", {"generate": Generate(prompt="x")}, "PYTOON_COMFYUI_URL"),
        (["cpu"], "api_only", {}, "no remote engine is set up"),
        (["cpu"], "local_only", {"off": True}, "PYTOON_ENGINES_OFF"),
        (
            ["cpu"],
            "local_only",
            {"generate": Generate(prompt="x", from_media="a1")},
            "allow_regeneration",
        ),
    ],
)
def test_that_nobody_could_be_asked_is_said(
    names: list[str], chosen: str, changes: dict, said: str, tmp_path: Path
) -> None:
    off = frozenset(names) if changes.pop("off", False) else frozenset()
    engines = EngineSet([Fake(n) for n in names], Fake("last"), off=off)
    job = job_of(None, **changes)
    made = obtain_footage(engines, chosen, job, lambda e, f: None, {}, tmp_path, lambda n: None)
    assert made.degraded and [t.engine for t in made.tries] == ["nobody", "last"]
    assert said in made.tries[0].reason


def test_a_budget_is_not_exceeded(tmp_path: Path) -> None:
    """A GPU that takes three seconds at 1 each, for a video that may cost 4; all of them wait by
    calling `progress(0)`."""
    now = [100.0]

    class Gpu(Fake):
        spends = True

        def render(self, job, media, workdir, progress):
            for _ in range(3):
                now[0] += 1
                progress(0)
            return super().render(job, media, workdir, progress)

    engines = EngineSet([Gpu("gpu"), Fake("cpu")], Fake("last"), costs={"gpu": 1.0})
    budget = RenderBudget(cost=4)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy.time, "monotonic", lambda: now[0])
        for _ in range(3):
            made.append(
                obtain_footage(
                    engines,
                    "local_only",
                    job_of(None),
                    lambda e, f: None,
                    {},
                    tmp_path,
                    lambda n: None,
                    budget=budget,
                )
            )
    assert [c.engine.name for c in made] == ["gpu", "cpu", "cpu"]
    assert [round(c.tries[0].seconds) for c in made] == [3, 1, 0]
    assert "budget of 4 is used up" in made[1].tries[0].reason
    assert budget.used_cost == 4


# One contract, all engines -----------------------------------------------------------------------


@contextmanager
def compositor(folder: Path) -> Iterator[Engine]:
    yield Compositor()


@contextmanager
def still(folder: Path) -> Iterator[Engine]:
    yield StillEngine()


@contextmanager
def remote(folder: Path) -> Iterator[Engine]:
    with serving(folder / "peer") as peer:
        yield RemoteEngine(peer.url, folder=folder / "engines")


@contextmanager
def comfyui(folder: Path) -> Iterator[Engine]:
    """With workflows as small as a test wants them."""
    shutil.copytree(project_data("presets") / "workflows", folder / "workflows")
    for file in (folder / "workflows").glob("wan22_5b_*.yaml"):
        binding = yaml.safe_load(file.read_text())
        binding["sizes"] = [[96, 160]]
        binding["frames"] = {"step": 4, "least": 9, "most": 9}
        file.write_text(yaml.safe_dump(binding))
    with ComfyServer(steps=2, run_seconds=0.1) as server:
        yield ComfyUI(
            [server.url],
            workflows=folder / "workflows",
            store=FolderStore(folder / "store"),
            folder=folder / "engines",
        )


def generated(path: Path, role: str) -> SegmentJob:
    start = "a1" if role == "footage" else None
    return job_of(
        path,
        "contain" if role == "background" else "cover",
        type="generated",
        generate=Generate(prompt="steam", role=role, from_media=start, seed=7),
        allow_regeneration=True,
    )


JOBS = {
    "picture": lambda d: (p := picture(d / "p.png", (90, 160)), job_of(p)),
    "clip": lambda d: (p := clip(d / "v.mp4", seconds=0.3), job_of(p)),
    "card": lambda d: (None, job_of(None)),
    "redrawn": lambda d: (p := picture(d / "p.png", (90, 160)), generated(p, "footage")),
    "behind": lambda d: (p := picture(d / "p.png", (90, 160)), generated(p, "background")),
}


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("opened", [compositor, still, comfyui, remote], ids=lambda f: f.__name__)
def test_every_engine_keeps_the_contract(
    opened: Callable[[Path], AbstractContextManager[Engine]], kind: str, tmp_path: Path
) -> None:
    path, job = JOBS[kind](tmp_path)
    with opened(tmp_path) as engine:
        assert engine.health().ok, engine.health().detail
        if not engine.can_render(job):
            # The compositor generates nothing, and a model draws no pictures that are there.
            assert (job.type == "generated") != (engine.name == "comfyui")
            return
        inputs = engine.inputs(job)
        assert inputs["name"] == engine.name
        assert json.loads(json.dumps(inputs)) == inputs == engine.inputs(job), "plain, and the same"
        if engine.name == "remote" and job.type == "generated":
            return  # What its peer can't make it says: tests/test_remote_engine.py.
        done: list[int] = []
        threads = set()

        def progress(frames: int) -> None:
            done.append(frames)
            threads.add(threading.current_thread())

        footage = engine.render(job, media_of(job, path), tmp_path, progress)
        if isinstance(footage, FinishedSegment):
            info = probe_media(footage.path)
            size = (info.width, info.height, round(info.frame_rate), info.frames)
        else:
            frames = sum(1 for _ in footage.frames())
            size = (footage.width, footage.height, footage.rate, footage.count)
            assert frames == footage.count
        assert size == (270, 480, 30, job.count)
        assert sum(done) == job.count and threads == {threading.current_thread()}

"""What becomes of a segment when an engine fails: every fault of a ComfyUI server, and of a peer,
under every policy, through `obtain` with the real engines on real servers of this machine.

    python -m pytest -o python_files='proof_*.py' tests/proofs/proof_engines.py -s
    python tests/proofs/proof_engines.py          # the same, and writes docs/engine-faults.md

Each cell is a segment of one second at 270x480, begun with a picture of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pytest
import yaml
from conftest import picture
from test_engines import job_of
from test_remote_engine import Serving, serving

from pytoon_pipeline.engines.base import Engine, FinishedSegment, Footage
from pytoon_pipeline.engines.comfyui import ComfyUI, TransportLimits
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.policy import ChosenFootage, EngineSet, obtain_footage
from pytoon_pipeline.engines.remote import RemoteEngine
from pytoon_pipeline.engines.remote.peer import PeerTimeouts
from pytoon_pipeline.engines.still import StillEngine
from pytoon_pipeline.errors import EngineFailedError
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.plan.segment import Generate
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.stages.fingerprint_inputs import segment_look
from pytoon_pipeline.store import FolderStore
from tests.comfy_server import FAULTS, ComfyServer

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "engine-faults.md"
LIMITS = TransportLimits(
    connect=1,
    answer=1,
    queue_seconds=2,
    run_seconds=6,
    stall_seconds=1.5,
    restart_seconds=1.5,
    poll=0.1,
    cancel_seconds=2,
    health_seconds=1,
)
QUICK = PeerTimeouts(connect=1, silence=3, stall=5, whole=20, poll=0.05)
ALWAYS = 50

COMFYUI, HOSTED, REMOTE, STILL = "comfyui", "comfyui_hosted", "remote", "still"


@dataclass(frozen=True)
class Fault:
    """What a server is told to do, and what is to come of it."""

    name: str
    words: str
    often: str
    """`once`, or `each time`."""
    healed: bool
    """ComfyUI makes the segment all the same; else the next engine does."""
    prompts: int = 1
    """Handed in at the server."""
    tries: int = 1
    """Of the engine ComfyUI."""
    reason: str = ""
    """In what is recorded of the last try that failed."""


ONCE, EACH = "once", "each time"
# One that is passed on after the first time is not met again; one that is healed each time is
# healed once.
MATRIX = [
    Fault("missing_model", "a model file is not installed", EACH, False, 0, 1, "is not installed"),
    Fault("missing_node", "a node is not installed", EACH, False, 0, 1, "has no node"),
    Fault("http_500_on_post", "500 in answer to the prompt", ONCE, True, 2, 2, "(500)"),
    Fault("http_500_on_post", "500 in answer to the prompt", EACH, False, 2, 2, "(500)"),
    Fault("post_times_out_but_runs", "the prompt runs, its answer never comes", EACH, True),
    Fault("node_errors_with_200", "accepted, with errors of a node", ONCE, False, 1, 1, "not in"),
    Fault("slow_queue", "another's work comes first", EACH, True),
    Fault(
        "endless_queue",
        "another's work comes first and never ends",
        ONCE,
        False,
        1,
        1,
        "in the queue behind others",
    ),
    Fault("stall", "the run hangs", ONCE, False, 1, 1, "no sign of work"),
    Fault("oom", "the GPU's memory does not suffice", ONCE, True, 2),
    Fault("oom", "the GPU's memory does not suffice", EACH, False, 2, 1, "OutOfMemory"),
    Fault("error_in_node", "a node raises", ONCE, False, 1, 1, "failed in node"),
    Fault("interrupted", "somebody interrupts the run", ONCE, True, 2, 2, "was interrupted"),
    Fault("interrupted", "somebody interrupts the run", EACH, False, 2, 2, "was interrupted"),
    Fault(
        "killed_mid_run",
        "the server dies in the middle of the run",
        ONCE,
        False,
        1,
        1,
        "went away while it worked",
    ),
    Fault("restart_amnesia", "it is restarted in the middle of the run", ONCE, True, 2),
    Fault(
        "restart_amnesia",
        "it is restarted in the middle of the run",
        EACH,
        False,
        2,
        1,
        "knows nothing any more",
    ),
    Fault("no_socket", "no websocket", EACH, True),
    Fault(
        "silent_socket_after_reconnect", "the websocket breaks, the next one is silent", EACH, True
    ),
    Fault("success_before_history", "success is told before it is recorded", EACH, True),
    Fault("cached_without_outputs", "success, with no outputs", ONCE, True, 2, 2, "left no video"),
    Fault("cached_without_outputs", "success, with no outputs", EACH, False, 2, 2, "left no video"),
    Fault("cached_file_gone", "the file that is named is gone", ONCE, True, 2),
    Fault(
        "cached_file_gone", "the file that is named is gone", EACH, False, 2, 1, "has lost the file"
    ),
    Fault("garbage_video", "the file is no video", ONCE, True, 2, 2, "no video"),
    Fault("garbage_video", "the file is no video", EACH, False, 2, 2, "no video"),
    Fault("wrong_size", "the video has another size", ONCE, False, 1, 1, "in place of"),
    Fault("wrong_length", "the video has another length", ONCE, False, 1, 1, "in place of"),
    Fault("truncated_download", "the download breaks off", ONCE, True),
    Fault("truncated_download", "the download breaks off", EACH, False, 2, 2, "can't be fetched"),
]


@dataclass
class Workplace:
    """What all cells share: the peer and its own ComfyUI, the workflow, the picture."""

    folder: Path
    peer: Serving
    picture: Path
    job: SegmentJob
    look: Callable
    count: int = 0

    def comfyui(self, url: str, folder: Path) -> ComfyUI:
        return ComfyUI(
            [url],
            workflows=self.folder / "workflows",
            store=FolderStore(folder / "store"),
            folder=folder / "shared",
            limits=LIMITS,
        )

    def hosted(self, url: str, key: str, folder: Path) -> ComfyUI:
        return ComfyUI(
            [f"hosted+{url}"],
            token=key,
            workflows=self.folder / "workflows",
            name=HOSTED,
            store=FolderStore(folder / "store"),
            folder=folder / "shared",
            limits=LIMITS,
            local=False,
        )

    def remote(self, url: str = "") -> RemoteEngine:
        return RemoteEngine(
            [url or self.peer.url], look=self.look, timeouts=QUICK, skip_seconds=0.0
        )

    def fresh(self) -> Path:
        self.count += 1
        folder = self.folder / f"cell-{self.count}"
        folder.mkdir()
        return folder


@contextmanager
def workplace(folder: Path) -> Iterator[Workplace]:
    _small_workflows(folder / "workflows")
    path = picture(folder / "cup.png", (270, 480))
    job = job_of(
        path,
        head=0,
        body=30,
        tail=0,
        type="generated",
        allow_regeneration=True,
        generate=Generate(prompt="steam rises", from_media="a1", stretch="ping_pong"),
    )
    with ComfyServer(steps=2) as healthy, serving(folder / "peer") as peer:
        services = peer.bench.services
        here = Workplace(
            folder,
            peer,
            path,
            job,
            lambda job, media: segment_look(job, media, services.fonts, services.video_settings),
        )
        (folder / "peer-comfyui").mkdir()
        own = here.comfyui(healthy.url, folder / "peer-comfyui")
        engines = replace(services.engines, engines=[Compositor(), own])
        peer.bench.services = replace(services, engines=engines)
        yield here


def _small_workflows(folder: Path) -> None:
    """The project's own, at a size that is soon made."""
    shutil.copytree(project_data("presets") / "workflows", folder)
    for path in folder.glob("*.yaml"):
        said = yaml.safe_load(path.read_text())
        said["sizes"], said["frames"]["least"] = [[288, 512]], 1 + said["frames"]["step"]
        path.write_text(yaml.safe_dump(said))


@contextmanager
def only(*allowed: str) -> Iterator[list[tuple[str, int]]]:
    """Every connection of this process that is opened, and a failure for one that leads anywhere
    but to these addresses."""
    ports = {tuple(re.fullmatch(r"http://([\d.]+):(\d+)", url).groups()) for url in allowed}
    made: list[tuple[str, int]] = []
    forbidden: list[object] = []
    plain = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}
    looked_up = socket.getaddrinfo

    def guarded(name: str, self: socket.socket, address) -> object:
        if isinstance(address, tuple) and (address[0], str(address[1])) not in ports:
            forbidden.append(address)
            raise PermissionError(f"A connection to {address} is not allowed here.")
        made.append(address)
        return plain[name](self, address)

    def looking_up(host, *more, **named):
        if host not in {h for h, _ in ports}:
            forbidden.append(host)
            raise PermissionError(f"{host} may not be looked up here.")
        return looked_up(host, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        for name in plain:

            def method(self, address, name=name):
                return guarded(name, self, address)

            patch.setattr(socket.socket, name, method)
        patch.setattr(socket, "getaddrinfo", looking_up)
        yield made
    assert not forbidden, f"connections were tried to {forbidden}"


@dataclass(frozen=True)
class Cell:
    """What came of one segment."""

    made: str
    degraded: bool
    fallback: bool
    tries: int
    """Of ComfyUI."""
    prompts: int
    """That were handed in there."""
    reason: str
    """Of the last try that failed."""

    @property
    def words(self) -> str:
        how = ", degraded" if self.degraded else ", fallback" if self.fallback else ""
        return self.made + how


def finish(job: SegmentJob, engine: Engine, footage: Footage | FinishedSegment) -> None:
    """What the stage does with footage: every frame is drawn, and they are counted."""
    frames = (
        probe_media(footage.path).frames
        if isinstance(footage, FinishedSegment)
        else sum(1 for _ in footage.frames())
    )
    if frames != job.count:
        raise EngineFailedError(f"{engine.name} gave {frames} frames of {job.count}")


def ask(
    here: Workplace,
    policy: str,
    engines: list[Engine],
    folder: Path,
    progress: Callable[[int], None] = lambda frames: None,
    job: SegmentJob | None = None,
) -> ChosenFootage:
    job = job or here.job
    chosen = EngineSet(engines, StillEngine(), pause=lambda seconds: None)
    return obtain_footage(
        chosen, policy, job, partial(finish, job), {"a1": here.picture}, folder, progress
    )


def cell(here: Workplace, fault: Fault, policy: str, peer: bool) -> Cell:
    """One segment under one fault. Holds, whatever comes of it: nothing of ours is left at the
    server, and no take that is wrong is kept; `local_only` opens no connection to anything else."""
    folder = here.fresh()
    endless = fault.name == "endless_queue"
    times = 1 if fault.often == ONCE else ALWAYS
    with ExitStack() as stack:
        comfy = stack.enter_context(
            ComfyServer(
                steps=4,
                queue_seconds=30 if endless else 0.5,
                post_hang=3,
                stall_seconds=30,
                history_lag=0.4,
                down_seconds=0.3,
                cut_downloads=times,
            )
        )
        comfy.fault("slow_queue" if endless else fault.name, times)
        engines: list[Engine] = [here.comfyui(comfy.url, folder)]
        engines += [here.remote()] if peer else []
        before = len(here.peer.calls)
        if policy == "local_only":
            opened = stack.enter_context(only(comfy.url))
        chosen = ask(here, policy, engines, folder)
        if policy == "local_only":
            assert opened and len(here.peer.calls) == before
        ours = {prompt.id for prompt in comfy.posted}
        assert not ours & set(comfy.running_or_waiting), f"{fault}: left at the server"
        kept = list((folder / "store").rglob("*.mp4"))
        assert bool(kept) is (chosen.engine.name == COMFYUI), f"{fault}: {kept}"
        return _cell(chosen, len(comfy.prompts))


def _cell(chosen: ChosenFootage, prompts: int) -> Cell:
    failed = [t.reason for t in chosen.tries if t.reason]
    return Cell(
        chosen.engine.name,
        chosen.degraded,
        chosen.used_fallback,
        sum(t.engine == COMFYUI for t in chosen.tries),
        prompts,
        failed[-1] if failed else "",
    )


SETUPS = [("local_only", True), ("local_preferred", False), ("local_preferred", True)]
"""Policy, and whether a peer is set up beside ComfyUI."""


def _wanted(fault: Fault, policy: str, peer: bool) -> tuple[str, bool, bool]:
    """Engine, degraded, fallback."""
    if fault.healed:
        return COMFYUI, False, False
    if peer and policy == "local_preferred":
        return REMOTE, False, True
    return STILL, True, True


def faults_of_comfyui(here: Workplace) -> list[str]:
    """The matrix as lines of a table; every cell is held against what is expected of it."""
    head = (
        "what goes wrong",
        "how often",
        "local_only",
        "local_preferred",
        "local_preferred, with a peer",
        "tries",
        "prompts",
        "recorded",
    )
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    wrong: list[str] = []
    for fault in MATRIX:
        cells = []
        for policy, peer in SETUPS:
            got = cell(here, fault, policy, peer)
            cells.append(got)
            found = ((got.made, got.degraded, got.fallback), got.tries, got.prompts)
            if found != (_wanted(fault, policy, peer), fault.tries, fault.prompts):
                wrong.append(f"{fault}, {policy}, peer={peer}: {got}")
            elif fault.reason not in got.reason:
                wrong.append(f"{fault}, {policy}, peer={peer}: recorded is {got.reason!r}")
        outcomes = " | ".join(c.words for c in cells)
        first = cells[0]
        rows.append(
            f"| {fault.words} | {fault.often} | {outcomes} | {first.tries} | "
            f"{first.prompts} | {shown(first.reason)} |"
        )
        print(rows[-1], flush=True)
    assert not wrong, "\n".join(wrong)
    return rows


def shown(reason: str) -> str:
    """A reason for the table: one line, no addresses of the moment, not too long."""
    text = re.sub(r"(http://)?127\.0\.0\.1:\d+", "SERVER", reason.splitlines()[0] if reason else "")
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}\w*", "FILE", text)
    text = re.sub(r" \(received \d+ bytes.*?\)", "", text)
    return (text if len(text) <= 140 else text[:137] + "...").replace("|", "\\|")


# The other set-ups --------------------------------------------------------------------------------


def other_set_ups(here: Workplace) -> list[str]:
    """Where ComfyUI is well, off, or not there, and where the peer is not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    rows = ["| engines | policy | made by | recorded |", "|---|---|---|---|"]

    def row(words: str, policy: str, engines: list[Engine], wanted: tuple[str, bool, bool]) -> None:
        got = _cell(ask(here, policy, engines, here.fresh()), 0)
        rows.append(f"| {words} | {policy} | {got.words} | {shown(got.reason)} |")
        print(rows[-1], flush=True)
        assert (got.made, got.degraded, got.fallback) == wanted, (words, policy, got)

    last, remote = (STILL, True, True), (REMOTE, False, True)
    policies = ("local_only", "local_preferred", "api_only")
    for policy in policies:
        row("none", policy, [Compositor()], last)
    for policy in policies:
        with ComfyServer(steps=2) as comfy:
            both = [here.comfyui(comfy.url, here.fresh()), here.remote()]
            wanted = (REMOTE, False, False) if policy == "api_only" else (COMFYUI, False, False)
            row("comfyui, peer", policy, both, wanted)
            assert bool(comfy.requests) is (policy != "api_only")
    for policy in policies:
        with ComfyServer(key="geheim", steps=2) as comfy:
            engines = [here.hosted(comfy.url, "geheim", here.fresh())]
            wanted = last if policy == "local_only" else (HOSTED, False, False)
            row("hosted comfyui", policy, engines, wanted)
            assert bool(comfy.requests) is (policy != "local_only")
    for policy, wanted in zip(policies, (last, remote, (REMOTE, False, False)), strict=True):
        one = [here.comfyui(nobody, here.fresh()), here.remote()]
        row("comfyui off, peer", policy, one, wanted)
    for policy in policies:
        gone = [here.comfyui(nobody, here.fresh()), here.remote(nobody)]
        row("comfyui off, peer off", policy, gone, last)
    engines = here.peer.bench.services.engines
    here.peer.bench.services = replace(
        here.peer.bench.services, engines=replace(engines, engines=[Compositor()])
    )
    try:
        row("peer without a model", "api_only", [here.remote()], last)
    finally:
        here.peer.bench.services = replace(here.peer.bench.services, engines=engines)
    return rows


# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplace(tmp_path_factory.mktemp("faults")) as made:
        yield made


def test_every_fault_of_the_server_is_in_the_matrix() -> None:
    assert {f.name for f in MATRIX} == FAULTS | {"endless_queue"}


def test_each_fault_comes_to_what_is_expected_of_it(here: Workplace) -> None:
    faults_of_comfyui(here)


def test_other_set_ups_come_to_what_is_expected_of_them(here: Workplace) -> None:
    other_set_ups(here)


def test_local_only_opens_no_connection_but_to_comfyui(here: Workplace) -> None:
    """The guard itself: it stops what leads elsewhere, so its silence above means something."""
    with ComfyServer(steps=2) as comfy:
        before = len(here.peer.calls)
        with only(comfy.url) as opened:
            chosen = ask(
                here,
                "local_only",
                [here.comfyui(comfy.url, here.fresh()), here.remote()],
                here.fresh(),
            )
        port = int(comfy.url.rpartition(":")[2])
        assert chosen.engine.name == COMFYUI and set(opened) == {("127.0.0.1", port)}
        assert len(here.peer.calls) == before
        with pytest.raises(AssertionError, match="connections were tried"), only(comfy.url):
            ask(here, "api_only", [here.remote()], here.fresh())


def test_a_run_that_is_cancelled_leaves_nothing_behind(here: Workplace) -> None:
    """Cancelled while the server works, while others' work comes first, and while a peer works."""
    for fault in ("", "slow_queue"):
        with ComfyServer(steps=50, run_seconds=30, queue_seconds=30) as comfy:
            if fault:
                comfy.fault(fault)

            def stop(frames: int, comfy: ComfyServer = comfy) -> None:
                if comfy.posted and comfy.busy:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                ask(here, "local_only", [here.comfyui(comfy.url, here.fresh())], here.fresh(), stop)
            ours = comfy.posted[0].id
            assert ours not in comfy.running_or_waiting and comfy.cancels
            # Others' work is theirs.
            assert comfy.busy is bool(fault)

    with ComfyServer(steps=50, run_seconds=30) as comfy:
        services = here.peer.bench.services
        slow = here.comfyui(comfy.url, here.fresh())
        here.peer.bench.services = replace(
            services, engines=replace(services.engines, engines=[slow])
        )
        other = here.job.model_copy(update={"generate": Generate(prompt="x", from_media="a1")})
        try:

            def stop(frames: int) -> None:
                if comfy.runs:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                ask(here, "api_only", [here.remote()], here.fresh(), stop, other)
            assert _soon(lambda: not comfy.busy), "the peer's server still works"
        finally:
            here.peer.bench.services = services


def _soon(what: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.05)
    return what()


def document(here: Workplace) -> str:
    faults, others = faults_of_comfyui(here), other_set_ups(here)
    return "\n".join(
        [
            "# What becomes of a segment when an engine fails",
            "",
            "Written by `python tests/proofs/proof_engines.py`; not by hand. Each line was "
            "run: real "
            "engines, real servers on one machine, a segment of one second that begins with a "
            "picture "
            "and may be redrawn. `comfyui` is a local server, the peer another Pytoon with a "
            "ComfyUI "
            "of its own (the engine `remote`). `still` is the last resort: the segment's own "
            "media, "
            "plain, with its captions; the segment is marked `degraded` and the run goes on.",
            "",
            "Under `local_only` no connection is opened to anything but the ComfyUI server: "
            "that is "
            "held in each line of that column by a guard around the sockets. Under `api_only` the "
            "local server gets no request at all.",
            "",
            "## Faults of a ComfyUI server",
            "",
            "*tries*: of the engine `comfyui`; *prompts*: handed in at the server in all. "
            "After each "
            "line nothing of ours runs or waits there, and no take that is wrong was kept. The "
            "limits "
            "of waiting were a few seconds here, and are minutes in use.",
            "",
            *faults,
            "",
            "## Engines that are there, or not",
            "",
            *others,
            "",
        ]
    )


def main() -> None:
    import tempfile

    for name in [n for n in os.environ if n.startswith("PYTOON_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder)) as here:
        text = document(here)
    unfinished = DOCUMENT.with_suffix(".part")
    unfinished.write_text(text)
    unfinished.replace(DOCUMENT)
    print(f"{DOCUMENT} is written.")


if __name__ == "__main__":
    main()

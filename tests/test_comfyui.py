"""The engine `comfyui` against a server that behaves as real ones do, surprises included.

Sizes are tiny (96x160, 9 frames) by the bindings alone: what runs is the project's own workflows.
"""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from conftest import clip, cut_out, picture, tone
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from test_engines import job_of

from pytoon_pipeline.engines.base import Footage
from pytoon_pipeline.engines.comfyui import (
    ComfyUI,
    TransportLimits,
    is_local,
    nodes,
    open_transport,
)
from pytoon_pipeline.engines.comfyui import generated_clips as takes_module
from pytoon_pipeline.engines.comfyui.clip_plan import covering_crop, plan_clip, start_png
from pytoon_pipeline.engines.comfyui.errors import (
    NoAnswerError,
    NoOutputError,
    OutOfGpuMemoryError,
    PromptRefusedError,
    PromptStalledError,
)
from pytoon_pipeline.engines.comfyui.prompt import PromptRun
from pytoon_pipeline.engines.comfyui.sizes import ClipShape, legal_frames, next_smaller_shape
from pytoon_pipeline.engines.comfyui.workflows import list_workflow_names, load_workflow
from pytoon_pipeline.errors import (
    EngineFailedError,
    EngineTimeoutError,
    EngineUnavailableError,
    PresetError,
    SettingsError,
)
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.segment import Generate, Layout
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.store import FolderStore
from tests.comfy_server import ComfyServer

SHIPPED = project_data("presets") / "workflows"
QUICK = TransportLimits(
    connect=1, answer=2, poll=0.1, restart_seconds=2, cancel_seconds=2, rest_seconds=30
)


def limits(**changes: float) -> TransportLimits:
    return TransportLimits(**{**vars(QUICK), **changes})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's workflows, made small by their bindings."""
    folder = tmp_path_factory.mktemp("workflows")
    for path in SHIPPED.iterdir():
        text = path.read_text()
        if path.suffix == ".yaml":
            binding = yaml.safe_load(text)
            binding["sizes"] = [[128, 192]] if binding["size_step"] == 64 else [[96, 160]]
            step = binding["frames"]["step"]
            binding["frames"].update(least=step + 1, most=2 * step + 1)
            text = yaml.safe_dump(binding)
        (folder / path.name).write_text(text)
    return folder


@pytest.fixture
def comfy() -> Iterator[ComfyServer]:
    with ComfyServer(steps=4, run_seconds=0.1) as server:
        yield server


@pytest.fixture
def engine_at(tmp_path: Path, tiny: Path) -> Callable[..., ComfyUI]:
    """An engine of one and the same install, as another process would open it."""

    def make(*urls: str, **more) -> ComfyUI:
        more = {"limits": QUICK, "workflows": tiny, **more}
        return ComfyUI(
            urls, store=FolderStore(tmp_path / "store"), folder=tmp_path / "comfyui", **more
        )

    return make


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return picture(tmp_path / "kettle.png", (90, 160))


def generated(path: Path, *, anew: bool = True, prompt: str = "steam", **changes) -> SegmentJob:
    """A segment that begins with the picture, or (not anew) is made of words alone."""
    wish = Generate(prompt=prompt, from_media="a1" if anew else None)
    return job_of(
        path, **{"type": "generated", "generate": wish, "allow_regeneration": True, **changes}
    )


def render(engine: ComfyUI, job: SegmentJob, path: Path, progress=lambda n: None) -> Footage:
    workdir = path.parent / f"work-{uuid.uuid4().hex}"
    workdir.mkdir()
    footage = engine.render(job, {"a1": path}, workdir, progress)
    assert isinstance(footage, Footage)
    return footage


def takes(folder: Path) -> list[Path]:
    return sorted((folder / "store").glob("takes/*.mp4"))


# --- A take ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("anew", [True, False], ids=["picture", "words"])
def test_a_take_is_made_once_and_costs_no_server_again(
    anew, comfy: ComfyServer, engine_at, product: Path, tmp_path: Path
) -> None:
    job = generated(product, anew=anew)
    footage = render(engine_at(comfy.url), job, product)
    assert sum(1 for _ in footage.frames()) == footage.count == job.count
    assert footage.notes and "ComfyUI 0.12.1" in footage.notes[0]

    [posted] = comfy.prompts
    assert str(uuid.UUID(posted["prompt_id"])) == posted["prompt_id"] and posted["client_id"]
    graph = posted["prompt"]
    latent = graph["latent"]["inputs"]
    assert [latent[k] for k in ("width", "height", "length")] == [96, 160, 9]
    assert graph["encode_prompt"]["inputs"]["text"] == "steam"
    assert graph["make_video"]["inputs"]["fps"] == 24
    assert graph["sample"]["inputs"]["seed"] == plan_clip(job, engine_at()._workflows).seed
    uploads = comfy.uploads
    assert len(uploads) == anew
    if anew:
        up = uploads[0]
        assert up["name"] == up["sha256"][:12] + ".png" and up["overwrite"] == "true"
        assert graph["load_product"]["inputs"]["image"].endswith(f"/{up['name']}")

    [clip] = takes(tmp_path)
    with av.open(str(clip)) as container:
        # The server's file holds the whole graph; ours must not.
        assert "prompt" not in container.metadata and "steam" not in str(container.metadata)
        assert not {"prompt", "workflow"} & set(container.streams.video[0].metadata)
    with av.open(str(comfy.output_files()[0])) as container:
        assert "prompt" in container.metadata

    # Another process, another crop, no server any more: not one request.
    comfy.kill()
    asked = len(comfy.requests)
    cropped = job.model_copy(update={"width": 240, "height": 480})
    again = render(engine_at(comfy.url), cropped, product)
    assert again.notes == footage.notes and len(comfy.requests) == asked
    assert len(takes(tmp_path)) == 1


def test_inputs_say_what_decides_a_take_and_need_no_server(engine_at, product: Path) -> None:
    engine = engine_at("http://127.0.0.1:9")
    job = generated(product)
    said = engine.inputs(job)
    assert json.loads(json.dumps(said)) == said == engine.inputs(job)
    assert said["name"] == "comfyui" and said["workflow"] == "wan22_5b_i2v"
    assert (said["width"], said["height"], said["frames"], said["fps"]) == (96, 160, 9, 24)
    assert said["image"]["sha256"] == job.media[0].sha256 and said["negative"]
    other = generated(product, prompt="rain")
    assert engine.inputs(other)["seed"] != said["seed"]
    own = job.model_copy(update={"generate": Generate(prompt="x", from_media="a1", seed=7)})
    assert engine.inputs(own)["seed"] == 7
    assert plan_clip(job, engine._workflows).key != plan_clip(other, engine._workflows).key
    # A picture that is not there is told when it is rendered.
    lost = job.model_copy(update={"generate": Generate(prompt="x", from_media="zz")})
    assert "refused" in engine.inputs(lost)
    with pytest.raises(EngineFailedError, match="from_media"):
        render(engine, lost, product)
    assert engine.can_render(job) and not engine.can_render(job_of(product))
    assert not engine_at().can_render(job)


def test_the_start_picture_is_cut_to_size_about_its_subject(tmp_path: Path, engine_at) -> None:
    path = cut_out(tmp_path / "wide.png", (800, 200))
    job = generated(path, layout=Layout(fit="cover", subject=(0.7, 0.0, 0.95, 1.0)))
    start = plan_clip(job, engine_at()._workflows).start
    x0, y0, x1, y1 = start.window
    assert (y0, y1) == (0, 200) and x1 - x0 == 120 and abs((x0 + x1) / 2 - 0.825 * 800) <= 1
    (tmp_path / "start.png").write_bytes(start_png(start, {"a1": path}, 96, 160))
    with Image.open(tmp_path / "start.png") as image:
        assert image.size == (96, 160) and image.mode == "RGB"
        # What its transparency hides is a loud green.
        red, green, _ = np.asarray(image).astype(int).transpose(2, 0, 1)
        assert (green - red).max() < 40
    assert covering_crop(100, 100, 9, 16, (0.9, 0, 1, 1)) == (44, 0, 100, 100)
    # Of a clip it is the frame that the segment begins with.
    film = clip(tmp_path / "film.mp4", size=(90, 160), sound=False)
    plans = [plan_clip(generated(film, clip_start=n), engine_at()._workflows) for n in (0, 0, 15)]
    shown = [start_png(p.start, {"a1": film}, 96, 160) for p in plans]
    assert shown[0] == shown[1] != shown[2]
    assert plans[0].key == plans[1].key != plans[2].key


def test_red_stays_red_though_the_server_does_not_say_its_colours(
    tmp_path: Path, engine_at, product: Path
) -> None:
    """Real servers write BT.601 without a word, also where everybody expects BT.709."""

    def red(shot, graph, path: Path) -> None:
        frame = bytes([81]) * (704 * 1280) + bytes([90]) * (352 * 640) + bytes([240]) * (352 * 640)
        argv = [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            "704x1280",
            "-r",
            str(shot.fps),
            "-i",
            "-",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-f",
            "mp4",
            "-metadata",
            "comment=our prompt",
            ffmpeg.to_ffmpeg_url(path),
        ]
        ffmpeg.run_ffmpeg(argv, "a red take", input=frame * shot.frames)

    folder = tmp_path / "workflows"
    shutil.copytree(SHIPPED, folder)
    for path in folder.glob("*.yaml"):
        path.write_text(path.read_text().replace("least: 33", "least: 5"))
    with ComfyServer(steps=1, take=red) as comfy:
        engine = engine_at(comfy.url, workflows=folder)
        planes = next(render(engine, generated(product), product).frames())
        with av.open(str(comfy.output_files()[0])) as container:
            assert next(container.decode(video=0)).colorspace == 2
            assert container.metadata["comment"] == "our prompt"
        with av.open(str(takes(tmp_path)[0])) as container:
            assert "comment" not in container.metadata
    assert np.abs(planes_to_rgb(planes)[240, 135].astype(int) - (255, 0, 0)).max() < 6


# --- Sizes and lengths ----------------------------------------------------------------------------


@example(11, 2, 1, 4, 1, 40)
@given(
    st.integers(1, 400),
    st.integers(10, 60),
    st.integers(1, 60),
    st.sampled_from([4, 8]),
    st.integers(1, 10),
    st.integers(0, 40),
)
def test_a_legal_length_is_the_shortest_that_suffices(count, rate, fps, step, low, more) -> None:
    least, most = step * low + 1, step * (low + more) + 1
    frames = legal_frames(count, rate, fps, step, least, most)
    assert frames % step == 1 and least <= frames <= most
    assert frames == most or frames * rate >= count * fps
    assert frames == least or (frames - step) * rate < count * fps


@given(
    st.integers(4, 40),
    st.integers(4, 40),
    st.integers(1, 40),
    st.sampled_from([16, 32, 64]),
    st.sampled_from([4, 8]),
)
def test_what_is_smaller_is_legal_and_ends(a, b, n, size_step, step) -> None:
    shape = ClipShape(a * size_step, b * size_step, n * step + 1, 24)
    for _ in range(40):
        less = next_smaller_shape(shape, size_step, step, step + 1)
        if less is None:
            break
        assert less.width % size_step == less.height % size_step == 0
        assert less.frames % step == 1
        assert less.width * less.height * less.frames < shape.width * shape.height * shape.frames
        shape = less
    assert less is None


@pytest.mark.parametrize("name", list_workflow_names(SHIPPED))
@pytest.mark.parametrize("version", ["0.3.64", "0.12.1", "0.38.0"])
def test_every_workflow_runs_on_every_version(
    name, version, tiny: Path, engine_at, product: Path
) -> None:
    shipped = load_workflow(SHIPPED, name)
    kind = shipped.binding.kind
    shape = shipped.shape(1080, 1920, 90, 30)
    assert shape.height > shape.width and abs(shape.width / shape.height - 9 / 16) < 0.02
    assert shape.frames * 30 >= 90 * shape.fps
    with ComfyServer(version, steps=1, run_seconds=0.0) as comfy:
        engine = engine_at(comfy.url, chosen={kind: name})
        footage = render(engine, generated(product, anew=kind == "i2v"), product)
        [posted] = comfy.prompts
    save = posted["prompt"]["save"]["inputs"]
    assert save["format"] == "mp4"
    assert ("codec" in save) == (version != "0.38.0") == ("format.codec" not in save)
    assert shipped.binding.title in footage.notes[0]


def test_a_wrong_workflow_is_named(tiny: Path, tmp_path: Path, engine_at) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    graph = json.loads((tiny / "wan22_5b_t2v.json").read_text())
    binding = yaml.safe_load((tiny / "wan22_5b_t2v.yaml").read_text())

    def problem(change: Callable[[dict, dict], object]) -> str:
        g, b = json.loads(json.dumps(graph)), json.loads(json.dumps(binding))
        change(g, b)
        (folder / "own.json").write_text(json.dumps(g))
        (folder / "own.yaml").write_text(yaml.safe_dump(b))
        with pytest.raises(PresetError) as caught:
            load_workflow(folder, "own")
        return str(caught.value)

    assert "sample.sed" in problem(lambda g, b: b["inputs"].update(seed=["sample.sed"]))
    assert "multiples of 32" in problem(lambda g, b: b.update(sizes=[[90, 160]]))
    assert "4n + 1" in problem(lambda g, b: b["frames"].update(most=10))
    assert "stpes" in problem(lambda g, b: b.update(stpes=3))
    assert "an image" in problem(lambda g, b: b.update(kind="i2v"))
    assert "leads to no node" in problem(lambda g, b: g["decode"]["inputs"].update(vae=["x", 0]))
    assert "API format" in problem(lambda g, b: g.update(nodes=[]))
    assert "no node 'sav'" in problem(lambda g, b: b.update(save="sav"))
    with pytest.raises(PresetError, match="wan22_5b_t2v"):
        load_workflow(tiny, "nope")
    with pytest.raises(PresetError, match="PYTOON_COMFYUI_I2V"):
        engine_at(chosen={"i2v": "wan22_5b_t2v"})


# --- Surprises that are no failures ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "posts", "note"),
    [
        ("success_before_history", 1, ""),
        ("no_socket", 1, ""),
        ("silent_socket_after_reconnect", 1, ""),
        ("slow_queue", 1, ""),
        ("truncated_download", 1, ""),
        ("post_times_out_but_runs", 1, ""),
        ("cached_file_gone", 2, ""),
        ("restart_amnesia", 2, ""),
        ("oom", 2, "ran out of memory"),
    ],
)
def test_a_surprise_is_lived_through(
    fault, posts, note, comfy: ComfyServer, engine_at, product: Path, tiny: Path, tmp_path: Path
) -> None:
    if fault == "oom":  # only where there is something smaller
        for path in tiny.iterdir():
            text = path.read_text().replace("- 96\n  - 160", "- 192\n  - 320")
            (tmp_path / "wf").mkdir(exist_ok=True)
            (tmp_path / "wf" / path.name).write_text(text)
        tiny = tmp_path / "wf"
    comfy.queue_seconds, comfy.run_seconds, comfy.cut_downloads = 0.6, 0.4, 1
    comfy.fault(fault)
    engine = engine_at(comfy.url, workflows=tiny, limits=limits(answer=0.5, restart_seconds=5))
    footage = render(engine, generated(product), product)
    assert any(note in n for n in footage.notes)
    assert len(comfy.prompts) == posts
    assert fault == "restart_amnesia" or not comfy.cancels
    prefixes = [p["prompt"]["save"]["inputs"]["filename_prefix"] for p in comfy.prompts]
    ids = [p["prompt_id"] for p in comfy.prompts]
    assert len(set(prefixes)) == len(set(ids)) == posts
    assert len(takes(tmp_path)) == 1
    if fault == "oom":
        sides = [p["prompt"]["latent"]["inputs"]["width"] for p in comfy.prompts]
        assert sides == [192, 128]


# --- Failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "transient", "says", "cancelled", "changes"),
    [
        (
            "missing_model",
            EngineUnavailableError,
            False,
            "models/diffusion_models/wan2.2_ti2v_5B_fp16.safetensors is not installed",
            False,
            {},
        ),
        (
            "missing_node",
            EngineUnavailableError,
            False,
            "no node Wan22ImageToVideoLatent",
            False,
            {},
        ),
        ("http_500_on_post", EngineFailedError, True, "does not take the workflow", True, {}),
        ("node_errors_with_200", EngineFailedError, False, "'nope' not in", True, {}),
        ("error_in_node", EngineFailedError, False, "failed in node ", False, {}),
        ("interrupted", EngineFailedError, True, "interrupted on the server", False, {}),
        ("oom", OutOfGpuMemoryError, False, "OutOfMemoryError", False, {}),
        ("cached_without_outputs", NoOutputError, True, "left no video", False, {}),
        ("garbage_video", EngineFailedError, True, "no video", False, {}),
        ("wrong_size", EngineFailedError, False, "48x80, 9 frames", False, {}),
        ("wrong_length", EngineFailedError, False, "4 frames", False, {}),
        ("truncated_download", EngineFailedError, True, "can't be fetched", False, {}),
        ("slow_queue", EngineTimeoutError, False, "in the queue", True, {"queue_seconds": 0.4}),
        ("stall", PromptStalledError, False, "no sign of work", True, {"stall_seconds": 0.8}),
        ("stall", PromptStalledError, False, "ran longer", True, {"run_seconds": 0.5}),
        (
            "killed_mid_run",
            EngineUnavailableError,
            False,
            "did not come back",
            False,
            {"restart_seconds": 0.5},
        ),
    ],
)
def test_a_failure_is_told_by_its_kind_and_leaves_nothing_running(
    fault, error, transient, says, cancelled, changes, comfy, engine_at, product, tmp_path
) -> None:
    comfy.queue_seconds = 1.5
    comfy.fault(fault, times=2 if fault == "oom" else 1)
    engine = engine_at(comfy.url, limits=limits(**changes))

    def others(frames: int) -> None:
        """What is told to everybody of a prompt of somebody else's is no sign of ours."""
        comfy.say("progress", {"value": 1, "max": 2, "node": "3", "prompt_id": "theirs"})

    with pytest.raises(error, match=says) as caught:
        render(engine, generated(product), product, others)
    assert type(caught.value) is error and caught.value.transient is transient
    assert comfy.url in str(caught.value)
    assert bool(comfy.cancels) is cancelled
    if cancelled and fault != "http_500_on_post":
        # Out of the queue first, then its run: never the other way, never without its id.
        mine = comfy.prompts[0]["prompt_id"]
        assert [c.body for c in comfy.cancels][:2] == [{"delete": [mine]}, {"prompt_id": mine}]
    if fault in ("missing_model", "missing_node"):
        assert not comfy.uploads and not comfy.prompts
    else:
        assert len(comfy.prompts) == 1
    assert not takes(tmp_path)
    if fault == "killed_mid_run":
        comfy.clear_faults()
        comfy.start()
    deadline = time.monotonic() + 5
    while fault != "slow_queue" and comfy.busy and time.monotonic() < deadline:
        time.sleep(0.05)
    assert fault == "slow_queue" or not comfy.busy

    # Only what is the server's own fault lets it rest.
    comfy.clear_faults()
    notes = list((tmp_path / "comfyui").glob("*.rest"))
    assert bool(notes) is (error is PromptStalledError or fault == "killed_mid_run")
    for note in notes:
        note.unlink()

    # Whoever tries again gets a take.
    render(engine_at(comfy.url), generated(product), product)
    assert len(takes(tmp_path)) == 1


def test_a_model_that_goes_missing_at_the_last_moment(
    comfy: ComfyServer, engine_at, product: Path, monkeypatch
) -> None:
    monkeypatch.setattr(nodes, "adapt_to_server", lambda workflow, *_: workflow.graph)
    comfy.fault("missing_model")
    with pytest.raises(
        EngineUnavailableError, match=r"models/diffusion_models/wan2\.2_ti2v.*installed"
    ):
        render(engine_at(comfy.url), generated(product), product)
    assert not comfy.runs


def test_too_small_a_gpu_is_not_tried(engine_at, product: Path, tiny: Path) -> None:
    with ComfyServer(vram_total=6 << 30, vram_free=6 << 30) as comfy:
        with pytest.raises(
            EngineUnavailableError, match="6.4 GB of GPU memory; wan22_5b_i2v needs 8"
        ):
            render(engine_at(comfy.url), generated(product), product)
        assert not comfy.prompts and engine_at(comfy.url).health().ok


def test_ctrl_c_cancels_what_runs(comfy: ComfyServer, engine_at, product: Path) -> None:
    comfy.run_seconds = 20

    def progress(frames: int) -> None:
        if comfy.runs:
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        render(engine_at(comfy.url), generated(product), product, progress)
    mine = comfy.prompts[0]["prompt_id"]
    assert [c.body for c in comfy.cancels] == [{"delete": [mine]}, {"prompt_id": mine}]
    assert not comfy.busy and time.monotonic() - started < 8


def test_a_caller_without_time_left_is_no_fault_of_the_server(
    comfy: ComfyServer, engine_at, product: Path
) -> None:
    comfy.run_seconds = 20

    def progress(frames: int) -> None:
        if comfy.runs:
            raise EngineTimeoutError("the budget is used up")

    with pytest.raises(EngineTimeoutError, match="budget"):
        render(engine_at(comfy.url), generated(product), product, progress)
    assert len(comfy.cancels) == 2 and not comfy.busy
    comfy.run_seconds = 0.1
    render(engine_at(comfy.url), generated(product), product)


def test_a_killed_run_is_taken_up_again(
    comfy: ComfyServer, engine_at, product: Path, monkeypatch, caplog
) -> None:
    """A process that is killed cancels nothing; the next one waits for the same prompt, and hears
    how it gets on."""
    comfy.run_seconds, comfy.steps = 2.0, 20

    def progress(frames: int) -> None:
        if comfy.runs:
            raise KeyboardInterrupt

    with monkeypatch.context() as dead:
        dead.setattr(PromptRun, "_cancel_prompt", lambda self: None)
        with suppress(KeyboardInterrupt):
            render(engine_at(comfy.url), generated(product), product, progress)
    assert comfy.busy
    with caplog.at_level("INFO", "pytoon.comfyui"):
        patience = limits(stall_seconds=1.0)
        render(engine_at(comfy.url, limits=patience), generated(product), product)
    assert len(comfy.prompts) == len(comfy.runs) == 1
    assert "taken up again" in caplog.text and "sample, step 20 of 20" in caplog.text


# --- Servers --------------------------------------------------------------------------------------


def test_a_dead_server_costs_one_wait_for_all_processes(
    comfy: ComfyServer, engine_at, product: Path, tmp_path: Path
) -> None:
    comfy.kill()
    calls: list[str] = []

    class Counting:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            if name not in ("name",):
                calls.append(name)
            return getattr(self.inner, name)

    def opened(*args):
        return Counting(open_transport(*args))

    for _ in range(2):
        with pytest.raises(EngineUnavailableError, match="can't be reached"):
            render(engine_at(comfy.url, open_transport=opened), generated(product), product)
    assert calls == ["stats"]
    # Beside a live one it is passed over.
    with ComfyServer(steps=1) as other:
        render(engine_at(comfy.url, other.url), generated(product), product)
    assert not engine_at(comfy.url).health().ok


def test_each_server_takes_one_prompt_at_a_time(engine_at, product: Path, tmp_path: Path) -> None:
    with ComfyServer(steps=2, run_seconds=0.4) as one, ComfyServer(steps=2, run_seconds=0.4) as two:
        failed: list[BaseException] = []
        most = {one.url: 0, two.url: 0}

        def work(prompt: str) -> None:
            try:
                engine = engine_at(one.url, two.url)
                render(engine, generated(product, prompt=prompt), product)
            except BaseException as error:
                failed.append(error)

        # Each take is wanted twice, by "processes" that know nothing of each other.
        threads = [threading.Thread(target=work, args=(p,)) for p in ("a", "b", "c", "d") * 2]
        for thread in threads:
            thread.start()
        while any(t.is_alive() for t in threads):
            for server in (one, two):
                most[server.url] = max(most[server.url], server._remaining())
            time.sleep(0.01)
        assert not failed
        assert set(most.values()) == {1}
        assert len(one.prompts) + len(two.prompts) == len(takes(tmp_path)) == 4
        assert one.prompts and two.prompts
        assert len(one.asked("GET", "/view")) + len(two.asked("GET", "/view")) == 4


def test_health_says_what_there_is_and_never_raises(comfy: ComfyServer, engine_at) -> None:
    health = engine_at(comfy.url).health()
    assert health.ok and "0.12.1" in health.detail and "GB free" in health.detail
    both = engine_at(comfy.url, "http://127.0.0.1:9").health()
    assert both.ok and "127.0.0.1:9 can't be reached" in both.detail
    comfy.answer_delay = 5
    started = time.monotonic()
    slow = engine_at(comfy.url, limits=limits(health_seconds=0.3)).health()
    assert not slow.ok and time.monotonic() - started < 2
    assert not engine_at().health().ok
    for odd in ("http://[::1", "ftp://x", "http://", "nonsense", "http://x:99999"):
        with pytest.raises(SettingsError, match="PYTOON_COMFYUI_URL"):
            engine_at(odd)


def test_a_take_too_long_is_not_decoded_to_its_end(tmp_path: Path) -> None:
    path = clip(tmp_path / "long.mp4", size=(96, 160), rate="24", seconds=5, sound=False)
    checked = takes_module.clean_clip(path, tmp_path / "clean.mp4", "it")
    with pytest.raises(EngineFailedError, match="10 or more frames"):
        takes_module.check_clip(checked, ClipShape(96, 160, 9, 24), "it")
    with pytest.raises(EngineFailedError, match="96x160, 120 frames"):
        takes_module.check_clip(checked, ClipShape(128, 192, 9, 24), "it")
    sound = tone(tmp_path / "sound.m4a", 0.5)
    with pytest.raises(EngineFailedError, match="no video"):
        takes_module.clean_clip(sound, tmp_path / "clean.mp4", "it")


# --- Tokens ---------------------------------------------------------------------------------------


def test_a_token_goes_to_ones_own_servers_and_never_readable_over_the_internet(
    comfy: ComfyServer, engine_at, product: Path
) -> None:
    render(engine_at(comfy.url, token="s3cret"), generated(product), product)
    sent = {a.headers.get("authorization") for a in comfy.requests}
    assert sent == {"Bearer s3cret"}
    public = open_transport("http://8.8.8.8:8188", "s3cret", QUICK)
    with pytest.raises(PromptRefusedError, match="https"):
        public.stats()
    named = open_transport("http://me:pw@127.0.0.1:9/x/", None, QUICK)
    assert named.name == "http://127.0.0.1:9/x"
    with pytest.raises(NoAnswerError) as caught:
        named.stats()
    assert "pw" not in str(caught.value)
    assert is_local("http://10.1.2.3:8188") and is_local("http://localhost")
    assert not is_local("https://8.8.8.8") and not is_local("hosted+https://127.0.0.1")


def test_the_hosted_service_is_asked_its_own_way(engine_at, product: Path) -> None:
    with ComfyServer("0.38.0", key="k3y", steps=2) as comfy:
        url = f"hosted+{comfy.url}"
        with pytest.raises(EngineUnavailableError, match="PYTOON_COMFYUI_TOKEN"):
            render(engine_at(url, token="wrong"), generated(product), product)
        footage = render(engine_at(url, token="k3y"), generated(product), product)
        assert footage.count == 13
        signed = [a for a in comfy.requests if a.path.startswith("/signed/")]
        assert signed and all("x-api-key" not in a.headers for a in signed)
        others = [a for a in comfy.requests if not a.path.startswith("/signed/")]
        assert all(a.path.startswith("/api/") for a in others)
        assert comfy.asked("GET", "/job")

        # Its /interrupt would end all that the account runs.
        comfy.run_seconds = 20
        ran = len(comfy.runs)
        ticks = itertools.count()

        def progress(frames: int) -> None:
            if len(comfy.runs) > ran and next(ticks) > 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            render(engine_at(url, token="k3y"), generated(product, prompt="x"), product, progress)
        assert not comfy.asked("POST", "/interrupt") and not comfy.busy

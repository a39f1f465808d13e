"""Figures and lines: counted by many processes at once, told over HTTP, and held against the rules
and the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote_plus

import dagster as dg
import httpx
import jsonschema
import pytest
import uvicorn
import yaml
from deployment import tiny
from prometheus_client.parser import text_string_to_metric_families

from pytoon_pipeline.cli.metrics import write_whole
from pytoon_pipeline.defs.collect import collect_definitions
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.defs.videos import counting
from pytoon_pipeline.defs.videos.jobs import brief_job
from pytoon_pipeline.errors import EngineFailedError, EngineTimeoutError, StoreError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.runtime.brief_runs import open_instance, run_brief
from pytoon_pipeline.runtime.metrics import MetricsReader
from pytoon_pipeline.service.app import make_app
from pytoon_pipeline.service.server import RequestLines, open_socket
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages import segments as stage
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import open_services
from pytoon_pipeline.telemetry import catalogue as c
from pytoon_pipeline.telemetry import logs
from pytoon_pipeline.telemetry.counters import CounterBatch, read_counters, write_counters
from pytoon_pipeline.telemetry.prometheus import (
    CONTENT_TYPE,
    GaugeValues,
    TimedQuestions,
    ledger_gauges,
    render_text,
)

ROOT = Path(__file__).parents[1]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Name and labels -> value, of all samples of Prometheus' text format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


# Counters ----------------------------------------------------------------------------------------

_COUNT = """
import sys
from pathlib import Path
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.telemetry import catalogue as c
from pytoon_pipeline.telemetry.counters import CounterBatch, write_counters

place, engine = sys.argv[1:]
sys.stdin.readline()
ledger = Ledger(place if "://" in place else Path(place))
for number in range(25):
    tally = CounterBatch()
    tally.add(c.VIDEOS)
    tally.add(c.RUNS, "render", "done")
    tally.add(c.VIDEO_SECONDS, amount=1.5)
    for _ in range(2):
        tally.observe(c.SEGMENT_SECONDS, engine, seconds=3.0)
    assert write_counters(ledger, tally)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "briefs.db")
    return request.getfixturevalue("database")


def test_processes_that_count_at_once_lose_nothing(place: str):
    """On a database that has no table for it yet."""
    code = [sys.executable, "-c", _COUNT, place]
    started = [
        subprocess.Popen([*code, name], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "one", 'tw"o', "three")
    ]
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60)[1] for each in started]
    assert [each.returncode for each in started] == [0] * 4, said

    samples = parsed(render_text([ledger_gauges(Ledger(place if "://" in place else Path(place)))]))
    assert of(samples, "pytoon_videos_total") == 100
    assert of(samples, "pytoon_video_seconds_total") == 150
    assert of(samples, "pytoon_runs_total", action="render", outcome="done") == 100
    assert of(samples, "pytoon_runs_total", action="render", outcome="failed") == 0
    assert of(samples, "pytoon_segment_seconds_count", engine="one") == 100
    assert of(samples, "pytoon_segment_seconds_sum", engine='tw"o') == 150
    buckets = {
        le: of(samples, "pytoon_segment_seconds_bucket", engine="three", le=le)
        for le in ("2.0", "4.0", "1800.0", "+Inf")
    }
    assert buckets == {"2.0": 0, "4.0": 50, "1800.0": 50, "+Inf": 50}


def test_counting_never_fails_the_work(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    ledger = Ledger(tmp_path / "briefs.db")
    tally = CounterBatch()
    tally.add(c.VIDEOS)
    (tmp_path / "briefs.db").write_bytes(b"this is no database" * 400)
    with pytest.raises(StoreError):
        read_counters(ledger)
    assert not write_counters(ledger, tally)
    assert "could not be counted" in caplog.text


# A run -------------------------------------------------------------------------------------------


class Install:
    """An install of its own, with its figures."""

    def __init__(self, home: Path):
        self.root = home / "briefs"
        self.settings: Settings = load_settings(
            {"PYTOON_HOME": str(home / "home"), "PYTOON_BRIEFS_DIR": str(self.root)}
        )
        self.services = open_services(self.settings)

    def run(self, name: str, **changes: object) -> dg.ExecuteInProcessResult:
        folder = tiny(self.root / "camp" / name, **changes)
        with open_instance(self.settings) as instance:
            return run_brief(
                find_sources([folder])[0], self.services, Reporter(), instance, verbose=True
            )

    def text(self) -> str:
        meter = MetricsReader(self.settings, patience=20)
        try:
            return meter.text()
        finally:
            meter.close()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("PYTOON_LOG", "json")
    return Install(tmp_path)


def test_runs_are_counted_and_told(
    install: Install, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    """One done, one done again, one refused, one degraded, one failed; all in lines too."""
    done = install.run("good")
    install.run("good")
    install.run("bad", archetype="heroo")
    first, *_ = install.services.engines.engines

    def broken(*_: object, **__: object) -> None:
        raise EngineTimeoutError("took too long")

    with monkeypatch.context() as patch:
        patch.setattr(first, "render", broken)
        install.run("unlucky", hue=60)

    def fail(*_: object, **__: object) -> None:
        raise stage.SegmentsFailedError("camp/lost", {"s1": "x", "s2": "y"}, [])

    with monkeypatch.context() as patch:
        patch.setattr(stage, "render_segments", fail)
        install.run("lost", hue=90)

    samples = parsed(install.text())
    runs = {o: of(samples, "pytoon_runs_total", action="render", outcome=o) for o in c.OUTCOMES}
    assert runs == {"done": 3, "refused": 1, "failed": 1, "cancelled": 0}
    counted = {
        n: of(samples, f"pytoon_{n}_total")
        for n in (
            "videos",
            "videos_unchanged",
            "videos_degraded",
            "videos_fallback",
            "segments_degraded",
            "segments_failed",
            "video_seconds",
        )
    }
    assert counted == {
        "videos": 3,
        "videos_unchanged": 1,
        "videos_degraded": 1,
        "videos_fallback": 1,
        "segments_degraded": 1,
        "segments_failed": 2,
        "video_seconds": 9,
    }
    said = "pytoon_segments_total"
    assert of(samples, said, engine="compositor", source="rendered") == 1
    assert of(samples, said, engine="compositor", source="cached") == 1
    assert of(samples, said, engine="still", source="rendered") == 1
    failures = "pytoon_engine_failures_total"
    assert of(samples, failures, engine="compositor", reason="timeout") == 1
    assert of(samples, "pytoon_segment_seconds_count", engine="still") == 1
    assert of(samples, "pytoon_run_seconds_count", action="render", outcome="done") == 3
    assert of(samples, "pytoon_stage_seconds_count", stage="assembled_video") == 3
    assert of(samples, "pytoon_queue_seconds_count") == 0, "nobody waited in a queue"
    states = {s: of(samples, "pytoon_briefs", state=s) for s in c.STATES}
    assert {s: n for s, n in states.items() if n} == {"done": 2, "refused": 1, "failed": 1}
    assert of(samples, "pytoon_campaign_briefs", campaign="camp", state="done") == 2
    assert {p: of(samples, "pytoon_reachable", part=p) for p in ("ledger", "store", "dagster")} == {
        "ledger": 1,
        "store": 1,
        "dagster": 1,
    }

    said = [json.loads(text) for text in capfd.readouterr().err.splitlines()]
    schema = json.loads((ROOT / "docs" / "log.schema.json").read_text())
    for one in said:
        jsonschema.validate(one, schema)
    mine = [one for one in said if one.get("run_id") == done.run_id]
    assert [one["event"] for one in mine if one["event"] != "message"] == [
        "run_started",
        *["stage"] * 6,
        "run_done",
    ]
    assert (
        mine[-1].items()
        >= {
            "job": "brief_job",
            "partition": "camp/good",
            "campaign": "camp",
            "outcome": "done",
            "cached": False,
            "degraded": False,
            "level": "info",
        }.items()
    )
    assert mine[-1]["seconds"] > 0
    ends = {one["partition"]: one for one in said if one["event"] == "run_failed"}
    assert ends["camp/bad"]["outcome"] == "refused"
    assert ends["camp/bad"]["reason"] == "field.choice"
    assert ends["camp/lost"]["stage"] == "segments" and ends["camp/lost"]["outcome"] == "failed"
    assert [o["degraded"] for o in said if o["event"] == "run_done"] == [False, False, True]


def test_a_runs_own_reporter_says_segments_and_queue(
    install: Install, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    """As a worker runs it, after it waited in a queue."""
    (source,) = find_sources([tiny(install.root / "camp" / "worker")])
    monkeypatch.setenv("PYTOON_HOME", str(install.settings.home))
    key = Ledger(install.settings.ledger).register(source)

    def waited(self: counting.RunCounts, context: object) -> None:
        self.queue_seconds, self.run_seconds = 7.0, 2.5

    monkeypatch.setattr(counting.RunCounts, "times", waited)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(BRIEFS.name, [key])
        job = collect_definitions().resolve_job_def(brief_job.name)
        result = job.execute_in_process(instance=instance, partition_key=key)
        shown = {
            e.asset_key.to_user_string(): e.step_materialization_data.materialization.metadata
            for e in result.all_events
            if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        }
    samples = parsed(install.text())
    assert of(samples, "pytoon_queue_seconds_bucket", le="5.0") == 0
    assert of(samples, "pytoon_queue_seconds_bucket", le="10.0") == 1
    assert of(samples, "pytoon_queue_seconds_sum") == 7

    said = [json.loads(text) for text in capfd.readouterr().err.splitlines() if text[:1] == "{"]
    (one,) = [line for line in said if line["event"] == "segment"]
    assert (one["run_id"], one["stage"], one["campaign"]) == (result.run_id, "segments", "camp")
    assert (one["segment"], one["engine"], one["cached"]) == ("s1", "compositor", False)
    assert one["seconds"] > 0

    # What Dagster plots over partitions: numbers, under the names that the docs promise.
    docs = (ROOT / "docs" / "observability.md").read_text()
    promised = re.findall(r"^\| `(\w+)`: (.*?) \|", docs, re.MULTILINE)
    assert {asset for asset, _ in promised} == {
        "render_spec",
        "segments",
        "assembled_video",
        "thumbnail",
        "metrics",
    }
    for asset, names in promised:
        for name in re.findall(r"`(\w+)`", names):
            assert isinstance(shown[asset][name].value, int | float), (asset, name)
    assert shown["metrics"]["queue_seconds"].value == 7


def test_reasons_of_engines_fall_into_few_classes():
    def during(error: Exception) -> str:
        try:
            raise error
        except Exception as caught:
            return counting.reason_class(caught)

    from pytoon_pipeline.engines.comfyui.errors import (
        NoAnswerError,
        OutOfGpuMemoryError,
        PromptStalledError,
    )
    from pytoon_pipeline.errors import BudgetExhaustedError

    found = [
        during(e)
        for e in (
            NoAnswerError("gone"),
            PromptStalledError("hangs"),
            BudgetExhaustedError("spent"),
            OutOfGpuMemoryError("full"),
            EngineFailedError("broken"),
            ValueError("a fault"),
        )
    ]
    assert found == list(c.REASONS)


# Over HTTP ---------------------------------------------------------------------------------------


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    with open_socket("127.0.0.1", 0) as here:
        config = uvicorn.Config(
            RequestLines(make_app(settings)), log_level="warning", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([here],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{here.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def test_telemetry_over_http(install: Install, capfd: pytest.CaptureFixture):
    settings = replace(install.settings, token="correct horse")
    with serving(settings) as address, httpx.Client(base_url=address, trust_env=False) as client:
        own = client.get("/metrics?X-Amz-Signature=abc")
        assert own.status_code == 200 and own.headers["content-type"] == CONTENT_TYPE
        samples = parsed(own.text)
        assert of(samples, "pytoon_runs_total", action="render", outcome="done") == 0
        assert of(samples, "pytoon_reachable", part="dagster") == 1
        # What a proxy on this machine passes on comes from anywhere.
        for said in (
            {"X-Forwarded-For": "203.0.113.9"},
            {"X-Forwarded-Prefix": "/api"},
            {"X-Forwarded-Proto": "https"},
            {"X-Forwarded-Host": "localhost"},
            {"Forwarded": "for=203.0.113.9"},
            {"Host": "pytoon.example.com"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            assert client.get("/metrics", headers=said).status_code == 401
            shown = {**said, "Authorization": "Bearer correct horse"}
            assert client.get("/metrics", headers=shown).status_code == 200
        assert client.get("/render").status_code == 401, "all else needs the token, from here too"
    requests = [json.loads(text) for text in capfd.readouterr().err.splitlines()]
    assert (
        requests[0].items()
        >= {
            "event": "request",
            "method": "GET",
            "path": "/metrics",
            "status": 200,
        }.items()
    )
    assert "abc" not in json.dumps(requests) and "horse" not in json.dumps(requests)
    assert [r["status"] for r in requests] == [200, *[401, 200] * 7, 401]


def test_a_part_that_hangs_is_away_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / "full").write_text("a file where the store should be")
    settings = load_settings(
        {"PYTOON_HOME": str(tmp_path / "home"), "PYTOON_STORE": str(tmp_path / "full")}
    )
    let_go = threading.Event()
    monkeypatch.setattr(MetricsReader, "_of_ledger", lambda self: let_go.wait(30) and GaugeValues())
    meter = MetricsReader(settings, patience=3)
    try:
        samples = parsed(meter.text())
    finally:
        let_go.set()
        meter.close()
    assert {p: of(samples, "pytoon_reachable", part=p) for p in ("ledger", "store", "dagster")} == {
        "ledger": 0,
        "store": 0,
        "dagster": 1,
    }
    assert ("pytoon_videos_total", frozenset()) not in samples, "no counter falls to zero"
    assert of(samples, "pytoon_free_bytes", place="home") > 0

    # Two that ask at once share an answer.
    calls: list[int] = []
    started = threading.Event()

    def slow() -> GaugeValues:
        calls.append(1)
        started.set()
        let_go.wait(5)
        return GaugeValues()

    let_go.clear()
    patience, answers = TimedQuestions(10), []
    asking = [
        threading.Thread(target=lambda: answers.append(patience.ask({"part": slow})))
        for _ in range(2)
    ]
    for thread in asking:
        thread.start()
    assert started.wait(5)
    let_go.set()
    for thread in asking:
        thread.join(10)
    assert [list(answer) for answer in answers] == [["part"], ["part"]] and len(calls) <= 2


def test_a_file_for_the_collector_is_never_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "pytoon.prom"
    write_whole(target, "old 1\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, "new 1\n")
    assert target.read_text() == "old 1\n" and [p.name for p in tmp_path.iterdir()] == [target.name]


# Lines -------------------------------------------------------------------------------------------


def test_no_secret_is_in_a_line(monkeypatch: pytest.MonkeyPatch):
    word = "p@ss/wörd"
    monkeypatch.setenv("PYTOON_TOKEN", "first-token, second-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcd+EFGH")
    monkeypatch.setenv("PYTOON_DATABASE", f"postgresql://me:{quote_plus(word)}@db/pytoon")
    said = logs.format_line(
        "message",
        message="GET https://b.s3.example/v.mp4?X-Amz-Signature=0123&X-Amz-Expires=9 failed; "
        f"postgresql://me:{quote_plus(word)}@db/pytoon said {word} is wrong",
        reason="second-token is no word",
        traceback="key abcd+EFGH\nAuthorization: Bearer x.y-z.q",
    )
    told = json.loads(said)
    secrets = ("0123", "X-Amz", word, quote_plus(word), "second-token", "abcd+", "x.y-z", "me:")
    for secret in secrets:
        assert secret not in json.dumps(told, ensure_ascii=False), secret
    assert told["message"].startswith(
        "GET https://b.s3.example/v.mp4?*** failed; postgresql://***@"
    )


def test_lines_of_other_processes_take_the_same_shape():
    ours = logs.format_line("run_done", partition="c/b", seconds=1.5)
    assert logs.format_relayed("daemon", ours) == ours
    theirs = json.dumps({"event": "Tick failed", "logger": "dagster.daemon", "level": "ERROR"})
    told = json.loads(logs.format_relayed("daemon", theirs))
    assert (
        told.items()
        >= {
            "event": "message",
            "level": "error",
            "source": "daemon",
            "logger": "dagster.daemon",
            "message": "Tick failed",
        }.items()
    )
    assert json.loads(logs.format_relayed("web", "{plain"))["message"] == "{plain"


# What is made of them ----------------------------------------------------------------------------


def _names(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:pytoon|node|up)(?:_\w+)?\b(?=[\s{\[)]|$)", expression))


def _known() -> dict[str, set[str]]:
    """Name of a sample -> its labels."""
    found = {"up": {"job"}}
    for figure in c.METRICS.values():
        ends = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
        for end in ends.get(figure.kind, ("",)):
            more = {"le"} if end == "_bucket" else set()
            found[figure.name + end] = set(figure.labels) | more
    return found


def test_rules_and_dashboard_name_only_what_there_is(install: Install):
    told = {name for name, _ in parsed(install.text())}
    known = _known()
    assert {n for n in told if n.startswith("pytoon_")} <= known.keys()
    # Those that need a daemon, a broker, a server or an event are not told by a new install.
    later = {f.name for f in (c.WORKERS, c.HEARTBEAT, c.TICK, c.ENGINE_UP, c.CAMPAIGN_BRIEFS)}
    later |= {
        n
        for n in known
        if n.startswith(
            (
                "pytoon_stage_seconds",
                "pytoon_checks_failed",
                "pytoon_engine_failures",
                "pytoon_segments_fallback",
            )
        )
    }
    assert known.keys() - told - later == {"up"}

    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
    shown = [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]
    assert len(alerts) >= 12 and len(shown) >= 25
    for expression in [rule["expr"] for rule in alerts] + shown:
        names = _names(expression)
        own = {n for n in names if not n.startswith("node_")}
        assert names and own <= known.keys(), expression
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        matched = re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", expression)
        labels = {label.strip() for part in grouped for label in part.split(",")} | set(matched)
        allowed = set().union(*(known[n] for n in own)) | {"fstype"}
        assert labels <= allowed, (expression, labels - allowed)
    docs = (ROOT / "docs/observability.md").read_text()
    for rule in alerts:
        assert rule["annotations"]["summary"] and rule["annotations"]["action"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert f"`{rule['alert']}`" in docs
    for figure in c.METRICS.values():
        labels = ", ".join(f"`{label}`" for label in figure.labels)
        assert f"| `{figure.name}` | {figure.kind} | {labels} |" in docs, figure.name
    for field in logs.FIELDS:
        assert f"| `{field}` |" in docs, field

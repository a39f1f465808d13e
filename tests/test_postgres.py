"""Dagster's runs, events and schedules on a real PostgreSQL server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster_postgres import DagsterPostgresStorage
from deployment import Deployment, Postgres, connections, ended, tiny

from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.errors import SettingsError
from pytoon_pipeline.intake import database as databases
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.runtime.brief_runs import open_instance, prepare_home, run_brief
from pytoon_pipeline.runtime.postgres_storage import (
    PooledPostgresEventLogStorage,
    PooledPostgresStorage,
)
from pytoon_pipeline.settings import load_settings, project_data
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import open_services

# dagster.yaml ------------------------------------------------------------------------------------


def test_the_variants_of_dagster_yaml_differ_in_their_storage_alone():
    plain, postgres = (
        yaml.safe_load((project_data("deploy") / name).read_text(encoding="utf-8"))
        for name in ("dagster.yaml", "dagster.postgres.yaml")
    )
    assert plain.pop("storage") != postgres.pop("storage")
    assert plain == postgres


DATABASE, BROKER = "postgresql://me:s3cret@db/pytoon", "redis://:s3cret@broker/0"
ENVIRONMENTS = {
    "dagster.yaml": {},
    "dagster.postgres.yaml": {"PYTOON_DATABASE": DATABASE},
    "dagster.celery.yaml": {"PYTOON_DATABASE": DATABASE, "PYTOON_BROKER": BROKER},
}


def test_a_home_is_made_to_fit_its_settings_and_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    for made, environment in ENVIRONMENTS.items():
        own = {"PYTOON_HOME": str(tmp_path / made)}
        file = prepare_home(load_settings({**own, **environment})) / "dagster.yaml"
        assert file.read_text() == (project_data("deploy") / made).read_text()
        for other, changed in ENVIRONMENTS.items():
            settings = load_settings({**own, **changed})
            if other == made:
                assert prepare_home(settings) == file.parent
                continue
            with pytest.raises(SettingsError) as told:
                prepare_home(settings)
            (problem,) = told.value.problems
            assert problem.file == str(file) and problem.remedy and "s3cret" not in str(problem)
            assert problem.field in ("PYTOON_DATABASE", "PYTOON_BROKER")
    settings = load_settings({"PYTOON_HOME": str(tmp_path / "b"), "PYTOON_BROKER": BROKER})
    with pytest.raises(SettingsError, match="PYTOON_BROKER: needs a database"):
        prepare_home(settings)
    # What an owner brought in is left alone.
    file.write_text("storage:\n  mysql: {}\nrun_launcher: {module: x, class: K8sRunLauncher}\n")
    prepare_home(load_settings({**own, **ENVIRONMENTS["dagster.postgres.yaml"]}))


# Storage -----------------------------------------------------------------------------------------


@pytest.fixture
def place(database: str, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path, PYTOON_DATABASE=database)
    yield made
    made.stop()
    databases.dispose_engines(database)


def test_a_brief_rendered_in_this_process_is_on_the_server(place: Deployment, database: str):
    """Nothing of the database is in this process's environment."""
    source = find_sources([tiny(place.root / "camp/b") / "render_spec.json"])[0]
    with open_instance(place.settings) as instance:
        result = run_brief(source, open_services(place.settings), Reporter(), instance)
        assert result.ok and place.ledger.find_entry("camp/b").state == "done"
        assert isinstance(instance.event_log_storage, PooledPostgresEventLogStorage)
        logs = instance.all_logs(result.run_id)
    assert not list(place.dagster_home.rglob("*.db"))
    assert connections(database, 2 * databases.KEPT) == 2 * databases.KEPT
    # Dagster's own class finds the same there.
    theirs = DagsterPostgresStorage(database)
    assert theirs.event_log_storage.get_logs_for_run(result.run_id) == logs
    (run,) = theirs.run_storage.get_runs()
    assert run.run_id == result.run_id and run.is_success
    videos = dg.AssetKey("assembled_video")
    latest = theirs.event_log_storage.get_latest_materialization_events([videos])[videos]
    assert latest.run_id == result.run_id
    assert theirs.event_log_storage.get_materialized_partitions(videos) == {"camp/b"}
    # As Dagster's webserver sets it up, which ends queries that take long.
    pages = PooledPostgresStorage(database)
    pages.run_storage.optimize_for_webserver(200, 3600, 20)
    assert [r.run_id for r in pages.run_storage.get_runs()] == [result.run_id]
    with pages.run_storage.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.execute(sa.text("SELECT pg_sleep(5)"))


_OPEN = """
import sys
from pytoon_pipeline.runtime.postgres_storage import PooledPostgresStorage
print("ready", flush=True); sys.stdin.readline()
storage = PooledPostgresStorage(sys.argv[1])
storage.run_storage.get_runs(), storage.event_log_storage.get_maximum_record_id()
storage.schedule_storage.all_instigator_state()
"""


def test_processes_that_start_together_make_dagsters_tables_once(database: str):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, database],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for each in started:
        assert each.stdout.readline() == "ready\n", each.stderr.read()
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60)[1] for each in started]
    assert [each.returncode for each in started] == [0, 0, 0], said
    assert not any("Retrying" in text for text in said), said


def test_an_event_whose_connection_is_lost_is_logged_all_the_same(own_postgres: Postgres):
    """Wherever it is lost: before the event is written, or while its asset is."""
    storage = PooledPostgresStorage(own_postgres.url)
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([_something], instance=instance)
        logs = instance.all_logs(run.run_id)
    events = storage.event_log_storage

    def cut() -> None:
        """Ends all connections, as an administrator does."""
        with sa.create_engine(own_postgres.url, poolclass=sa.NullPool).connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid != pg_backend_pid() AND backend_type = 'client backend'"
                )
            )

    cuts = []
    for number, entry in enumerate(logs):
        place = "INTO asset_keys" if entry.dagster_event.asset_key else "INTO event_logs"

        def interfere(conn, cursor, statement, *_, place=place, number=number):  # type: ignore
            if place in statement and (number, place) not in cuts:
                cuts.append((number, place))
                cut()

        sa.event.listen(events._engine, "before_cursor_execute", interfere)
        events.store_event(entry)
        sa.event.remove(events._engine, "before_cursor_execute", interfere)
    assert Counter(place for _, place in cuts)["INTO asset_keys"] >= 2 and len(cuts) == len(logs)
    assert events.get_logs_for_run(run.run_id) == logs
    assert events.all_asset_keys() == [_something.key]
    own_postgres.stop()
    own_postgres.start_in(1.0)
    events.store_event(logs[0])
    assert len(events.get_logs_for_run(run.run_id)) == len(logs) + 1
    databases.dispose_engines(own_postgres.url)


@dg.asset
def _something() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"x": 1})


def test_rows_outlive_the_connection_they_came_over(database: str):
    """Dagster asks one thing while it reads the answer to another."""
    storage = PooledPostgresStorage(database)
    end = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid")
    with storage.run_storage.connect() as one, storage.run_storage.connect() as other:
        pid = one.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        rows = one.execute(sa.text("SELECT i FROM generate_series(1, 3) i")).mappings()
        other.execute(end, {"pid": pid})
        assert one.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() != pid
        assert [row["i"] for row in rows] == [1, 2, 3]
    databases.dispose_engines(database)


def test_a_campaign_goes_on_when_the_server_was_away(own_postgres: Postgres, tmp_path: Path):
    """tests/proofs/proof_postgres.py has it stay away for longer."""
    place = Deployment(tmp_path, PYTOON_DATABASE=own_postgres.url)
    for i in range(2):
        tiny(place.root / f"camp/b{i}", hue=40 * i)
    with place:
        place.wait(lambda es: any(e.state == "running" for e in es), 60)
        own_postgres.stop()
        time.sleep(3)
        own_postgres.start()
        entries = place.wait(ended(2), 120)
    assert [e.state for e in entries] == ["done", "done"], [e.error for e in entries]
    runs = place.runs()
    assert Counter(r.tags[BRIEF_TAG] for r in runs) == {"camp/b0": 1, "camp/b1": 1}
    assert all(r.is_success for r in runs)
    databases.dispose_engines(own_postgres.url)

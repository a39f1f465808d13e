"""The files of `deploy/` hold together: pinned, not root, healthy, in the program's own words."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pytoon_pipeline.cli import app
from pytoon_pipeline.settings import load_settings

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


class _Asked(Mapping[str, str]):
    """An environment that remembers what was looked up in it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every PYTOON_ variable that the settings ask for."""
    asked = _Asked()
    load_settings(asked)
    # Asked for one another's sake only.
    return asked.names | {"PYTOON_COMFYUI_I2V", "PYTOON_COMFYUI_T2V"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage of the Dockerfile -> its instructions, those of the stages it is built on included."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    found: dict[str, list[tuple[str, str]]] = {}
    here: list[tuple[str, str]] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = (part.strip() for part in rest.partition(" AS "))
            here = found[name] = list(found.get(base, []))
        if word and not word.startswith("#"):
            here.append((word, rest.strip()))
    return found


def _command(instructions: list[tuple[str, str]]) -> list[str]:
    return json.loads([rest for word, rest in instructions if word == "CMD"][-1])


def _health(instructions: list[tuple[str, str]]) -> list[str]:
    rest = [rest for word, rest in instructions if word == "HEALTHCHECK"][-1]
    return json.loads(rest[rest.index("CMD") + 3 :])


SERVICES = ("code", "web", "daemon", "worker", "api")


@pytest.mark.parametrize("name", SERVICES)
def test_images_run_as_nobody_and_say_how_they_are(stages, name: str) -> None:
    users = [rest for word, rest in stages[name] if word == "USER"]
    assert users[-1] == "10001:10001"
    assert _health(stages[name]) and _command(stages[name])
    base = next(rest for word, rest in stages["run"] if word == "FROM")
    assert base.startswith("${PYTHON_IMAGE}")


def test_bases_and_images_are_pinned(compose) -> None:
    images = [s["image"] for s in compose["services"].values() if "build" not in s]
    text = (DEPLOY / "Dockerfile").read_text() + (DEPLOY / "comfyui/Dockerfile").read_text()
    images += re.findall(r"^(?:ARG PYTHON_IMAGE=|FROM (?=\S+:))(\S+)", text, re.MULTILINE)
    assert len(images) >= 8
    for image in images:
        assert re.search(r":\S*\d+\.\d+|:RELEASE\.\d{4}", image), image


@pytest.mark.parametrize("name", SERVICES)
def test_the_commands_of_the_images_exist(stages, name: str) -> None:
    for command in (_command(stages[name]), _health(stages[name])):
        if command[0] != "pytoon":
            assert command[0] in ("dagster", "dagster-daemon", "python")
            continue
        options = [o for o in command[2:] if o.startswith("--")]
        said = CliRunner().invoke(app, [command[1], "--help"], env={"COLUMNS": "200"})
        assert said.exit_code == 0, said.output
        assert all(option in said.output for option in options), shlex.join(command)


def test_no_image_serves_the_page_without_its_guard(stages, tmp_path: Path) -> None:
    assert _command(stages["web"])[:2] == ["pytoon", "page"]
    # The chart starts `dagster-webserver`, and nothing in its values changes that.
    [line] = [r for word, r in stages["run"] if word == "RUN" and "dagster-webserver" in r]
    for name in ("pytoon", "dagster-webserver"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$@"\n')
        (tmp_path / name).chmod(0o755)
    subprocess.run(["sh", "-c", line.replace("/opt/pytoon/bin", str(tmp_path))], check=True)
    called = [tmp_path / "dagster-webserver", "-h", "0.0.0.0", "-w", "a b.yaml"]
    done = subprocess.run(called, capture_output=True, text=True, check=True)
    assert done.stdout == "page -h 0.0.0.0 -w a b.yaml\n"


def test_the_proxy_is_given_what_its_file_asks_for(compose) -> None:
    conf = (DEPLOY / "nginx/pytoon.conf").read_text()
    proxy, web = compose["services"]["proxy"], compose["services"]["web"]
    [script] = proxy["command"]
    shown = script.replace("$$", "$").partition("exec ")[0] + 'echo "$PYTOON_LOGIN_SECRET"'
    secrets = [
        subprocess.run([*proxy["entrypoint"], shown], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert all(re.fullmatch(r"[0-9a-f]{48}\n", s.stdout) for s in secrets)
    assert secrets[0].stdout != secrets[1].stdout
    given = {*proxy["environment"], *re.findall(r"export (\w+)=", script)}
    assert set(re.findall(r"\$\{(\w+)\}", conf)) == {n for n in given if n.startswith("PYTOON_")}
    # The page knows itself by the name that the proxy answers to.
    name = proxy["environment"]["PYTOON_SERVER_NAME"]
    assert web["environment"]["PYTOON_PAGE_HOSTS"] == name == "${PYTOON_SERVER_NAME:-localhost}"
    [mounted] = [v for v in proxy["volumes"] if "pytoon.conf" in v]
    assert mounted.split(":")[1] == "/etc/nginx/templates/default.conf.template"


def test_no_location_of_the_proxy_has_headers_of_its_own() -> None:
    """It would inherit none of the server's, nginx says nothing of it, and the callers behind it
    would be taken for programs of this machine."""
    conf = re.sub(r"#.*", "", (DEPLOY / "nginx/pytoon.conf").read_text())
    locations = re.findall(r"location [^{]*\{([^}]*)\}", conf)
    assert len(locations) == 2
    for location in locations:
        assert not re.search(r"add_header|proxy_set_header|proxy_hide_header", location)


def test_only_the_proxy_listens_to_others(compose) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_what_is_secret_is_never_written_down(compose) -> None:
    said = json.dumps(compose)
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "MINIO_PASSWORD"):
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", said)) == {":?see deploy/env.example"}
    example = (DEPLOY / "env.example").read_text()
    assert all(not v for v in re.findall(r"^\w+(?:PASSWORD|TOKEN)=(.*)$", example, re.MULTILINE))
    text = (DEPLOY / "helm/values.yaml").read_text()
    assert not re.search(r"(?i)(password|secret_access_key|_token)\s*:\s*\S+$", text, re.MULTILINE)


def test_every_service_is_held_back_and_healthy(compose, stages) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["build"]["target"] == name and name in stages
    for name, service in compose["services"].items():
        assert name == "bucket" or name in SERVICES or name in (
            "comfyui", "prometheus", "grafana"
        ) or "healthcheck" in service, name  # fmt: skip


def test_the_variables_are_the_programs_own(compose, known) -> None:
    values = yaml.safe_load((DEPLOY / "helm/values.yaml").read_text())
    deployment = values["dagster-user-deployments"]["deployments"][0]
    image = " ".join(
        r for word, r in re.findall(
            r"^(ENV) ((?:[^\\\n]|\\\n)+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE
        )
    )  # fmt: skip
    named = {*compose["x-pytoon"]["environment"], *deployment["env"]}
    named |= set(re.findall(r"(PYTOON_\w+)=", image))
    named |= set(re.findall(r"PYTOON_\w+", (DEPLOY / "helm/values.yaml").read_text()))
    ours = {n for n in named if n.startswith("PYTOON_")}
    assert len(ours) > 8 and ours <= known, ours - known


def test_the_charts_values_are_those_of_the_launcher() -> None:
    """What the chart passes on fits the pinned launcher's own configuration."""
    from dagster._config import process_config, resolve_to_config_type
    from dagster_k8s import K8sRunLauncher

    values = yaml.safe_load((DEPLOY / "helm/values.yaml").read_text())
    given = values["runLauncher"]["config"]["k8sRunLauncher"]

    def snake(name: str) -> str:
        return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()

    config = {
        "image_pull_policy": given["imagePullPolicy"],
        "resources": given["resources"],
        "env_secrets": [s["name"] for s in given["envSecrets"]],
        "fail_pod_on_run_failure": given["failPodOnRunFailure"],
        "run_k8s_config": {snake(k): v for k, v in given["runK8sConfig"].items()},
        "dagster_home": values["dagsterHome"],
        "service_account_name": "pytoon",
        "instance_config_map": "pytoon-instance",
    }
    processed = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), config)
    assert processed.success, processed.errors
    assert values["dagsterDaemon"]["runRetries"]["retryOnAssetOrOpFailure"] is False


def test_the_queue_is_the_same_everywhere() -> None:
    """What the chart calls the queue's limits is what `dagster.yaml` has."""
    values = yaml.safe_load((DEPLOY / "helm/values.yaml").read_text())
    chart = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    plain = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["concurrency"]["runs"]
    assert chart["tagConcurrencyLimits"] == plain["tag_concurrency_limits"]


def test_pods_ask_for_what_their_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_k8s.job import get_user_defined_k8s_config

    from pytoon_pipeline.defs.jobs import POD_TAG, pod_tags

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert pod_tags("1", "1Gi") == {}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    tags = {k: json.dumps(v) for k, v in pod_tags("250m", "1Gi").items()}
    assert tags.keys() == {POD_TAG}
    config = get_user_defined_k8s_config(tags).container_config
    assert config["resources"]["requests"] == {"cpu": "250m", "memory": "1Gi"}

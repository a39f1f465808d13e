"""The files of `deploy/` hold together: pinned, not root, healthy, in the program's own words."""

from __future__ import annotations

import json
import os
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
    """Nor has any secret a value where none is set: a default password is everybody's."""
    said = json.dumps(compose)
    needed = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_SECRET_KEY", "MINIO_ROOT_PASSWORD")
    for name in needed:
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", said)) == {":?see deploy/env.example"}
    # Two dollars are one of a shell inside.
    for name, rest in re.findall(r"(?<!\$)\$\{(\w*(?:PASSWORD|TOKEN|SECRET)\w*)([^}]*)\}", said):
        assert rest in (":?see deploy/env.example", ":-"), name
    example = (DEPLOY / "env.example").read_text()
    assert all(
        not v for v in re.findall(r"^\w+(?:PASSWORD|TOKEN|SECRET\w*)=(.*)$", example, re.MULTILINE)
    )
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in needed)
    for file in sorted((DEPLOY / "helm").iterdir()):
        assert not re.search(
            r"(?i)(password|secret_access_key|_token)\s*:\s*\S+$", file.read_text(), re.MULTILINE
        )


def test_images_are_built_without_what_is_secret() -> None:
    ignored = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    # The last rule that fits counts.
    assert ignored.index("deploy/.env") > ignored.index("!deploy")
    assert ignored.index("deploy/tls") > ignored.index("!deploy")


def test_a_dashboard_without_a_password_does_not_start(compose) -> None:
    grafana = compose["services"]["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    [script] = grafana["command"]
    script = script.replace("$$", "$").replace("exec /run.sh", "echo started")
    for password, started in (("", ""), ("word", "started\n")):
        environment = {"GF_SECURITY_ADMIN_PASSWORD": password, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [*grafana["entrypoint"], script], env=environment, capture_output=True, text=True
        )
        assert done.stdout == started and (done.returncode == 0) == bool(started)
        assert started or "GRAFANA_PASSWORD" in done.stderr


def test_the_password_of_redis_is_in_no_list_of_processes(compose, tmp_path: Path) -> None:
    redis = compose["services"]["redis"]
    [script] = redis["command"]
    assert "REDIS_PASSWORD" not in script
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/").replace("exec", "echo")
    environment = {"REDISCLI_AUTH": "word", "PATH": os.environ["PATH"]}
    subprocess.run([*redis["entrypoint"], script], env=environment, check=True)
    file = tmp_path / "redis.conf"
    assert file.read_text() == "appendonly yes\nrequirepass word\n"
    assert file.stat().st_mode & 0o077 == 0


ROOT_INSIDE = {"minio": "the image has no other user", "bucket": "the same", "proxy": "port 443"}
RIGHTS = {"proxy": {"CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"}}
"""What a service keeps of root's capabilities."""


def test_every_container_is_contained(compose) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", [])) == RIGHTS.get(name, set()), name
        # Without `seccomp=unconfined` or the like, Docker's own profile holds.
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True and not service.get("privileged"), name
        assert re.search(r"\d+[mg]\}?$", service["mem_limit"]), name
        assert 0 < service["pids_limit"] <= 2048, name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == ("no" if name == "bucket" else "unless-stopped"), name
        for place in service.get("tmpfs", []):
            assert ":size=" in place, f"{name}: {place}"
        assert "docker.sock" not in json.dumps(service), name
        for forbidden in ("network_mode", "pid", "ipc", "devices", "userns_mode"):
            assert forbidden not in service, f"{name}: {forbidden}"


def test_no_container_is_root_without_a_reason(compose, stages) -> None:
    # Of Prometheus and Grafana, whose images have users without rights.
    own = {"prometheus", "grafana"}
    comfyui = (DEPLOY / "comfyui/Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", comfyui, re.MULTILINE) == ["10001:10001"]
    for name, service in compose["services"].items():
        user = service.get("user", "")
        assert (
            name in ROOT_INSIDE
            or name in SERVICES
            or name in own
            or name == "comfyui"
            or re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
        ), name


def test_every_service_is_healthy_or_says_why_not(compose, stages) -> None:
    for name in SERVICES:
        assert compose["services"][name]["build"]["target"] == name and name in stages
    for name, service in compose["services"].items():
        built = "build" in service  # Then the image has it.
        assert built or name == "bucket" or "healthcheck" in service, name


def _reached(compose, name: str) -> set[str]:
    """Services that one shares a network with."""
    mine = set(compose["services"][name]["networks"])
    return {
        other
        for other, service in compose["services"].items()
        if other != name and mine & set(service["networks"])
    }


def test_networks_join_only_what_has_to_talk(compose) -> None:
    for name, network in compose["networks"].items():
        members = [n for n, s in compose["services"].items() if name in s["networks"]]
        internal = bool(network and network.get("internal"))
        assert members and (internal or members == [name.removesuffix("-outside")]), name
    ours = set(SERVICES)
    assert _reached(compose, "postgres") == ours | {"redis"}
    assert _reached(compose, "redis") == ours | {"postgres"}
    assert _reached(compose, "minio") == {"bucket", "code", "worker", "api"}
    assert _reached(compose, "comfyui") == {"worker", "api"}
    assert _reached(compose, "proxy") == {"web", "api"}
    assert (
        _reached(compose, "grafana")
        == _reached(compose, "prometheus") ^ {"grafana", "prometheus"}
        == {"api", "prometheus"}
    )
    pipeline = {n for n, s in compose["services"].items() if "pipeline" in s["networks"]}
    assert pipeline == {"code", "web", "daemon"}
    # What others are called by is where they can be reached.
    for name, service in compose["services"].items():
        named = set(re.findall(r"(?:@|//)([a-z]+):\d+", json.dumps(service.get("environment", {}))))
        assert named & set(compose["services"]) <= _reached(compose, name), name


def _documented() -> dict[str, set[str]]:
    """Secret -> services that are given it, from the table of docs/operations.md."""
    text = (DEPLOY.parent / "docs/operations.md").read_text()
    table = text.partition("| secret | given to |")[2].partition("\n\n")[0]
    found = {}
    for row in re.findall(r"^\| (`.+?) \| (.+) \|$", table, re.MULTILINE):
        services = set(re.findall(r"`(\w+)`", row[1]))
        found |= {name: services for name in re.findall(r"`(\w+)`", row[0])}
    assert len(found) > 9
    return found


def test_secrets_are_given_where_they_are_needed_only(compose) -> None:
    words = {
        "AWS_ACCESS_KEY_ID": "S3_ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY": "S3_SECRET_KEY",
        "PYTOON_DATABASE": "POSTGRES_PASSWORD",
        "PYTOON_BROKER": "REDIS_PASSWORD",
    }
    holders = {
        "POSTGRES_PASSWORD": {"postgres"},
        "REDIS_PASSWORD": {"redis"},
        "S3_ACCESS_KEY": {"bucket"},
        "S3_SECRET_KEY": {"bucket"},
    }
    for secret, documented in _documented().items():
        word = words.get(secret, secret)
        given = {
            name
            for name, service in compose["services"].items()
            if f"${{{word}" in json.dumps(service) or word.lower() in service.get("secrets", [])
        }
        assert given == documented | holders.get(word, set()), secret
    known = {words.get(s, s) for s in _documented()}
    secret = re.findall(r"(?<!\$)\$\{(\w*(?:PASSWORD|TOKEN|SECRET|KEY)\w*)", json.dumps(compose))
    assert set(secret) == {w for w in known if w != "PYTOON_BRIEFS_TABLE"}


def test_the_bucket_is_used_without_the_servers_root_identity(compose) -> None:
    bucket = compose["services"]["bucket"]
    said = bucket["environment"]["POLICY"].replace("${PYTOON_BUCKET:-pytoon}", "pytoon")
    policy = json.loads(said)
    for statement in policy["Statement"]:
        assert all(r.startswith("arn:aws:s3:::pytoon") for r in statement["Resource"])
        assert all("*" not in action for action in statement["Action"])
    [script] = bucket["command"]
    assert "MINIO_ROOT" not in script
    subprocess.run(["sh", "-n"], input=script.replace("$$", "$"), text=True, check=True)


def test_the_variables_are_the_programs_own(compose, known, values) -> None:
    deployment = values["dagster-user-deployments"]["deployments"][0]
    image = " ".join(
        r
        for word, r in re.findall(
            r"^(ENV) ((?:[^\\\n]|\\\n)+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE
        )
    )
    named = {n for name in SERVICES for n in compose["services"][name]["environment"]}
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    named |= {*deployment["env"], *(v.partition("=")[0] for v in launcher["envVars"])}
    named |= set(re.findall(r"(PYTOON_\w+)=", image))
    for file in (DEPLOY / "helm").iterdir():
        named |= set(re.findall(r"PYTOON_\w+", file.read_text()))
    ours = {n for n in named if n.startswith("PYTOON_")}
    assert len(ours) > 8 and ours <= known, ours - known


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "helm/values.yaml").read_text())


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """What is applied beside the chart."""
    files = [DEPLOY / "helm/policies.yaml", DEPLOY / "helm/api.yaml"]
    return [d for file in files for d in yaml.safe_load_all(file.read_text())]


@pytest.fixture(scope="module")
def run_job(values, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The job of a run, as the pinned launcher makes it of what the chart passes on."""
    import dagster as dg
    from dagster._config import process_config, resolve_to_config_type
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job
    from dagster_k8s.launcher import K8sRunLauncher
    from kubernetes.client import ApiClient

    given = values["runLauncher"]["config"]["k8sRunLauncher"]

    def snake(name: str) -> str:
        return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()

    cluster = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://localhost"}}],
        "users": [{"name": "a", "user": {}}],
    }
    file = tmp_path_factory.mktemp("kube") / "config"
    file.write_text(yaml.safe_dump(cluster))
    config = {
        **{snake(k): v for k, v in given.items() if k not in ("runK8sConfig", "envSecrets")},
        "env_secrets": [s["name"] for s in given["envSecrets"]],
        "run_k8s_config": {snake(k): v for k, v in given["runK8sConfig"].items()},
        "dagster_home": values["global"]["dagsterHome"],
        "service_account_name": "pytoon-dagster",
        "instance_config_map": "pytoon-dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "load_incluster_config": False,
        "kubeconfig_file": str(file),
    }
    processed = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), config)
    assert processed.success, processed.errors
    launcher = K8sRunLauncher.from_config_value(None, processed.value)
    with dg.instance_for_test() as instance:
        launcher.register_instance(instance)
        run = dg.DagsterRun("render", run_id="0" * 32)
        context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=False)
        job = construct_dagster_k8s_job(
            context.get_k8s_job_config("pytoon-code:0.1", launcher),
            ["dagster"],
            "run",
            user_defined_k8s_config=context.run_k8s_config,
            component="run_worker",
        )
    # The configuration's own fields were what made it so: no code server adds to them.
    [deployment] = values["dagster-user-deployments"]["deployments"]
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": False}
    return ApiClient().sanitize_for_serialization(job)


def test_manifests_are_what_kubernetes_knows(manifests, run_job) -> None:
    import kubernetes_validate

    assert len(manifests) > 15
    for manifest in [*manifests, run_job]:
        kubernetes_validate.validate(manifest, "1.33", strict=True)


def _pods(values, manifests, run_job) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Part -> its pod and its container, in Kubernetes' own words; of the chart's parts what the
    chart takes over from its values."""
    [code] = values["dagster-user-deployments"]["deployments"]
    found = {}
    for name, given in (
        ("page", values["dagsterWebserver"]),
        ("daemon", values["dagsterDaemon"]),
        ("code", code),
    ):
        pod = {
            "securityContext": given["podSecurityContext"],
            "volumes": given["volumes"],
            "labels": given["labels"],
        }
        container = {
            "securityContext": given["securityContext"],
            "resources": given["resources"],
            "volumeMounts": given["volumeMounts"],
            "envFrom": [{"secretRef": s} for s in given["envSecrets"]],
        }
        found[name] = pod, container
    for name, manifest in (
        ("run", run_job),
        ("api", next(m for m in manifests if m["kind"] == "Deployment")),
    ):
        template = manifest["spec"]["template"]
        [container] = template["spec"]["containers"]
        found[name] = {**template["spec"], "labels": template["metadata"]["labels"]}, container
    return found


def test_every_pod_is_contained(values, manifests, run_job) -> None:
    """As the restricted standard of pod security asks, and with limits."""
    pods = _pods(values, manifests, run_job)
    assert set(pods) == {"page", "daemon", "code", "run", "api"}
    for name, (pod, container) in pods.items():
        assert pod["labels"]["pytoon/part"] == name
        whole = pod["securityContext"]
        assert whole["runAsNonRoot"] is True and whole["runAsUser"] == 10001, name
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}, name
        own = container["securityContext"]
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["limits"]["memory"], name
        assert container["resources"]["requests"]["cpu"], name
        assert "/tmp" in [m["mountPath"] for m in container["volumeMounts"]], name
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], name


TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_pods_have_no_token_of_the_cluster(values, manifests, run_job) -> None:
    """But for those that start and end pods: the page and the daemon, by the chart's own role, and
    the API, by one that allows no more."""
    pods = _pods(values, manifests, run_job)
    assert pods["run"][0]["automountServiceAccountToken"] is False
    code = pods["code"][1]["volumeMounts"]  # The chart always asks for one.
    assert TOKEN in [m["mountPath"] for m in code]
    [deployment] = values["dagster-user-deployments"]["deployments"]
    assert deployment["serviceAccount"]["create"] is True
    [role] = [m for m in manifests if m["kind"] == "Role"]
    rights = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights == {("jobs", "get"), ("jobs", "delete"), ("pods", "list"), ("pods", "delete")}


def test_pods_are_given_the_secrets_that_they_need(values, manifests, run_job) -> None:
    parts = {"page": "web", "daemon": "daemon", "code": "code", "run": "worker", "api": "api"}
    held = {
        "pytoon-database": "PYTOON_DATABASE",
        "pytoon-store": "AWS_SECRET_ACCESS_KEY",
        "pytoon-engines": "PYTOON_COMFYUI_TOKEN",
        "pytoon-api": "PYTOON_WEBHOOK_SECRET",
    }
    documented = _documented()
    for part, (_, container) in _pods(values, manifests, run_job).items():
        given = {e["secretRef"]["name"] for e in container["envFrom"] if "secretRef" in e}
        wanted = {s for s, word in held.items() if parts[part] in documented[word]}
        assert given == wanted, part


def test_what_is_not_allowed_between_pods_is_refused(values, manifests) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"}
    nothing = policies["pytoon-nothing-else"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def parts(selector: dict[str, Any]) -> set[str]:
        named = selector.get("matchLabels", {}).get("pytoon/part")
        [expression] = selector.get("matchExpressions", [{"values": [named]}])
        return set(expression["values"])

    callers: dict[str, set[str]] = {}
    for spec in policies.values():
        for rule in spec.get("ingress", []):
            for source in rule["from"]:
                if "podSelector" in source:
                    callers[parts(spec["podSelector"]).pop()] = parts(source["podSelector"])
                else:
                    assert source["namespaceSelector"]["matchLabels"] == {"pytoon/may-call": "true"}
    assert callers == {"code": {"page", "daemon"}, "comfyui": {"run", "api"}}
    for target, sources in callers.items():  # Both ends have to allow it.
        allowed = [
            parts(spec["podSelector"])
            for spec in policies.values()
            for rule in spec.get("egress", [])
            for to in rule.get("to", [])
            if "podSelector" in to and parts(to["podSelector"]) == {target}
        ]
        assert allowed == [sources]
    outside = policies["pytoon-outside"]
    assert parts(outside["podSelector"]) == {"code", "run", "api"}
    [rule] = outside["egress"]
    assert all(to["ipBlock"]["except"] for to in rule["to"])


def test_a_node_can_be_emptied_without_the_page_going(values, manifests) -> None:
    budgets = {
        m["spec"]["selector"]["matchLabels"]["pytoon/part"]: m["spec"]
        for m in manifests
        if m["kind"] == "PodDisruptionBudget"
    }
    [code] = values["dagster-user-deployments"]["deployments"]
    assert set(budgets) == {"page", "daemon", "api"} and code["pdb"] == {"maxUnavailable": 1}
    assert budgets["page"]["minAvailable"] < values["dagsterWebserver"]["replicaCount"]
    # A budget of one pod that may never go would keep a node from being emptied for ever.
    assert all(b.get("maxUnavailable") == 1 for n, b in budgets.items() if n != "page")


def test_the_queue_is_the_same_everywhere(values) -> None:
    """What the chart calls the queue's limits is what `dagster.yaml` has."""
    assert values["dagsterDaemon"]["runRetries"]["retryOnAssetOrOpFailure"] is False
    chart = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    plain = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["concurrency"]["runs"]
    assert chart["tagConcurrencyLimits"] == plain["tag_concurrency_limits"]


def test_pods_ask_for_what_their_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_k8s.job import get_user_defined_k8s_config

    from pytoon_pipeline.defs.videos.jobs import POD_TAG, pod_tags

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert pod_tags("1", "1Gi") == {}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    tags = {k: json.dumps(v) for k, v in pod_tags("250m", "1Gi").items()}
    assert tags.keys() == {POD_TAG}
    config = get_user_defined_k8s_config(tags).container_config
    assert config["resources"]["requests"] == {"cpu": "250m", "memory": "1Gi"}

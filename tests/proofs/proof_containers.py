"""The services of `deploy/compose.yaml`, run without a container engine: each with the command and
the variables of its image, the variables and the writable places of the compose file, and nothing
else. `make proof-containers`.

Bubblewrap (Debian's package of that name) gives each a root file system that is read only, the
user of the images, and no capabilities. PostgreSQL, Redis and an S3 server stand beside them on
loopback. The S3 server checks who may do what (`POLICY` of the service `bucket`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
import yaml
from deployment import Postgres, picture
from redis_server import RedisServer
from s3_server import KEYS, s3_server
from shipped import plain_environment

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
LIMIT = 240.0
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/etc")


def image_of(target: str) -> tuple[list[str], dict[str, str]]:
    """Command and variables of a stage of the Dockerfile."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", text, re.M | re.S))
    variables = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.*)$", stages["run"], re.M)[1]))
    return json.loads(re.findall(r"^CMD (.*)$", stages[target], re.M)[-1]), variables


def resolve(text: str, words: dict[str, str]) -> str:
    """A value of the compose file with the words of `deploy/.env` put in."""

    def put(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        value = words.get(name, "")
        if kind == ":?":
            assert value, f"{name} is needed"
        return value or (rest if kind in (":-", "-") else "")

    return re.sub(r"\$\{(\w+)(:-|:\?|-)?([^}]*)\}", put, text)


class Contained:
    """A service as its container would be: what it may write is a folder here for each volume."""

    def __init__(
        self,
        name: str,
        compose: dict[str, Any],
        words: dict[str, str],
        folder: Path,
        moved: dict[str, str],
        ports: dict[str, str],
        sockets: str,
    ):
        service = compose["services"][name]
        command, variables = image_of(service["build"]["target"])
        given = {k: resolve(v, words) for k, v in service["environment"].items()}
        for there, here in moved.items():
            given = {k: v.replace(there, here) for k, v in given.items()}
        command = [ports.get(part, part) for part in command]
        bin_ = str(Path(sys.executable).parent)
        self.environment = {
            **variables,
            **given,
            "PATH": f"{bin_}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": "/var/lib/pytoon",
        }
        workspace = (DEPLOY / "workspace.yaml").read_text()
        workspace = workspace.replace("host: code", "host: 127.0.0.1")
        workspace = workspace.replace("4000", ports["4000"])
        settings = folder / f"{name}-etc"
        settings.mkdir(parents=True)
        (settings / "workspace.yaml").write_text(workspace)
        shutil.copy(DEPLOY / "dagster.celery.yaml", settings / "dagster.yaml")
        places: list[str] = []
        for volume in service["volumes"]:
            _, _, target = re.sub(r"\$\{.*?\}", "", volume).removesuffix(":ro").rpartition(":")
            if target == "/briefs":
                places += ["--ro-bind", str(folder / "briefs"), target]
                continue
            self.home = folder / f"{name}-home"
            self.home.mkdir()
            places += ["--bind", str(self.home), target]
        for tmpfs in service["tmpfs"]:
            places += ["--tmpfs", tmpfs.partition(":")[0]]
        system = [part for d in SYSTEM if Path(d).is_dir() for part in ("--ro-bind", d, d)]
        interpreter = str(Path(sys.base_prefix))
        wrapped = [
            "bwrap",
            "--unshare-user",
            "--unshare-pid",
            "--uid",
            "10001",
            "--gid",
            "10001",
            "--cap-drop",
            "ALL",
            "--die-with-parent",
            "--new-session",
            *system,
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/var",
            "--dir",
            "/var/lib/pytoon",
            *places,
            "--ro-bind",
            sockets,
            sockets,  # Where PostgreSQL listens.
            "--ro-bind",
            str(settings),
            "/var/etc-pytoon",
            "--ro-bind",
            interpreter,
            interpreter,
            "--ro-bind",
            str(ROOT),
            str(ROOT),
            "--ro-bind",
            str(Path(sys.prefix)),
            str(Path(sys.prefix)),
            "--remount-ro",
            "/",
            "--remount-ro",
            "/var",
            "--chdir",
            "/var/lib/pytoon",
        ]
        self.environment["DAGSTER_HOME"] = "/var/etc-pytoon"
        command = [part.replace("/etc/pytoon", "/var/etc-pytoon") for part in command]
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*wrapped, *command],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def check(self) -> None:
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]


def make_user(url: str, policy: str) -> dict[str, str]:
    """Keys of a user of the S3 server that may do what the policy says."""
    import boto3

    client = boto3.client(
        "iam",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_user(UserName="pytoon")
    client.put_user_policy(UserName="pytoon", PolicyName="pytoon", PolicyDocument=policy)
    return client.create_access_key(UserName="pytoon")["AccessKey"]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    folder = tmp_path_factory.mktemp("containers")
    for parent in (folder, *folder.parents[:2]):  # The images' user has to come through.
        parent.chmod(0o755)
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    # After these calls without a check, which make the bucket and its user, every call is checked.
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"
    postgres = Postgres()
    Path(postgres.folder).chmod(0o711)
    with s3_server() as s3, RedisServer(folder / "redis") as redis:
        del os.environ["INITIAL_NO_AUTH_ACTION_COUNT"]
        s3.bucket("pytoon")
        policy = compose["services"]["bucket"]["environment"]["POLICY"]
        keys = make_user(s3.url, resolve(policy, {}))
        words = {
            "POSTGRES_PASSWORD": "x",
            "REDIS_PASSWORD": "x",
            "PYTOON_TOKEN": "sesame",
            "S3_ACCESS_KEY": keys["AccessKeyId"],
            "S3_SECRET_KEY": keys["SecretAccessKey"],
        }
        ports = {port: str(_free_port()) for port in ("4000", "3000", "8321")}
        moved = {
            "postgresql://pytoon:x@postgres:5432/pytoon": postgres.url,
            "redis://:x@redis:6379/0": redis.url,
            "http://minio:9000": s3.url,
            "http://127.0.0.1:9000": s3.url,
        }
        (folder / "briefs").mkdir()
        services: dict[str, Contained] = {}
        try:
            for name in ("code", "web", "daemon", "worker", "api"):
                services[name] = Contained(
                    name,
                    compose,
                    words,
                    folder,
                    moved,
                    {**ports, "0.0.0.0": "127.0.0.1"},
                    postgres.folder,
                )
                if name == "code":
                    time.sleep(12)
            yield {
                "folder": folder,
                "services": services,
                "postgres": postgres,
                "ports": ports,
                "s3": s3,
                "keys": keys,
            }
        finally:
            for service in services.values():
                with suppress(ProcessLookupError):
                    service.process.terminate()
            for service in services.values():
                with suppress(subprocess.TimeoutExpired):
                    service.process.wait(20)
                if service.process.poll() is None:
                    service.process.kill()
                    service.process.wait()
            postgres.close()


def _ask(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as r:
            return r.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_brief_is_rendered_by_services_that_may_write_and_know_no_more(place) -> None:
    folder, services = place["folder"], place["services"]
    brief = folder / "briefs" / "lamp"
    picture(brief / "a.png")
    plan = {
        "archetype": "hero",
        "resolution": "270x480",
        "audio_track": False,
        "segments": [{"media": ["a.png"], "duration": 3, "text": "Hello", "motion": "push_in"}],
    }
    (brief / "render_spec.json").write_text(json.dumps(plan))
    settings = load_settings(
        {
            **plain_environment(),
            "PYTOON_DATABASE": place["postgres"].url,
            "PYTOON_HOME": str(folder / "reader"),
        }
    )
    ledger = Ledger(settings.ledger)
    end, state = time.monotonic() + LIMIT, ""
    while state != "done":
        for service in services.values():
            service.check()
        with suppress(StoreError):  # Nobody has made its tables yet.
            found = ledger.find()
            state = found[0].state if found else ""
        assert state not in ("refused", "failed"), found
        logs = {n: s.log.read_text(errors="replace")[-1500:] for n, s in services.items()}
        assert time.monotonic() < end, (state, logs)
        time.sleep(0.5)
    ports = place["ports"]
    assert _ask(f"http://127.0.0.1:{ports['3000']}/server_info") == 200
    assert _ask(f"http://127.0.0.1:{ports['8321']}/health") == 200
    listed = f"http://127.0.0.1:{ports['8321']}/render"
    assert _ask(listed) == 401 and _ask(listed, Authorization="Bearer sesame") == 200


def test_a_service_can_write_its_volumes_only(place) -> None:
    """Asked of one of them: everything else says that it is read only."""
    code = place["services"]["code"]
    pid = int(
        subprocess.run(
            ["pgrep", "-P", str(code.process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()[0]
    )
    text = Path(f"/proc/{pid}/mountinfo").read_text()
    writable = {line.split()[4] for line in text.splitlines() if "rw" in line.split()[5].split(",")}
    kernel = {p for p in writable if p.startswith(("/proc", "/dev"))}
    assert writable - kernel == {"/tmp", "/var/lib/pytoon/home"}
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^CapEff:\s*0+$", status, re.M) and re.search(r"^CapBnd:\s*0+$", status, re.M)


def test_the_bucket_s_identity_can_do_nothing_else(place) -> None:
    import boto3
    from botocore.exceptions import ClientError

    keys = place["keys"]
    given = {
        "endpoint_url": place["s3"].url,
        "region_name": "us-east-1",
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
    }
    s3, iam = boto3.client("s3", **given), boto3.client("iam", **given)
    assert s3.list_objects_v2(Bucket="pytoon")["KeyCount"] > 0
    for call in (
        lambda: s3.create_bucket(Bucket="another"),
        lambda: s3.delete_bucket(Bucket="pytoon"),
        lambda: s3.put_bucket_policy(Bucket="pytoon", Policy="{}"),
        s3.list_buckets,
        iam.list_users,
        lambda: s3.list_objects_v2(Bucket="another"),
    ):
        with pytest.raises(ClientError, match="AccessDenied|not authorized"):
            call()

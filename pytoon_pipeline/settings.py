"""Settings: the environment, prefix `PYTOON_`, read once into one typed object."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytoon_pipeline.errors import Problem, SettingsError

_PACKAGE = Path(__file__).resolve().parent

PAGE_HOSTS = "PYTOON_PAGE_HOSTS"


def project_data(name: str) -> Path:
    """A data folder that Pytoon carries (`presets`, `briefs`, `deploy`): beside the package in a
    checkout, inside it in an installed wheel, or in `PYTOON_DATA_DIR` where that is set. Nothing
    is written there."""
    if elsewhere := os.environ.get("PYTOON_DATA_DIR"):
        return Path(elsewhere).expanduser().absolute() / name
    # The folder of a checkout, and not one that lies beside an installed package by chance.
    beside = _PACKAGE.parent / name
    return beside if (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / f"_{name}"


def preset_folders(own: Path, home: Path) -> tuple[Path, ...]:
    """Where presets, brand kits, fonts, mappings, workflows and music are looked for, the first
    first: a folder of one's own, the one in `home`, and what Pytoon carries. Those that are not
    there are left out, and none comes twice."""
    found: dict[Path, Path] = {}
    for folder in (own, home / "presets", project_data("presets")):
        if folder.is_dir():
            found.setdefault(folder.resolve(), folder)
    return tuple(found.values())


def count_cpus() -> int:
    """Cores this process may use (a container's share, not the whole host)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runs_at_once() -> int:
    """Runs that a machine best has going at a time: half as many as cores, for each keeps two busy;
    on two cores two (docs/capacity.md has the figures)."""
    return max(count_cpus() // 2, min(2, count_cpus()))


def scenes_at_once(runs: int) -> int:
    """Segments that each of so many runs best renders side by side: its share of the cores. On a
    small machine two all the same, or cores wait while a scene is begun and ended."""
    return max(count_cpus() // runs, 2 if count_cpus() <= 4 else 1, 1)


@dataclass(frozen=True)
class Settings:
    home: Path
    """All state of a plain install: Dagster's home, store, caches."""
    store: str
    """A folder, or `s3://bucket/prefix`."""
    briefs_dir: Path
    """The folder that the sensor watches."""
    presets_dir: Path
    """Presets, brand kits, fonts, music and the like of one's own; need not be there."""
    fonts_dirs: tuple[Path, ...] = ()
    """More folders to look for fonts in."""
    media_roots: Mapping[str, Path] = field(default_factory=dict)
    """Named folders that briefs may take media from, as `name:path/in/it.jpg`."""
    workers: int = 2
    """Segments rendered at the same time."""
    log: str = "plain"
    """`plain` or `json`."""
    briefs_table: str | None = field(default=None, repr=False)
    """A table of briefs in a database: a SQLAlchemy URL, the table's name after a `#`."""
    media_hosts: tuple[str, ...] = ()
    """Hosts that media may be fetched from over http(s); `*.example.com` means all below it."""
    media_buckets: tuple[str, ...] = ()
    """Buckets, or `bucket/prefix`, that media may be fetched from as `s3://bucket/...`."""
    token: str | None = field(default=None, repr=False)
    """Whoever calls `pytoon serve` shows this one; `submit` and the like send it."""
    url: str = "http://127.0.0.1:8321"
    """Where `pytoon submit` and the like find a `pytoon serve`."""
    page_hosts: tuple[str, ...] = ()
    """Host names that Dagster's page is opened by, besides localhost and IP addresses."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts that the end of a job may be told to."""
    webhook_secret: str | None = field(default=None, repr=False)
    """Signs what webhooks are told."""
    comfyui_urls: tuple[str, ...] = ()
    """ComfyUI servers, each taking one prompt at a time."""
    comfyui_token: str | None = field(default=None, repr=False)
    """Sent to each of them: over https, or within one's own network; never readable over the
    internet."""
    comfyui_workflows: Mapping[str, str] = field(default_factory=dict)
    """`i2v` and `t2v` -> a file of presets/workflows; the engine's own choice where left out."""
    remote_urls: tuple[str, ...] = ()
    """Other Pytoons (`pytoon serve --segments`) that render segments for this one."""
    remote_token: str | None = field(default=None, repr=False)
    engines_off: tuple[str, ...] = ()
    """Engines not to be asked, by name: for incidents."""
    engines_only: tuple[str, ...] = ()
    """The only engines to be asked, by name: for tests and incidents. Empty means all."""
    engine_costs: Mapping[str, float] = field(default_factory=dict)
    """What a second of an engine costs, by its name, in any one currency."""
    budget_seconds: float | None = None
    """Engines' time for a video, where its brief does not say."""
    budget_cost: float | None = None
    c2pa_certificate: Path | None = None
    """PEM file with the certificate chain that signs Content Credentials; none leaves videos
    unsigned."""
    c2pa_key: Path | None = field(default=None, repr=False)
    """PEM file with its private key."""
    c2pa_required: bool = False
    """A video with generated footage that is not signed fails its check."""
    database: str | None = field(default=None, repr=False)
    """A PostgreSQL server for the ledger and for Dagster's runs,
    `postgresql://user:word@host/name`; none keeps both in files below `home`."""
    broker: str | None = field(default=None, repr=False)
    """A Redis server that hands runs to workers on other machines, `redis://host:6379/0`; none
    starts them on this machine."""
    s3_endpoint: str | None = None
    """Address of a server that speaks S3 (MinIO and the like); none means Amazon's."""
    s3_public_endpoint: str | None = None
    """The same server as people's browsers reach it; none means under the same address."""
    link_seconds: int = 7 * 86400
    """How long links into an S3 store are good for."""
    link_profile: str = ""
    """The profile of AWS's own settings whose key signs them; empty: the store's own."""
    cache_bytes: int = 20_000_000_000
    """Room on this machine for copies of what lies in an S3 store."""
    keep_days: float = 30.0
    """Days that intermediates stay which no live video refers to."""
    keep_bytes: int | None = None
    """Room in the store beyond which the oldest such intermediates go sooner."""
    keep_runs_days: float = 90.0
    """Days that Dagster's records of ended runs stay."""

    @property
    def dagster_home(self) -> Path:
        return Path(os.environ.get("DAGSTER_HOME") or self.home / "dagster")

    @property
    def presets_dirs(self) -> tuple[Path, ...]:
        """Folders that hold presets, brand kits, fonts and the like, the first first
        (`preset_folders`)."""
        return preset_folders(self.presets_dir, self.home)

    @property
    def scratch(self) -> Path:
        """Working files of a render; safe to delete when nothing renders."""
        return self.home / "scratch"

    @property
    def cache(self) -> Path:
        """Copies of what lies in an S3 store; safe to delete when nothing renders."""
        return self.home / "cache"

    @property
    def ledger(self) -> str | Path:
        """Where the table of briefs is: a file, or the address of a database."""
        return self.database or self.home / "briefs.db"


def _parse_folders(name: str, text: str) -> tuple[Path, ...]:
    folders = tuple(Path(p).expanduser() for p in text.split(os.pathsep) if p)
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(
                Problem(
                    "settings.folder",
                    f"{folder} is not a folder.",
                    f"Set {name} to folders that exist, separated by '{os.pathsep}'.",
                    field=name,
                )
            )
    return folders


def _media_roots(text: str) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for item in filter(None, text.split(os.pathsep)):
        name, found, folder = item.partition("=")
        known = name in ("http", "https", "s3")  # Addresses begin like that.
        if not found or known or not name.isidentifier() or not Path(folder).expanduser().is_dir():
            raise SettingsError(
                Problem(
                    "settings.media_roots",
                    f"{item!r} is not 'name=folder' with a folder that exists.",
                    f"Write for example products=/srv/products, separated by '{os.pathsep}'.",
                    field="PYTOON_MEDIA_ROOTS",
                )
            )
        roots[name] = Path(folder).expanduser().resolve()
    return roots


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _parse_bytes(name: str, env: Mapping[str, str]) -> int | None:
    """`500M`, `20G`, or a plain number."""
    text = env.get(name)
    if not text:
        return None
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in _UNITS or not number.isdigit():
        raise SettingsError(
            Problem(
                "settings.bytes",
                f"{text!r} is not a size.",
                "Write a whole number, of bytes or with K, M, G or T after it: 20G.",
                field=name,
            )
        )
    return int(number) * _UNITS[unit]


def _parse_server(name: str, env: Mapping[str, str], *schemes: str) -> str | None:
    """The address of a server. What it says is not repeated in messages: it may hold a password."""
    text = env.get(name)
    if not text:
        return None
    if not text.startswith(tuple(f"{s}://" for s in schemes)):
        raise SettingsError(
            Problem(
                "settings.server",
                f"is not an address that begins with {schemes[0]}://.",
                f"Write for example {schemes[0]}://user:password@host/name.",
                field=name,
            )
        )
    return text


def _parse_amount(name: str, env: Mapping[str, str]) -> float | None:
    text = env.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise SettingsError(
            Problem(
                "settings.number",
                f"{text!r} is not a number from 0 up.",
                "Leave it out for no limit.",
                field=name,
            )
        )
    return value


def _host_names(name: str, items: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(item.lower().rstrip(".") for item in items)
    for item, host in zip(items, names, strict=True):
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host):
            raise SettingsError(
                Problem(
                    "settings.host",
                    f"{item!r} is not the name of a host.",
                    "Write names alone, without http:// and port, separated by commas: "
                    "pytoon.example.com.",
                    field=name,
                )
            )
    return names


def _parse_costs(items: tuple[str, ...]) -> dict[str, float]:
    """`comfyui=0.0004,remote=0.001`."""
    name = "PYTOON_ENGINE_COSTS"
    found = {}
    for item in items:
        engine, sign, text = item.partition("=")
        if not sign or not engine:
            raise SettingsError(
                Problem(
                    "settings.costs",
                    f"{item!r} is not 'engine=cost of a second'.",
                    "Write for example comfyui=0.0004,remote=0.001.",
                    field=name,
                )
            )
        found[engine.strip()] = _parse_amount(name, {name: text.strip()}) or 0.0
    return found


def _parse_file(name: str, env: Mapping[str, str]) -> Path | None:
    text = env.get(name)
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise SettingsError(
            Problem("settings.file", f"{path} is not a file.", "Correct the path.", field=name)
        )
    return path


def _presets_dir(env: Mapping[str, str]) -> Path:
    """`./presets` need not be there; a folder that is named has to be."""
    text = env.get("PYTOON_PRESETS_DIR")
    folder = Path(text or "presets").expanduser().absolute()
    if text and not folder.is_dir():
        raise SettingsError(
            Problem(
                "settings.folder",
                f"{folder} is not a folder.",
                "Point it to a folder of presets of your own, or leave it unset.",
                field="PYTOON_PRESETS_DIR",
            )
        )
    return folder


def _parse_workers(text: str | None) -> int:
    if not text:
        return max(1, min(8, count_cpus()))
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise SettingsError(
            Problem(
                "settings.workers",
                f"{text!r} is not a whole number from 1 to 64.",
                "Leave it out to use the cores of this machine.",
                field="PYTOON_WORKERS",
            )
        )
    return int(text)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises SettingsError naming the variable and the remedy.
    """
    env = os.environ if environ is None else environ

    def split_list(name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())

    def read_amount(name: str, default: float) -> float:
        found = _parse_amount(name, env)
        return default if found is None else found

    home = Path(env.get("PYTOON_HOME") or ".pytoon").expanduser().absolute()
    log = env.get("PYTOON_LOG", "plain")
    if log not in ("plain", "json"):
        raise SettingsError(
            Problem(
                "settings.log", f"{log!r} is unknown.", "Use plain or json.", field="PYTOON_LOG"
            )
        )
    return Settings(
        home=home,
        store=env.get("PYTOON_STORE") or str(home / "store"),
        briefs_dir=Path(env.get("PYTOON_BRIEFS_DIR") or "briefs").expanduser().absolute(),
        presets_dir=_presets_dir(env),
        fonts_dirs=_parse_folders("PYTOON_FONTS_DIR", env.get("PYTOON_FONTS_DIR", "")),
        media_roots=_media_roots(env.get("PYTOON_MEDIA_ROOTS", "")),
        workers=_parse_workers(env.get("PYTOON_WORKERS")),
        log=log,
        briefs_table=env.get("PYTOON_BRIEFS_TABLE") or None,
        media_hosts=split_list("PYTOON_MEDIA_HOSTS"),
        media_buckets=split_list("PYTOON_MEDIA_BUCKETS"),
        token=env.get("PYTOON_TOKEN") or None,
        url=(env.get("PYTOON_URL") or "http://127.0.0.1:8321").rstrip("/"),
        page_hosts=_host_names(PAGE_HOSTS, split_list(PAGE_HOSTS)),
        webhook_hosts=split_list("PYTOON_WEBHOOK_HOSTS"),
        webhook_secret=env.get("PYTOON_WEBHOOK_SECRET") or None,
        comfyui_urls=tuple(u.rstrip("/") for u in split_list("PYTOON_COMFYUI_URL")),
        comfyui_token=env.get("PYTOON_COMFYUI_TOKEN") or None,
        comfyui_workflows={
            kind: env[name]
            for kind in ("i2v", "t2v")
            if env.get(name := f"PYTOON_COMFYUI_{kind.upper()}")
        },
        remote_urls=tuple(u.rstrip("/") for u in split_list("PYTOON_REMOTE_URL")),
        remote_token=env.get("PYTOON_REMOTE_TOKEN") or None,
        engines_off=split_list("PYTOON_ENGINES_OFF"),
        engines_only=split_list("PYTOON_ENGINES_ONLY"),
        engine_costs=_parse_costs(split_list("PYTOON_ENGINE_COSTS")),
        budget_seconds=_parse_amount("PYTOON_BUDGET_SECONDS", env),
        budget_cost=_parse_amount("PYTOON_BUDGET_COST", env),
        c2pa_certificate=_parse_file("PYTOON_C2PA_CERTIFICATE", env),
        c2pa_key=_parse_file("PYTOON_C2PA_KEY", env),
        c2pa_required=env.get("PYTOON_C2PA_REQUIRED", "").lower() in ("1", "true", "yes"),
        database=_parse_server("PYTOON_DATABASE", env, "postgresql"),
        broker=_parse_server("PYTOON_BROKER", env, "redis", "rediss"),
        s3_endpoint=_parse_server("PYTOON_S3_ENDPOINT", env, "https", "http"),
        s3_public_endpoint=_parse_server("PYTOON_S3_PUBLIC_ENDPOINT", env, "https", "http"),
        link_seconds=int(read_amount("PYTOON_LINK_SECONDS", Settings.link_seconds)),
        link_profile=env.get("PYTOON_LINK_PROFILE", ""),
        cache_bytes=_parse_bytes("PYTOON_CACHE_BYTES", env) or Settings.cache_bytes,
        keep_days=read_amount("PYTOON_KEEP_DAYS", Settings.keep_days),
        keep_bytes=_parse_bytes("PYTOON_KEEP_BYTES", env),
        keep_runs_days=read_amount("PYTOON_KEEP_RUNS_DAYS", Settings.keep_runs_days),
    )

"""What is known of each brief of a campaign: from the ledger, and from its files in the store."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pytoon_pipeline.errors import Problem, PytoonError
from pytoon_pipeline.intake.brief_state import OPEN
from pytoon_pipeline.intake.ledger_rows import LedgerEntry
from pytoon_pipeline.quality.verdicts import CheckVerdict
from pytoon_pipeline.stages.documents import MetricsDocument
from pytoon_pipeline.store.base import ObjectNotFoundError, Store

FILES = (
    "video.mp4",
    "captions.vtt",
    "captions.srt",
    "thumbnail.jpg",
    "render_spec.json",
    "metrics.json",
)
"""What a page reads, or leads to."""
GROUPS = {
    "done": "Done",
    "running": "Rendering",
    "waiting": "Waiting",
    "refused": "Refused",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "deleted": "Deleted",
}
"""What a person is told of a state -> its word."""
_WAITING = ("new", "requested")
_READERS = 8
"""Files read side by side: a bucket answers each only after a while."""
_POSTER = (324, 576)
_POSTER_BYTES = 22_000
_POSTER_VERSION = 1


@dataclass(frozen=True)
class PictureLine:
    """A caption."""

    role: str
    start: float
    end: float
    """Seconds."""
    text: str


@dataclass
class ReportRow:
    """One brief."""

    key: str
    name: str
    """Its part of the key."""
    group: str
    """One of GROUPS."""
    updated: float
    """Unix time."""
    open: bool = False
    """Is a run of it asked for, or going on?"""
    priority: int = 0
    progress: float = 0.0
    """0..1, of the run that goes on."""
    base: str = ""
    """Name of the brief that this is a variant of, or empty."""
    problems: list[Problem] = field(default_factory=list)
    """Why it was refused, or failed."""
    log: str = ""
    """The last lines of what failed."""
    archetype: str = ""
    preset: str = ""
    brand: str = ""
    locale: str = ""
    lines: list[PictureLine] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    """Of the compiler."""
    target: tuple[float, float] = (-14.0, -1.0)
    """Loudness and highest true peak asked for, LUFS and dBTP."""
    metrics: MetricsDocument | None = None
    files: dict[str, str] = field(default_factory=dict)
    """Those of FILES that there are -> their key."""
    poster: str = ""
    """A small picture as a data address, or empty."""

    @property
    def deleted(self) -> bool:
        """Is the brief gone? What was made of it is still there."""
        return self.group == "deleted"

    @property
    def state(self) -> str:
        return GROUPS[self.group]

    @property
    def video(self) -> bool:
        return "video.mp4" in self.files and self.metrics is not None

    @property
    def earlier(self) -> bool:
        """Is its video one that was made before what its state tells of?"""
        return self.video and self.group != "done"

    @property
    def hook(self) -> str:
        return next((line.text for line in self.lines if line.role == "hook"), "") or next(
            (line.text for line in self.lines), ""
        )

    @property
    def seconds(self) -> float | None:
        return self.metrics.video.seconds if self.metrics else None

    @property
    def engines(self) -> list[str]:
        return self.metrics.video.engines if self.metrics else []

    @property
    def failed(self) -> list[CheckVerdict]:
        """Checks that did not pass, the grave ones first."""
        verdicts = self.metrics.verdicts if self.metrics else []
        return sorted((v for v in verdicts if not v.passed), key=lambda v: v.severity != "error")

    @property
    def passed(self) -> list[CheckVerdict]:
        return [v for v in self.metrics.verdicts if v.passed] if self.metrics else []

    @property
    def degraded(self) -> bool:
        return self.metrics is not None and self.metrics.video.degraded

    @property
    def fallback(self) -> bool:
        return self.metrics is not None and self.metrics.video.used_fallback

    @property
    def reasons(self) -> list[str]:
        """Why segments are degraded, or by another engine than the first."""
        said = []
        for segment in self.metrics.segments if self.metrics else []:
            if not (segment.degraded or segment.used_fallback):
                continue
            what = "a plain still stands in" if segment.degraded else f"made by {segment.engine}"
            why = [f"{t.engine}: {t.reason.splitlines()[0]}" for t in segment.tries if t.reason]
            said.append(f"{segment.segment_id}: {what}" + (f" ({'; '.join(why)})" if why else ""))
        return said

    @property
    def rendering(self) -> float | None:
        """Seconds spent on its segments."""
        return sum(s.seconds for s in self.metrics.segments) if self.metrics else None

    @property
    def linking(self) -> float | None:
        """Seconds spent on transitions, sound and linking."""
        return sum(self.metrics.video.seconds_spent.values()) if self.metrics else None

    @property
    def spent(self) -> float | None:
        if self.rendering is None or self.linking is None:
            return None
        return self.rendering + self.linking

    @property
    def reuse(self) -> str:
        """What of it was there already: `all`, `some` or nothing."""
        if self.metrics is None:
            return ""
        if self.metrics.video.cached:
            return "all"
        return "some" if any(s.cached for s in self.metrics.segments) else ""

    @property
    def lufs(self) -> float | None:
        return self.metrics.video.sound.lufs if self.metrics else None

    @property
    def true_peak(self) -> float | None:
        return self.metrics.video.sound.true_peak_db if self.metrics else None


def gather_rows(entries: Sequence[LedgerEntry], store: Store) -> list[ReportRow]:
    """The rows of a campaign's entries, in their order. A file that is missing or can't be read
    leaves its part of the row empty, and is said."""
    folders = {entry.key.partition("/")[0] for entry in entries}
    there = {key for folder in sorted(folders) for key in store.keys(f"videos/{folder}")}
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda entry: _build_row(entry, there, store), entries))


def _build_row(entry: LedgerEntry, there: set[str], store: Store) -> ReportRow:
    group = "waiting" if entry.state in _WAITING else entry.state
    if entry.is_deleted:
        group = "deleted"
    row = ReportRow(
        key=entry.key,
        name=entry.key.partition("/")[2],
        group=group if group in GROUPS else "waiting",
        updated=entry.updated,
        open=entry.state in OPEN,
        priority=entry.priority,
        progress=min(1.0, max(0.0, entry.progress)),
        base=_address_base(entry),
    )
    if group == "refused":
        row.problems = list(entry.problems) or [Problem("refused", entry.error)]
    elif entry.error and group != "deleted":  # Of one that is gone nothing can be mended.
        first, _, rest = entry.error.strip().partition("\n")
        row.problems, row.log = [Problem("failed", first)], rest.strip()
    row.files = {n: k for n in FILES if (k := f"videos/{entry.key}/{n}") in there}
    _read_spec(row, entry, store)
    _read_metrics(row, store)
    if "thumbnail.jpg" in row.files:
        try:
            row.poster = _make_poster(store.read_bytes(row.files["thumbnail.jpg"]), store)
        except (PytoonError, OSError, ValueError):
            row.poster = ""  # A picture less; everything else is still worth showing.
    return row


def _address_base(entry: LedgerEntry) -> str:
    document = entry.source.document
    tail = f"-{document.part}" if document else ""
    return entry.source.name.removesuffix(tail) if entry.source.name.endswith(tail or "\0") else ""


# Files -------------------------------------------------------------------------------------------


def _text_field(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _as_number(value: Any, other: float = 0.0) -> float:
    return float(value) if isinstance(value, int | float) else other


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_items(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _read_spec(row: ReportRow, entry: LedgerEntry, store: Store) -> None:
    """From the plan, of whichever version it is; from what the brief says where there is none."""
    spec: Any = None
    if "render_spec.json" in row.files:
        try:
            spec = json.loads(store.read_bytes(row.files["render_spec.json"]))
        except (PytoonError, OSError, ValueError, RecursionError):
            row.warnings.append(_unreadable_problem(row.files["render_spec.json"]))
    document = entry.source.document
    said = _as_mapping(spec) or _as_mapping(document.data if document else None)
    metadata = _as_mapping(said.get("metadata"))
    row.archetype, row.preset = _text_field(said, "archetype"), _text_field(said, "preset")
    row.brand = _text_field(said, "brand")
    row.locale = _text_field(metadata, "locale") or _text_field(said, "locale")
    row.lines = [
        PictureLine(
            _text_field(c, "role"),
            _as_number(c.get("start")),
            _as_number(c.get("end")),
            _text_field(c, "text"),
        )
        for c in _as_items(said.get("captions"))
    ]
    if not row.lines and _text_field(said, "hook"):
        row.lines = [PictureLine("hook", 0, 0, _text_field(said, "hook"))]
    row.warnings += [
        Problem(
            _text_field(w, "code"),
            _text_field(w, "message"),
            _text_field(w, "remedy"),
            _text_field(w, "severity") or "warning",
            _text_field(w, "file") or None,
            _text_field(w, "field") or None,
        )
        for w in _as_items(metadata.get("warnings"))
    ]
    loudness = _as_mapping(_as_mapping(said.get("audio")).get("loudness"))
    row.target = (
        _as_number(loudness.get("target_lufs"), -14.0),
        _as_number(loudness.get("true_peak_db"), -1.0),
    )


def _read_metrics(row: ReportRow, store: Store) -> None:
    if "metrics.json" not in row.files:
        return
    try:
        said = store.read_bytes(row.files["metrics.json"])
        row.metrics = MetricsDocument.model_validate_json(said)
    except (PytoonError, OSError, ValueError):
        row.warnings.append(_unreadable_problem(row.files["metrics.json"]))


def _unreadable_problem(key: str) -> Problem:
    return Problem(
        "report.unreadable",
        "can't be read by this version.",
        "Render the brief again.",
        "warning",
        file=key.rpartition("/")[2],
    )


def _make_poster(jpeg: bytes, store: Store) -> str:
    """A small WebP as a data address. Kept in the store: of a campaign that is looked at after each
    brief only one picture is new."""
    mark = hashlib.blake2b(jpeg, digest_size=16).hexdigest()
    memo = f"posters/{mark}-{_POSTER_VERSION}.webp"
    try:
        webp = store.read_bytes(memo)
    except ObjectNotFoundError:
        webp = _shrink_jpeg(jpeg)
        store.put_bytes(memo, webp)
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def _shrink_jpeg(jpeg: bytes) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("RGB", (2 * _POSTER[0], 2 * _POSTER[1]))
        small = image.convert("RGB")
    small.thumbnail(_POSTER, Image.Resampling.LANCZOS, reducing_gap=None)
    webp = b""
    for quality in (74, 60, 45, 30, 15, 5):
        to = io.BytesIO()
        small.save(to, "WEBP", quality=quality, method=4)
        webp = to.getvalue()
        if len(webp) <= _POSTER_BYTES:
            break
    return webp

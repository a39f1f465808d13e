"""A request held against what can be seen at once: its shape, and that every file it names is
there or can be fetched. What the files are is found out when it is compiled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

from pytoon_pipeline.briefs.model import BackgroundItem, Brief
from pytoon_pipeline.briefs.names import spellings, whole_address, without_unseen
from pytoon_pipeline.briefs.reading import validate
from pytoon_pipeline.briefs.source import BriefSource, Document
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.service.documents import RenderRequest
from pytoon_pipeline.service.errors import refused
from pytoon_pipeline.service.upload import Received, Upload

SHOWN = "the request"
"""Name of the document in messages."""


@dataclass(frozen=True)
class Accepted:
    """A request that became a job to do."""

    request: RenderRequest
    kind: Literal["brief", "spec"]
    data: Mapping[str, Any]
    files: Mapping[str, str]
    """Name of a file in the data -> its name in the job's folder."""

    def source(self, folder: Path) -> BriefSource:
        """The brief of a job whose folder this is; the folder's name is the job's id."""
        document = Document(part="", data=self.data, shown=SHOWN, files=self.files)
        return BriefSource(
            folder / "request.json",
            self.kind,
            self.request.campaign,
            self.request.name or folder.name,
            folder,
            document,
        )

    def as_json(self) -> str:
        """What is written to the job's folder."""
        said = {self.kind: self.data, "campaign": self.request.campaign}
        said |= {"name": self.request.name, "files": dict(self.files)}
        return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


class _JsonBrief(Brief):
    """A brief in JSON, where unlike in YAML `"15"` is no number."""

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Brief:  # type: ignore[override]
        return Brief.model_validate_json(json.dumps(obj), strict=True)


def accept(received: Received, roots: Mapping[str, Path]) -> Accepted:
    """Raises ApiError 422 with every problem."""
    request, problems = validate(RenderRequest, received.data, SHOWN)
    said = received.data.keys() & {"brief", "spec"}
    if len(said) != 1:
        problems.append(
            _problem(
                "field.missing" if not said else "field.value",
                "is needed, or `spec`." if not said else "stands beside `spec`.",
                "Give one of the two.",
                "brief",
            )
        )
    if request is None or problems:
        raise refused(problems)
    kind: Literal["brief", "spec"] = "brief" if "brief" in said else "spec"
    data = dict(request.brief if kind == "brief" else request.spec)
    if kind == "brief":
        model, problems = validate(_JsonBrief, data, SHOWN)
        if "priority" in request.model_fields_set:
            data["priority"] = request.priority
        if not problems and isinstance(model, Brief) and model.variants:
            problems.append(
                _problem(
                    "brief.variants",
                    f"asks for {model.variants.count} videos; a job is one.",
                    "Send a brief for each; `pytoon submit` does.",
                    "variants",
                )
            )
    else:
        model, problems = validate(RenderSpec, data, SHOWN)
    named = [] if model is None else list(named_files(model))
    files, found = _match(named, received.uploads, roots)
    problems += found
    if problems:
        raise refused(problems)
    return Accepted(request, kind, data, files)


def _problem(code: str, message: str, remedy: str, field: str | None) -> Problem:
    return Problem(code, message, remedy, file=SHOWN, field=field)


# The files that are named ------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """A file that a document names."""

    field: str
    name: str
    needed: bool = True
    """False for one that may be in the store already: an asset of a finished plan."""


def named_files(model: Brief | RenderSpec) -> Iterator[Named]:
    """All files that a brief or a RenderSpec names, in order."""
    return _of_brief(model) if isinstance(model, Brief) else _of_spec(model)


def _of_brief(brief: Brief) -> Iterator[Named]:
    def ground(item: BackgroundItem | None, field: str) -> Iterator[Named]:
        if item and item.path:
            yield Named(field, item.path)

    for i, item in enumerate(brief.media):
        if item.path:
            yield Named(f"media[{i}]", item.path)
        for j, name in enumerate(item.paths or []):
            yield Named(f"media[{i}].paths[{j}]", name)
        yield from ground(item.background, f"media[{i}].background")
    yield from ground(brief.background, "background")
    if brief.logo:
        yield Named("logo", brief.logo)
    if brief.music and brief.music.path:
        yield Named("music", brief.music.path)
    if brief.voice:
        yield Named("voice", brief.voice.path)
    for i, item in enumerate(brief.generate):
        if item.from_media:
            yield Named(f"generate[{i}].from_media", item.from_media)
    yield from _kit(brief.brand)


def _kit(brand: str) -> Iterator[Named]:
    if brand.lower().endswith((".yaml", ".yml")):
        yield Named("brand", brand)


def _of_spec(spec: RenderSpec) -> Iterator[Named]:
    ids = {a.id for a in spec.assets}

    def take(field: str, name: str | None) -> Iterator[Named]:
        if name and name not in ids:
            yield Named(field, name)

    for i, asset in enumerate(spec.assets):
        yield Named(f"assets[{i}].source", asset.source, needed=False)
    for i, segment in enumerate(spec.segments):
        for j, name in enumerate(segment.media):
            yield from take(f"segments[{i}].media" + (f"[{j}]" if j else ""), name)
        if segment.background:
            yield from take(f"segments[{i}].background", segment.background.media)
        if segment.generate:
            yield from take(f"segments[{i}].generate.from_media", segment.generate.from_media)
    if spec.audio and spec.audio.music and "." in spec.audio.music.media:
        yield from take("audio.music.media", spec.audio.music.media)
    if spec.audio and spec.audio.voice:
        yield from take("audio.voice.media", spec.audio.voice.media)
    track = spec.audio_track
    if isinstance(track, dict):
        track = next((track[k] for k in ("path", "src", "source", "media", "url") if k in track), 0)
    if isinstance(track, str) and "." in track:
        yield Named("audioTrack", track)
    for i, overlay in enumerate(spec.overlays or []):
        yield from take(f"overlays[{i}].media", overlay.media)
    yield from _kit(spec.brand)


def _match(
    named: Sequence[Named], uploads: Sequence[Upload], roots: Mapping[str, Path]
) -> tuple[dict[str, str], list[Problem]]:
    """Each name to its upload, and what has none."""
    problems: list[Problem] = []
    there: dict[str, Upload] = {}
    for upload in uploads:
        # Senders of forms write these three as the web does.
        plain = upload.name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        for form in {normalize("NFC", upload.name), normalize("NFC", plain)}:
            if form in there:
                message = f"{upload.name!r} was sent twice."
                problems.append(_problem("media.twice", message, "Send it once.", "media"))
            there[form] = upload
    files: dict[str, str] = {}
    used: set[str] = set()
    for each in named:
        forms = (normalize("NFC", form) for form in spellings(each.name))
        upload = next((there[form] for form in forms if form in there), None)
        if each.field == "brand":
            message = f"the brand kit {each.name!r} is a file, and only media can be sent."
            remedy = "Name a kit of the server's presets/brands."
            problems.append(_problem("brand.file", message, remedy, each.field))
        elif upload is not None:
            files[each.name] = upload.stored
            used.add(upload.stored)
        elif each.needed and not _elsewhere(each.name, roots):
            message = f"{each.name!r} was not sent with the request."
            remedy = "Send it as a part `media` with this file name, or name it by its address."
            problems.append(_problem("media.missing", message, remedy, each.field))
    for upload in uploads:
        if upload.stored not in used:
            message = f"{upload.name!r} was sent, but nothing names it."
            problems.append(_problem("media.unused", message, "Name it, or leave it out.", "media"))
    return files, problems


def _elsewhere(name: str, roots: Mapping[str, Path]) -> bool:
    """A file of a named media root, or one at an address."""
    root, colon, _ = without_unseen(name).partition(":")
    address = whole_address(name).lower().startswith(("http://", "https://", "s3://"))
    return address or bool(colon and root in roots)

"""A request held against what can be seen at once: its shape, and that every file it names is
there or can be fetched. What the files are is found out when it is compiled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

from pytoon_pipeline.briefs.file_names import path_spellings, whole_address, without_unseen
from pytoon_pipeline.briefs.model import BackgroundItem, Brief
from pytoon_pipeline.briefs.source import BriefSource, SourceDocument
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.service.documents import RenderRequest
from pytoon_pipeline.service.errors import refusal_error
from pytoon_pipeline.service.upload import ReceivedRequest, UploadedFile

SHOWN = "the request"
"""Name of the document in messages."""


@dataclass(frozen=True)
class AcceptedRequest:
    """A request that became a job to do."""

    request: RenderRequest
    kind: Literal["brief", "spec"]
    data: Mapping[str, Any]
    files: Mapping[str, str]
    """Name of a file in the data -> its name in the job's folder."""

    def source(self, folder: Path) -> BriefSource:
        """The brief of a job whose folder this is; the folder's name is the job's id."""
        document = SourceDocument(part="", data=self.data, shown=SHOWN, files=self.files)
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


class _BriefInJson(Brief):
    """A brief in JSON, where unlike in YAML `"15"` is no number."""

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Brief:  # type: ignore[override]
        return Brief.model_validate_json(json.dumps(obj), strict=True)


def accept_request(received: ReceivedRequest, roots: Mapping[str, Path]) -> AcceptedRequest:
    """Raises ApiError 422 with every problem."""
    request, problems = validate_data(RenderRequest, received.data, SHOWN)
    said = received.data.keys() & {"brief", "spec"}
    if len(said) != 1:
        problems.append(
            _request_problem(
                "field.missing" if not said else "field.value",
                "is needed, or `spec`." if not said else "stands beside `spec`.",
                "Give one of the two.",
                "brief",
            )
        )
    if request is None or problems:
        raise refusal_error(problems)
    kind: Literal["brief", "spec"] = "brief" if "brief" in said else "spec"
    model: Brief | RenderSpec | None
    data = dict(request.brief if kind == "brief" else request.spec)
    if kind == "brief":
        model, problems = validate_data(_BriefInJson, data, SHOWN)
        if "priority" in request.model_fields_set:
            data["priority"] = request.priority
        if not problems and isinstance(model, Brief) and model.variants:
            problems.append(
                _request_problem(
                    "brief.variants",
                    f"asks for {model.variants.count} videos; a job is one.",
                    "Send a brief for each; `pytoon submit` does.",
                    "variants",
                )
            )
    else:
        model, problems = validate_data(RenderSpec, data, SHOWN)
    named = [] if model is None else list(named_files(model))
    files, found = _match_uploads(named, received.uploads, roots)
    problems += found
    if problems:
        raise refusal_error(problems)
    return AcceptedRequest(request, kind, data, files)


def _request_problem(code: str, message: str, remedy: str, field: str | None) -> Problem:
    return Problem(code, message, remedy, file=SHOWN, field=field)


# The files that are named ------------------------------------------------------------------------


@dataclass(frozen=True)
class NamedFile:
    """A file that a document names."""

    field: str
    name: str
    needed: bool = True
    """False for one that may be in the store already: an asset of a finished plan."""


def named_files(model: Brief | RenderSpec) -> Iterator[NamedFile]:
    """All files that a brief or a RenderSpec names, in order."""
    return _of_brief(model) if isinstance(model, Brief) else _of_spec(model)


def _of_brief(brief: Brief) -> Iterator[NamedFile]:
    def iterate_background(item: BackgroundItem | None, field: str) -> Iterator[NamedFile]:
        if item and item.path:
            yield NamedFile(field, item.path)

    for i, item in enumerate(brief.media):
        if item.path:
            yield NamedFile(f"media[{i}]", item.path)
        for j, name in enumerate(item.paths or []):
            yield NamedFile(f"media[{i}].paths[{j}]", name)
        yield from iterate_background(item.background, f"media[{i}].background")
    yield from iterate_background(brief.background, "background")
    if brief.logo:
        yield NamedFile("logo", brief.logo)
    if brief.music and brief.music.path:
        yield NamedFile("music", brief.music.path)
    if brief.voice:
        yield NamedFile("voice", brief.voice.path)
    for i, prompt in enumerate(brief.generate):
        if prompt.from_media:
            yield NamedFile(f"generate[{i}].from_media", prompt.from_media)
    yield from _iterate_kit_files(brief.brand)


def _iterate_kit_files(brand: str) -> Iterator[NamedFile]:
    if brand.lower().endswith((".yaml", ".yml")):
        yield NamedFile("brand", brand)


def _of_spec(spec: RenderSpec) -> Iterator[NamedFile]:
    ids = {a.id for a in spec.assets}

    def name_file(field: str, name: str | None) -> Iterator[NamedFile]:
        if name and name not in ids:
            yield NamedFile(field, name)

    for i, asset in enumerate(spec.assets):
        yield NamedFile(f"assets[{i}].source", asset.source, needed=False)
    for i, segment in enumerate(spec.segments):
        for j, name in enumerate(segment.media):
            yield from name_file(f"segments[{i}].media" + (f"[{j}]" if j else ""), name)
        if segment.background:
            yield from name_file(f"segments[{i}].background", segment.background.media)
        if segment.generate:
            yield from name_file(f"segments[{i}].generate.from_media", segment.generate.from_media)
    if spec.audio and spec.audio.music and "." in spec.audio.music.media:
        yield from name_file("audio.music.media", spec.audio.music.media)
    if spec.audio and spec.audio.voice:
        yield from name_file("audio.voice.media", spec.audio.voice.media)
    track: object = spec.audio_track
    if isinstance(track, dict):
        names = ("path", "src", "source", "media", "url")
        track = next((track[k] for k in names if k in track), None)
    if isinstance(track, str) and "." in track:
        yield NamedFile("audioTrack", track)
    for i, overlay in enumerate(spec.overlays or []):
        yield from name_file(f"overlays[{i}].media", overlay.media)
    yield from _iterate_kit_files(spec.brand)


def _match_uploads(
    named: Sequence[NamedFile], uploads: Sequence[UploadedFile], roots: Mapping[str, Path]
) -> tuple[dict[str, str], list[Problem]]:
    """Each name to its upload, and what has none."""
    problems: list[Problem] = []
    there: dict[str, UploadedFile] = {}
    for upload in uploads:
        # Senders of forms write these three as the web does.
        plain = upload.name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        for form in {normalize("NFC", upload.name), normalize("NFC", plain)}:
            if form in there:
                message = f"{upload.name!r} was sent twice."
                problems.append(_request_problem("media.twice", message, "Send it once.", "media"))
            there[form] = upload
    files: dict[str, str] = {}
    used: set[str] = set()
    for each in named:
        forms = (normalize("NFC", form) for form in path_spellings(each.name))
        sent = next((there[form] for form in forms if form in there), None)
        if each.field == "brand":
            message = f"the brand kit {each.name!r} is a file, and only media can be sent."
            remedy = "Name a kit of the server's presets/brands."
            problems.append(_request_problem("brand.file", message, remedy, each.field))
        elif sent is not None:
            files[each.name] = sent.stored
            used.add(sent.stored)
        elif each.needed and not _is_elsewhere(each.name, roots):
            message = f"{each.name!r} was not sent with the request."
            remedy = "Send it as a part `media` with this file name, or name it by its address."
            problems.append(_request_problem("media.missing", message, remedy, each.field))
    for upload in uploads:
        if upload.stored not in used:
            message = f"{upload.name!r} was sent, but nothing names it."
            problems.append(
                _request_problem("media.unused", message, "Name it, or leave it out.", "media")
            )
    return files, problems


def _is_elsewhere(name: str, roots: Mapping[str, Path]) -> bool:
    """A file of a named media root, or one at an address."""
    root, colon, _ = without_unseen(name).partition(":")
    address = whole_address(name).lower().startswith(("http://", "https://", "s3://"))
    return address or bool(colon and root in roots)

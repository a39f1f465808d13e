"""Whether a segment can be rendered here just as its asker would render it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.engines.remote import library_versions
from pytoon_pipeline.errors import Problem, RenderError, UserError
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_fingerprint
from pytoon_pipeline.service.errors import ApiError, refusal_error
from pytoon_pipeline.service.segment_documents import SegmentRequest
from pytoon_pipeline.service.segment_queue import (
    POLICY,
    SegmentQueue,
)
from pytoon_pipeline.stages.fingerprint_inputs import segment_look
from pytoon_pipeline.store.reuse import touch_if_present

SUFFIX_PATTERN = r"^(\.[A-Za-z0-9_-]{1,6})?$"
_SIDE, _FRAMES, _LAYERS = 4096, 120 * 60, 200


def accept_segment(data: dict[str, Any], bench: SegmentQueue) -> tuple[str, SegmentJob]:
    """A request's id and job, if it can be rendered here exactly as it would be over there.

    Raises ApiError: 409 for another version or look, 422 for what is wrong in itself or lacking.
    """
    _require_same(
        "segment.version", {"renderer": data.get("version")}, {"renderer": RENDERER_VERSION}
    )
    request, problems = validate_data(SegmentRequest, data, "the request")
    if request is None or problems:
        raise refusal_error(problems)
    job, problems = validate_data(SegmentJob, request.job, "the job")
    if job is None or problems:
        raise refusal_error(problems)
    problems = list(_iterate_bound_problems(job))
    if problems:
        raise refusal_error(problems)
    if not bench.services.engines.order(POLICY, job):
        raise ApiError(
            422,
            "segment.engine",
            f"No engine here renders a segment of the type {job.type!r}.",
            "Set one up there, or ask another Pytoon.",
        )
    _hold_to(request.look, job, bench)
    store = bench.services.store
    lacking = {a.sha256 + a.suffix for a in job.all_assets if not touch_if_present(store, a.key)}
    if lacking:
        raise refusal_error(
            [
                Problem(
                    "segment.media",
                    "This medium is not here.",
                    "PUT it to /segments/media/{sha256}?suffix=..., and ask again.",
                    field=name,
                )
                for name in sorted(lacking)
            ]
        )
    return segment_fingerprint(job, request.look, {"name": "asked for"}), job


def _iterate_bound_problems(job: SegmentJob) -> Iterator[Problem]:
    """What no plan made by Pytoon has, and what a server should not be made to try."""
    limits = {
        "width": (2, job.width, _SIDE),
        "height": (2, job.height, _SIDE),
        "rate": (1, job.rate, 120),
        "head": (0, job.head, job.body),
        "tail": (0, job.tail, job.body),
        "body": (1, job.body, _FRAMES),
        "clip_start": (0, job.clip_start, 10**6),
        "captions": (0, len(job.captions), _LAYERS),
        "overlays": (0, len(job.overlays), _LAYERS),
        "badges": (0, len(job.badges), _LAYERS),
        "media": (0, len(job.media), _LAYERS),
    }
    for name, (least, value, most) in limits.items():
        if not least <= value <= most:
            yield Problem(
                "segment.bounds",
                f"{value} is not from {least} to {most}.",
                "Correct it.",
                field=f"job.{name}",
            )
    if job.width % 2 or job.height % 2:
        yield Problem("segment.bounds", "The size is odd.", "Give an even one.", field="job.width")
    known = {a.id for a in job.all_assets}
    named = [overlay.asset for overlay in job.overlays]
    if job.generate and job.generate.from_media:
        named.append(job.generate.from_media)
    if job.background.media or job.background_asset:
        named.append(job.background.media or "")
    for name in named:
        if name not in known:
            yield Problem(
                "segment.bounds",
                f"{name!r} is none of the job's assets.",
                "Add it.",
                field="job",
            )
    for asset in job.all_assets:
        if not re.fullmatch(SUFFIX_PATTERN, asset.suffix):
            yield Problem(
                "segment.bounds",
                f"{asset.suffix!r} is no ending of a file.",
                "Give a short one.",
                field="job.media",
            )


def _hold_to(look: dict[str, Any], job: SegmentJob, bench: SegmentQueue) -> None:
    """Raises ApiError where a segment would look other here than where it was asked for. What the
    request does not say, it does not care about."""
    services = bench.services
    try:
        ours = segment_look(job, {}, services.fonts, services.video_settings)
    except UserError as error:  # A family of fonts that is not here at all.
        raise refusal_error(error.problems) from error
    except RenderError as error:
        raise ApiError(
            422, "segment.font", str(error), "Give both Pytoons the same fonts."
        ) from error
    theirs: dict[str, Any] = dict(look)
    wanted = theirs.pop("fonts", None)
    if wanted is not None and wanted != ours["fonts"]:
        styles = [cue.style for cue in job.captions] + [badge.style for badge in job.badges]
        families = sorted({f for s in styles for f in (s.family, *s.fallback)})
        missing = ", ".join(f"{h[:12]}..." for h in wanted if h not in ours["fonts"]) or "none"
        raise ApiError(
            422,
            "segment.font",
            "Other font files draw these words here than over there. Not here: SHA-256 "
            f"{missing}, of the families {', '.join(families)} or what stands in for them.",
            "Give both Pytoons the same version, presets and PYTOON_FONTS_DIR.",
        )
    _require_same("segment.look", theirs, ours | library_versions())


def _require_same(code: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    theirs, ours = _flatten_inputs(theirs), _flatten_inputs(ours)
    other = [n for n in sorted(theirs) if theirs[n] != ours.get(n)]
    if other:
        said = "; ".join(f"{n} {str(ours.get(n))[:80]}, not {str(theirs[n])[:80]}" for n in other)
        raise ApiError(
            409,
            code,
            f"This Pytoon has {said}.",
            "Install the same version, with the same presets, on both.",
        )


def _flatten_inputs(look: dict[str, Any]) -> dict[str, Any]:
    """`{"x264": {"crf": 18}}` as `{"x264 crf": 18}`."""
    inner = look.get("x264")
    if not isinstance(inner, dict):
        return look
    return {k: v for k, v in look.items() if k != "x264"} | {
        f"x264 {k}": v for k, v in inner.items()
    }

"""Every file that the video is made of, found, opened, measured and named by its hash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pytoon_pipeline.briefs.model import BackgroundItem, Brief, MediaItem, is_none
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.compiler.draft import PlanDraft, Scene
from pytoon_pipeline.compiler.passes.media_files import take_file, take_project_file
from pytoon_pipeline.media.limits import MAX_VIDEO_SECONDS
from pytoon_pipeline.plan import spellings
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Background, Generate, Segment, SegmentAudio
from pytoon_pipeline.plan.sound import Audio, Music, Voice
from pytoon_pipeline.plan.text import Overlay


def gather_media(d: PlanDraft) -> None:
    given = d.given = {a.id: a for a in d.spec.assets}
    d.spec.assets = []
    if d.brief is not None:
        d.set_scenes([*_media_scenes(d, d.brief), *_prompt_scenes(d, d.brief)])
        _take_brief_files(d, d.brief)
        return
    for i, segment in enumerate(d.spec.segments):
        fields = [f"segments[{i}].media" + (f"[{j}]" if j else "") for j in range(4)]
        found = (
            take_file(d, name, field, given, ("image", "video"))
            for name, field in zip(segment.media, fields, strict=False)
        )
        segment.media = [a.id for a in found if a]
        if segment.background is not None and segment.background.media is not None:
            field, name = f"segments[{i}].background", segment.background.media
            asset = take_file(d, name, field, given, ("image", "video"))
            segment.background = segment.background.model_copy(
                update={"media": asset.id} if asset else {"kind": "color", "media": None}
            )
        if segment.generate is not None and segment.generate.from_media is not None:
            field, name = f"segments[{i}].generate.from_media", segment.generate.from_media
            asset = take_file(d, name, field, given, ("image",))
            segment.generate.from_media = asset.id if asset else None
    _spec_audio(d, given)
    for i, overlay in enumerate(d.spec.overlays or []):
        if overlay.type == "badge":
            continue
        asset = take_file(d, overlay.media, f"overlays[{i}].media", given, ("image",))
        overlay.media = asset.id if asset else ""
    if d.spec.overlays is not None:
        d.spec.overlays = [o for o in d.spec.overlays if o.media or o.type == "badge"]
    # A plan that comes back keeps the order it had.
    order = {asset_id: n for n, asset_id in enumerate(given)}
    d.spec.assets.sort(key=lambda asset: order.get(asset.id, len(order)))


def _media_scenes(d: PlanDraft, brief: Brief) -> list[Scene]:
    """A scene for each item of the brief's media, text cards among them."""
    scenes: list[Scene] = []
    for i, item in enumerate(brief.media):
        field = f"media[{i}]"
        names = item.paths or ([item.path] if item.path else [])
        media = _take_item_files(d, item, names, field)
        if len(media) < len(names):
            continue
        segment = Segment(
            id=f"s{len(scenes) + 1}",
            media=media,
            duration=item.duration,
            text=item.text,
            # No clip is longer; one of a shorter clip is refused.
            audio=SegmentAudio(use=item.sound, start=min(item.start, MAX_VIDEO_SECONDS)),
        )
        behind = item.background or brief.background
        if behind is not None:
            own = f"{field}.background" if item.background else "background"
            segment.background = _read_background(d, behind, own)
        scenes.append(Scene(segment, field, item=item))
    if not brief.media and not brief.generate:
        d.error(
            "media.none",
            "there are no media.",
            "List at least one picture or clip under `media:`.",
            "media",
        )
    return scenes


def _take_item_files(d: PlanDraft, item: MediaItem, names: Sequence[str], field: str) -> list[str]:
    """Ids of the assets of an item, without those that can't be used."""
    found = []
    for j, name in enumerate(names):
        own = f"{field}.paths[{j}]" if item.paths else field
        asset = take_file(d, name, own, {}, ("image", "video"))
        if asset and asset.seconds and item.start >= asset.seconds:
            d.error(
                "media.start",
                f"start is {item.start:g} s, but {name} is {asset.seconds:.1f} s long.",
                "Begin earlier.",
                f"{field}.start",
            )
        if asset:
            found.append(asset.id)
    return found


def _prompt_scenes(d: PlanDraft, brief: Brief) -> list[Scene]:
    """A scene for each prompt of the brief; `plan_scenes` puts them in order."""
    scenes = []
    for i, prompt in enumerate(brief.generate):
        generate = Generate(
            prompt=prompt.prompt,
            negative_prompt=prompt.negative_prompt,
            seed=prompt.seed,
            role=prompt.role or "footage",
        )
        if prompt.from_media:
            field = f"generate[{i}].from_media"
            asset = take_file(d, prompt.from_media, field, {}, ("image",))
            generate.from_media = asset.id if asset else None
        segment = Segment(
            id=f"g{i + 1}", type="generated", duration=prompt.duration, generate=generate
        )
        scenes.append(Scene(segment, f"generate[{i}]", prompt=prompt))
    return scenes


def _take_brief_files(d: PlanDraft, brief: Brief) -> None:
    """Music, voice and logo of a brief."""
    if brief.music:
        d.spec.audio = d.spec.audio or Audio()
        name = brief.music.path or brief.music.name or ""
        music = _take_track(d, name, "music", brief.music.licence)
        if music:
            d.spec.audio.music = Music(media=music.id, gain_db=brief.music.volume_db)
    if brief.voice:
        d.spec.audio = d.spec.audio or Audio()
        voice = take_file(d, brief.voice.path, "voice", {}, ("audio", "video"), sound=True)
        if voice:
            d.spec.audio.voice = Voice(
                media=voice.id, start=brief.voice.start, gain_db=brief.voice.volume_db
            )
    if brief.logo:
        logo = take_file(d, brief.logo, "logo", {}, ("image",))
        if logo:
            mark = d.brand.watermark
            d.spec.overlays = [
                Overlay(media=logo.id, place=mark.place, opacity=mark.opacity, width=mark.width)
            ]


def _read_background(d: PlanDraft, item: BackgroundItem, field: str) -> Background | None:
    """What a brief wants behind its media; None with the problem reported."""
    if item.path:
        asset = take_file(d, item.path, f"{field}.path", {}, ("image", "video"))
        if asset is None:
            return None
        # Before a blurred ground a preset counts on its own darkness; elsewhere the wash does it.
        preset = d.preset.background
        usual = preset.darken if preset.kind == "blur" else 0.0
        darken = usual if item.darken is None else item.darken
        return Background(kind="picture", media=asset.id, blur=item.blur, darken=darken)
    colours = []
    for n, role in enumerate(item.colors):
        colour = d.brand.color(role) or spellings.parse_colour(role)
        if colour is None or not re.fullmatch("#[0-9A-Fa-f]{6}", colour):
            d.error(
                "background.color",
                f"{role!r} is neither a colour of the brand kit nor #RRGGBB.",
                f"Known: {', '.join(sorted(d.brand.colors))}; a file has an ending.",
                f"{field}.colors[{n}]",
            )
            return None
        colours.append(colour)
    kind = item.kind or ("gradient" if len(colours) > 1 else "color")
    darken = d.preset.background.darken if item.darken is None else item.darken
    return Background(kind=kind, colors=colours, darken=darken if kind == "blur" else 0.0)


def _spec_audio(d: PlanDraft, given: dict[str, Asset]) -> None:
    """`audio`, and the short form `audioTrack` of hand-written specs."""
    track, d.spec.audio_track = d.spec.audio_track, None
    if is_none(track) or track == "":
        d.spec.audio = d.spec.audio or Audio()
    elif track is not None:
        licence, field = None, "audioTrack"
        if isinstance(track, dict):
            licence = track.pop("licence", track.pop("license", None))
            music, problems = validate_data(Music, track, d.file)
            d.problems += [replace(p, field=f"{field}.{p.field}") for p in problems]
        elif isinstance(track, str):
            music = Music(media=track)
        else:
            d.error("field.type", "true is no track.", "Write a path, or false for none.", field)
            music = None
        asset = _take_track(d, music.media, field, licence) if music else None
        if asset and music:
            d.spec.audio = d.spec.audio or Audio()
            d.spec.audio.music = music.model_copy(update={"media": asset.id})
        return
    audio = d.spec.audio
    if audio and audio.music:
        name = audio.music.media
        asset = (
            take_file(d, name, "audio.music.media", given, ("audio", "video"), sound=True)
            if name in given
            else _take_track(d, name, "audio.music.media", None)
        )
        audio.music = audio.music.model_copy(update={"media": asset.id}) if asset else None
    if audio and audio.voice:
        field = "audio.voice.media"
        asset = take_file(d, audio.voice.media, field, given, ("audio", "video"), sound=True)
        audio.voice = audio.voice.model_copy(update={"media": asset.id}) if asset else None


def _take_track(d: PlanDraft, name: str, field: str, licence: str | None) -> Asset | None:
    """Music: a track of the project by name, or a file."""
    tracks = d.shop.presets.tracks()
    if name not in tracks and name.strip().lower() in tracks:
        name = name.strip().lower()
    if name in tracks:
        return take_project_file(d, d.shop.presets.track_file(name), name, tracks[name]["licence"])
    if "." not in name:
        d.error(
            "music.unknown",
            f"there is no track {name!r}.",
            f"Known: {', '.join(sorted(tracks))}; or give a file, or false for none.",
            field,
        )
        return None
    asset = take_file(d, name, field, {}, ("audio", "video"), sound=True)
    if asset is None:
        return None
    if licence is None:
        d.warn(
            "music.licence",
            f"nothing says what allows the use of {asset.source}.",
            "Add `licence:` to the music of this brief.",
            field,
        )
    asset.licence = licence or "given by the author of the brief"
    return asset

"""Footage that a model is asked for: where it stands in the video, and what it may show.

A model never draws a product or a person anew unless the brief says so in words. Without that, a
prompt that comes with a picture makes the ground behind it, and the picture itself stands before
that ground as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from pytoon_pipeline.compiler.draft import PlanDraft, Scene
from pytoon_pipeline.compiler.passes.brand_safety import REVIEWED, keep_prompt_clean
from pytoon_pipeline.compiler.passes.composition import seen_as
from pytoon_pipeline.compiler.passes.pacing import READ_PAUSE, reading_seconds
from pytoon_pipeline.errors import InternalError
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment import Generate, Layout, Motion, Segment

MAX_SECONDS = 12.0
"""Longest generated segment: models make takes of about 5 s, and one that is stretched further is
seen to be."""
BEFORE: Box = (90, 790, 990, 1700)
"""On a 1080-wide frame: where a picture stands before its ground, in presets whose pictures fill
the frame. Words stand above it."""
RADIUS, SHADOW = 36, 0.5
"""Corners (pixels of a 1080-wide frame) and shadow of such a picture."""


# --- where it stands


def place_generated(d: PlanDraft) -> None:
    """The scenes of a brief in the order of the video.

    A prompt with a picture of the brief takes that picture's scene. A prompt without one is, in an
    overlay, the background behind the pictures; elsewhere it is a scene of its own between them,
    for a video opens with what it is about, and closes with it.
    """
    scenes = [scene for scene in d.scenes if scene.prompt is None]
    loose: list[Scene] = []
    behind: list[Scene] = []
    for take in d.scenes:
        if take.prompt is None:
            continue
        generate = _generate_of(take)
        if generate.from_media is not None:
            _with_picture(d, take, generate.from_media, scenes, loose)
        elif take.prompt.from_media is None and (
            (take.prompt.role or _usual_role(d)) == "background"
        ):
            behind.append(take)
        else:
            loose.append(take)
    scenes = _put_behind(d, behind, scenes, loose)
    _put_between(scenes, loose)
    for i, scene in enumerate(scenes):
        scene.segment.id = f"s{i + 1}"
    d.set_scenes(scenes)


def _generate_of(scene: Scene) -> Generate:
    """What a scene of a prompt asks for."""
    if scene.segment.generate is None:
        raise InternalError(f"{scene.origin} is a prompt, and its segment asks for nothing")
    return scene.segment.generate


def _usual_role(d: PlanDraft) -> str:
    return "background" if d.spec.archetype == "overlay" else "footage"


def _with_picture(
    d: PlanDraft, take: Scene, asset: str, scenes: list[Scene], loose: list[Scene]
) -> None:
    """A prompt for one picture: in the place of its scene, after it, or, where the brief shows it
    nowhere else, in a scene of its own."""
    generate, field = _generate_of(take), take.origin
    shown = [n for n, scene in enumerate(scenes) if asset in scene.segment.media]
    for n in shown:
        segment = scenes[n].segment
        if segment.media == [asset] and segment.generate is None:
            segment.type, segment.generate = "generated", generate
            segment.duration = take.segment.duration or segment.duration
            if segment.background is not None:
                d.note(f"{field}: the prompt makes the ground, in place of `background`.")
                segment.background = None
            hold_media(d, segment, generate, field)
            return
    take.segment.media = [asset]
    hold_media(d, take.segment, generate, field)
    if shown:
        scenes.insert(shown[-1] + 1, take)
    else:
        loose.append(take)


def _put_behind(
    d: PlanDraft, behind: list[Scene], scenes: list[Scene], loose: list[Scene]
) -> list[Scene]:
    """Prompts without a picture of their own, shared out among the pictures in order. More prompts
    than pictures show a picture again, before each of its backgrounds."""
    free = [n for n, scene in enumerate(scenes) if _takes_background(d, scene)]
    if not free:
        for take in behind:
            if scenes:
                d.note(f"{take.origin}: no picture stands before this footage; it fills the frame.")
            _generate_of(take).role = "footage"
        loose.extend(behind)
        return scenes
    if not behind:
        return scenes
    if d.brief and d.brief.background is not None:
        d.note("The ground is made by `generate`; `background` lies where no prompt makes one.")
    made: dict[int, list[Scene]] = {n: [] for n in free}
    count = max(len(free), len(behind))
    for k in range(count):
        take = behind[k * len(behind) // count]
        n = free[k * len(free) // count]
        again = {"text": None} if made[n] else {}
        segment = scenes[n].segment.model_copy(deep=True, update=again)
        segment.type, segment.background = "generated", None
        segment.generate = _generate_of(take).model_copy(update={"role": "background"})
        segment.duration = take.segment.duration or segment.duration
        made[n].append(replace(scenes[n], segment=segment))
    return [new for n, old in enumerate(scenes) for new in made.get(n) or [old]]


def _takes_background(d: PlanDraft, scene: Scene) -> bool:
    """May a prompt make the background of this scene? It has pictures, which are not to fill the
    frame, and no background of its own."""
    item, segment = scene.item, scene.segment
    if item is None or item.background is not None or item.fit == "cover":
        return False
    pictures = [d.spec.asset(m).kind == "image" for m in segment.media]
    return segment.generate is None and bool(pictures) and all(pictures)


def _put_between(scenes: list[Scene], loose: list[Scene]) -> None:
    """Evenly between the scenes that are there; before a single one."""
    gaps, count = len(scenes) - 1, len(loose)
    places = [1 + (2 * j + 1) * gaps // (2 * count) if gaps > 0 else 0 for j in range(count)]
    for j, (place, scene) in enumerate(zip(places, loose, strict=True)):
        scenes.insert(place + j, scene)


# --- what it may show


def hold_media(d: PlanDraft, segment: Segment, generate: Generate, field: str) -> None:
    """The one place that lets a model begin with a picture, or keeps the picture and has the
    background behind it made."""
    begins = generate.from_media
    name = d.spec.asset(begins).source if begins else ""
    if begins and generate.role == "footage" and d.spec.constraints.allow_regeneration:
        if segment.media not in ([], [begins]):
            d.note(f"{field}: the footage begins with {name} alone; other media are not shown.")
        segment.media = [begins]
        d.note(f"{REVIEWED}: {field}: a model redraws {name}, as allow_regeneration says.")
    elif begins:
        if generate.role == "footage":
            d.note(
                f"{field}.from_media: allow_regeneration is not set, so no model redraws {name}: "
                "the prompt makes the ground behind it, and it stands before that as it is."
            )
        generate.from_media, generate.role = None, "background"
        segment.media = segment.media or [begins]
    elif segment.media:
        generate.role = "background"
    elif generate.role == "background":
        d.note(f"{field}: nothing stands before this footage; it fills the frame.")
        generate.role = "footage"


def settle_generated(d: PlanDraft) -> None:
    """Everything that makes a generated segment reproducible, and its place on the frame."""
    made: dict[str, int] = {}
    for scene in d.scenes:
        segment, generate = scene.segment, scene.segment.generate
        if generate is None:
            continue
        if segment.type != "generated":
            d.note(f"{scene.origin}.generate has no effect: the segment's type is {segment.type}.")
            segment.generate = None
            continue
        if d.brief is None:
            hold_media(d, segment, generate, f"{scene.origin}.generate")
        if generate.stretch is None:
            generate.stretch = d.preset.generated.stretch
        keep_prompt_clean(d, generate)
        if generate.seed is None:
            generate.seed = _derive_seed(d, segment, generate, made)
        if generate.role == "background":
            segment.layout = segment.layout or _foreground_layout(d, scene)
        else:
            segment.layout = segment.layout or Layout(fit="cover")
            # It moves by itself.
            segment.motion = segment.motion or Motion(kind="still", amount=0)


def _derive_seed(d: PlanDraft, segment: Segment, generate: Generate, made: dict[str, int]) -> int:
    """The same in every compilation; another one where a video asks for the same thing again."""
    shown = "\0".join(d.spec.asset(m).sha256 for m in segment.media)
    asked = f"{generate.prompt}\0{shown}"
    made[asked] = made.get(asked, 0) + 1
    digest = hashlib.sha256(f"{asked}\0{made[asked]}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _foreground_layout(d: PlanDraft, scene: Scene) -> Layout | None:
    """Where a picture stands before its ground: cut out or framed, as overlays have it. None where
    the preset does that by itself."""
    media, segment = d.preset.media, scene.segment
    asked = scene.item.fit if scene.item is not None else "auto"
    if len(segment.media) > 1 or (media.fit == "frame" and asked != "cover"):
        return None
    asset = d.spec.asset(segment.media[0])
    kind = "opaque"
    if asset.kind == "image" and asset.id in d.files:
        kind = seen_as(d, asset, asked != "contain")[0]
    if kind == "keyed":
        d.note(f"{asset.source} stands on a plain light ground and is cut out of it.")
    return Layout(
        fit="frame" if kind == "opaque" else "cutout",
        keyed=True if kind == "keyed" else None,
        box=d.box(media.box if media.fit == "frame" and media.box else BEFORE),
        radius=round((media.radius or RADIUS) * d.scale) if kind != "transparent" else 0,
        shadow=media.shadow or SHADOW,
    )


# --- how long it stays


def time_generated(d: PlanDraft) -> None:
    """Lengths of what the brief left open: the preset's, as long as their lines need, or an even
    share of the time that is asked for where nothing else could take it."""
    made = [scene for scene in d.scenes if scene.segment.type == "generated"]
    if not made:
        return
    left_open = [scene for scene in made if scene.segment.duration is None]
    known = [s.segment.duration for s in d.scenes if s not in left_open]
    usual = d.preset.generated.seconds
    if left_open and None not in known:
        spare = (_asked_duration(d) or 0.0) - sum(seconds or 0.0 for seconds in known)
        usual = max(usual, spare / len(left_open))
    for scene in left_open:
        texts = [line.text for line in scene.lines]
        needed = sum(reading_seconds(d, text) + READ_PAUSE for text in texts) + READ_PAUSE
        scene.segment.duration = round(max(usual, needed), 6)
    for scene in made:
        seconds = scene.segment.duration or 0.0
        if seconds > MAX_SECONDS:
            d.error(
                "generate.too_long",
                f"{seconds:.1f} s of generated footage are more than a take can be stretched to; "
                f"{MAX_SECONDS:g} s are the most.",
                "Shorten it, or write several prompts that follow one another.",
                _duration_field(d, scene),
            )


def _asked_duration(d: PlanDraft) -> float | None:
    """Seconds that the whole video is to have, where somebody said so."""
    said = d.brief.duration if d.brief else d.spec.duration
    audio = d.spec.audio
    if said is None and audio is not None and audio.voice is not None:
        return audio.voice.start + (d.spec.asset(audio.voice.media).seconds or 0.0)
    return said


def _duration_field(d: PlanDraft, scene: Scene) -> str:
    """The field that a person shortens to shorten this scene."""
    own = scene.prompt is not None and scene.prompt.duration
    if d.brief is None or own or d.brief.duration is None:
        return f"{scene.origin}.duration"
    return "duration"

"""Footage that a model is asked for: where it stands in the video, and what it may show.

A model never draws a product or a person anew unless the brief says so in words. Without that, a
prompt that comes with a picture makes the ground behind it, and the picture itself stands before
that ground as it is.
"""

from __future__ import annotations

import hashlib

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.brand_safety import REVIEWED, keep_prompt_clean
from pytoon_pipeline.compiler.passes.composition import seen_as
from pytoon_pipeline.compiler.passes.pacing import READ_PAUSE, reading_seconds
from pytoon_pipeline.plan.model import Box, Generate, Layout, Motion, Segment

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
    overlay, the ground behind the pictures; elsewhere it is a scene of its own between them, for a
    video opens with what it is about, and closes with it.
    """
    brief = d.brief
    assert brief is not None
    fields = d.fields
    scenes = [(s, fields[s.id]) for s in d.spec.segments if not s.generate]
    loose: list[tuple[Segment, str]] = []
    behind: list[tuple[Segment, str]] = []
    for take in [s for s in d.spec.segments if s.generate]:
        field = fields[take.id]
        item, generate = brief.generate[int(field[9:-1])], take.generate
        assert generate is not None
        if generate.from_media is not None:
            _with_picture(d, take, field, scenes, loose)
        elif item.from_media is None and (item.role or _usual_role(d)) == "background":
            behind.append((take, field))
        else:
            loose.append((take, field))
    scenes = _put_behind(d, behind, scenes, loose)
    _put_between(scenes, loose)
    d.fields = {}
    for i, (segment, field) in enumerate(scenes):
        segment.id = f"s{i + 1}"
        d.fields[segment.id] = field
    d.spec.segments = [segment for segment, _ in scenes]


def _usual_role(d: PlanDraft) -> str:
    return "background" if d.spec.archetype == "overlay" else "footage"


def _with_picture(
    d: PlanDraft,
    take: Segment,
    field: str,
    scenes: list[tuple[Segment, str]],
    loose: list[tuple[Segment, str]],
) -> None:
    """A prompt for one picture: in the place of its scene, after it, or, where the brief shows it
    nowhere else, in a scene of its own."""
    generate = take.generate
    assert generate is not None and generate.from_media is not None
    asset = generate.from_media
    shown = [n for n, (scene, _) in enumerate(scenes) if asset in scene.media]
    for n in shown:
        scene = scenes[n][0]
        if scene.media == [asset] and scene.generate is None:
            scene.type, scene.generate = "generated", generate
            scene.duration = take.duration or scene.duration
            if scene.background is not None:
                d.note(f"{field}: the prompt makes the ground, in place of `background`.")
                scene.background = None
            hold_media(d, scene, field)
            return
    take.media = [asset]
    hold_media(d, take, field)
    if shown:
        scenes.insert(shown[-1] + 1, (take, field))
    else:
        loose.append((take, field))


def _put_behind(
    d: PlanDraft,
    behind: list[tuple[Segment, str]],
    scenes: list[tuple[Segment, str]],
    loose: list[tuple[Segment, str]],
) -> list[tuple[Segment, str]]:
    """Prompts without a picture of their own, shared out among the pictures in order. More prompts
    than pictures show a picture again, before each of its grounds."""
    free = [n for n, (scene, field) in enumerate(scenes) if _takes_ground(d, scene, field)]
    if not free:
        for take, field in behind:
            if scenes:
                d.note(f"{field}: no picture stands before this footage; it fills the frame.")
            take.generate.role = "footage"  # type: ignore[union-attr]
        loose.extend(behind)
        return scenes
    if not behind:
        return scenes
    if d.brief and d.brief.background is not None:
        d.note("The ground is made by `generate`; `background` lies where no prompt makes one.")
    made: dict[int, list[tuple[Segment, str]]] = {n: [] for n in free}
    count = max(len(free), len(behind))
    for k in range(count):
        take, _ = behind[k * len(behind) // count]
        n = free[k * len(free) // count]
        scene, own = scenes[n]
        again = {"text": None} if made[n] else {}
        scene = scene.model_copy(deep=True, update=again)
        assert take.generate is not None
        scene.type, scene.background = "generated", None
        scene.generate = take.generate.model_copy(update={"role": "background"})
        scene.duration = take.duration or scene.duration
        made[n].append((scene, own))
    return [new for n, old in enumerate(scenes) for new in made.get(n) or [old]]


def _takes_ground(d: PlanDraft, scene: Segment, field: str) -> bool:
    """May a prompt make the ground of this scene? It has pictures, which are not to fill the frame,
    and no ground of its own."""
    assert d.brief is not None
    item = d.brief.media[int(field[6:-1])] if field.startswith("media[") else None
    if item is None or item.background is not None or item.fit == "cover":
        return False
    pictures = [d.spec.asset(m).kind == "image" for m in scene.media]
    return scene.generate is None and bool(pictures) and all(pictures)


def _put_between(scenes: list[tuple[Segment, str]], loose: list[tuple[Segment, str]]) -> None:
    """Evenly between the scenes that are there; before a single one."""
    gaps, count = len(scenes) - 1, len(loose)
    places = [1 + (2 * j + 1) * gaps // (2 * count) if gaps > 0 else 0 for j in range(count)]
    for j, (place, scene) in enumerate(zip(places, loose, strict=True)):
        scenes.insert(place + j, scene)


# --- what it may show


def hold_media(d: PlanDraft, segment: Segment, field: str) -> None:
    """The one place that lets a model begin with a picture, or keeps the picture and has the ground
    behind it made."""
    generate = segment.generate
    assert generate is not None
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
    for segment in d.spec.segments:
        generate = segment.generate
        if generate is None:
            continue
        if segment.type != "generated":
            field = d.fields[segment.id]
            d.note(f"{field}.generate has no effect: the segment's type is {segment.type}.")
            segment.generate = None
            continue
        if d.brief is None:
            hold_media(d, segment, f"{d.fields[segment.id]}.generate")
        if generate.stretch is None:
            generate.stretch = d.preset.generated.stretch
        keep_prompt_clean(d, generate)
        if generate.seed is None:
            generate.seed = _derive_seed(d, segment, generate, made)
        if generate.role == "background":
            segment.layout = segment.layout or _foreground_layout(d, segment)
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


def _foreground_layout(d: PlanDraft, segment: Segment) -> Layout | None:
    """Where a picture stands before its ground: cut out or framed, as overlays have it. None where
    the preset does that by itself."""
    media = d.preset.media
    field = d.fields[segment.id]
    asked = "auto"
    if d.brief is not None and field.startswith("media["):
        asked = d.brief.media[int(field[6:-1])].fit
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
    segments = d.spec.segments
    made = [i for i, s in enumerate(segments) if s.type == "generated"]
    if not made:
        return
    left_open = [i for i in made if segments[i].duration is None]
    rest = [s for i, s in enumerate(segments) if i not in left_open]
    usual = d.preset.generated.seconds
    if left_open and all(s.duration is not None for s in rest):
        spare = (_asked_duration(d) or 0.0) - sum(s.duration or 0.0 for s in rest)
        usual = max(usual, spare / len(left_open))
    for i in left_open:
        texts = [line.text for line in d.lines[i]] if i < len(d.lines) else []
        needed = sum(reading_seconds(d, text) + READ_PAUSE for text in texts) + READ_PAUSE
        segments[i].duration = round(max(usual, needed), 6)
    for i in made:
        seconds = segments[i].duration or 0.0
        if seconds > MAX_SECONDS:
            d.error(
                "generate.too_long",
                f"{seconds:.1f} s of generated footage are more than a take can be stretched to; "
                f"{MAX_SECONDS:g} s are the most.",
                "Shorten it, or write several prompts that follow one another.",
                _duration_field(d, segments[i]),
            )


def _asked_duration(d: PlanDraft) -> float | None:
    """Seconds that the whole video is to have, where somebody said so."""
    said = d.brief.duration if d.brief else d.spec.duration
    audio = d.spec.audio
    if said is None and audio is not None and audio.voice is not None:
        return audio.voice.start + (d.spec.asset(audio.voice.media).seconds or 0.0)
    return said


def _duration_field(d: PlanDraft, segment: Segment) -> str:
    field = d.fields[segment.id]
    if d.brief is None:
        return f"{field}.duration"
    own = field.startswith("generate[") and d.brief.generate[int(field[9:-1])].duration
    if own or d.brief.duration is None:
        return f"{field}.duration"
    return "duration"

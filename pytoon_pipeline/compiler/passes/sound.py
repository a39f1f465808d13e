"""What is heard: music, voice, the clips' own sound."""

from __future__ import annotations

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.media_files import take_project_file
from pytoon_pipeline.plan.sound import Audio, Loudness, Music

CLIP_UNDER_MUSIC_DB = -8.0
"""A clip's own sound is heard behind music, not against it."""


def plan_sound(d: PlanDraft) -> None:
    audio = d.spec.audio = d.spec.audio or Audio()
    rules = d.facts.loudness
    if audio.loudness == Loudness():
        audio.loudness = Loudness(target_lufs=rules.target_lufs, true_peak_db=rules.true_peak_db)
    heard = [s for s in d.spec.segments if s.type == "video" and _has_own_sound(d, s)]
    silent = d.brief is not None and d.brief.music is False
    # A plan says what is heard: without audio it is silent but for its clips.
    wants_default = d.brief is not None and d.brief.music is None
    # In a meme the clip's own sound is the joke; music is only laid under it when asked for.
    if wants_default and d.spec.archetype == "meme" and heard:
        wants_default = False
    if wants_default and not silent and audio.music is None:
        audio.music = _preset_music(d)
    if audio.music:
        for segment in heard:
            if segment.audio.gain_db == 0:
                segment.audio.gain_db = CLIP_UNDER_MUSIC_DB


def _has_own_sound(d: PlanDraft, segment) -> bool:
    return bool(segment.audio.use and segment.media and d.spec.asset(segment.media[0]).has_audio)


def _preset_music(d: PlanDraft) -> Music | None:
    name, tracks = d.preset.music, d.shop.presets.tracks()
    if name is None or name not in tracks:
        return None
    path = d.shop.presets.track_file(name)
    asset = take_project_file(d, path, name, tracks[name]["licence"])
    return Music(media=asset.id)

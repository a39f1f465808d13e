"""`pytoon new`: a brief to start from."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import yaml
from rich.text import Text

from pytoon_pipeline.briefs.source import BRIEF_FILES, SPEC_FILES
from pytoon_pipeline.briefs.starter import STARTER_TEXT, STARTER_WORDS
from pytoon_pipeline.cli.files import cannot_write, write_text
from pytoon_pipeline.cli.terminal import open_console, settings_and_logs
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET, open_presets
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.settings import project_data

# By their names only: `pytoon check` looks inside.
_PICTURES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".avif",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".hif",
    ".jp2",
)
_CLIPS = (
    ".mp4",
    ".mov",
    ".m4v",
    ".webm",
    ".mkv",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".m2ts",
    ".3gp",
    ".wmv",
    ".ogv",
    ".flv",
    ".mxf",
)
_SOUNDS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg")
_MAX_MEDIA = 10
"""Pictures listed; at the presets' pace these fill a video."""

_ABOUT = {
    "hero": "the pictures fill the frame, one after the other, the lines stand on them",
    "overlay": "the product stands on the brand's ground, the lines around it",
    "meme": "a picture with a line above and a line below",
}


_SAMPLES = {
    "hero": "morrow/kettle/front.jpg",
    "overlay": "morrow/candle-offer/candle.png",
    "meme": "morrow/monday/cactus.jpg",
}
"""Pictures of the demo, so that a brief can be rendered before there are any of one's own."""


def _quote_yaml(text: str) -> str:
    """As YAML that can't be misread, whatever the name is; quoted only where it has to be."""
    return yaml.safe_dump([text], allow_unicode=True, width=float("inf")).strip()[2:]


def _align_comments(lines: list[tuple[str, str]]) -> list[str]:
    """Settings with their comments below each other."""
    width = max(len(setting) for setting, _ in lines) + 2
    return [f"{setting:<{width}}# {comment}" for setting, comment in lines]


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    if not folder.is_dir():
        return []
    names = (p.name for p in folder.iterdir() if p.is_file() and p.suffix.lower() in suffixes)
    return sorted(n for n in names if not n.startswith((".", "_")))


def _copy_sample(folder: Path, archetype: str) -> tuple[Path, str] | None:
    """A picture to begin with, and its name, for a folder that has none of its own."""
    picture = project_data("briefs") / _SAMPLES[archetype]
    if _list_files(folder, _PICTURES + _CLIPS) or not picture.is_file():
        return None
    return picture, f"sample{picture.suffix}"


def brief_text(
    folder: Path, archetype: str, presets: list[str], brands: list[str], sample: str | None = None
) -> str:
    """A commented brief.yaml for the media that lie in a folder, or for a picture that is put
    there with it."""
    seen = _list_files(folder, _PICTURES + _CLIPS)
    logos = [n for n in seen if "logo" in n.lower() and not n.lower().endswith(_CLIPS)]
    media = [n for n in seen if n not in logos]
    sounds = _list_files(folder, _SOUNDS)
    voices = [n for n in sounds if "voice" in n.lower()]
    music = [n for n in sounds if n not in voices]
    hook, beats, cta = STARTER_WORDS[archetype]
    others = ", ".join(p for p in presets if p != DEFAULT_PRESET[archetype]) or "none yet"

    lines = [
        f"# See what is wrong with this brief:  pytoon check {shlex.quote(str(folder))}",
        f"# Make its video:                     pytoon render {shlex.quote(str(folder))}",
        "",
        *_align_comments(
            [
                (f"archetype: {archetype}", _ABOUT[archetype]),
                (f"preset: {DEFAULT_PRESET[archetype]}", f"the look; also: {others}"),
                ("brand: neutral", f"colours, fonts and logo; there are: {', '.join(brands)}"),
            ]
        ),
        "",
        "# Pictures and clips in the order they are shown. They lie beside this file.",
    ]
    if media:
        lines.append("media:")
        lines += [f"  - {_quote_yaml(n)}" for n in media[:_MAX_MEDIA]]
        lines += [f"  # - {_quote_yaml(n)}" for n in media[_MAX_MEDIA:]]
    else:
        lines.append(
            "# There were none yet when this was written: copy some here and list them"
            + (f" in place of {sample}." if sample else ".")
        )
        lines += ["media:", f"  - {sample}" if sample else "  # - front.jpg"]
    lines += [
        "  # More can be said of each:",
        "  # - {path: front.jpg, duration: 2.5, text: " + STARTER_TEXT + "}",
        "",
        "# The words. Short lines read best: two lines of 26 letters at most.",
        f"hook: {_quote_yaml(hook)}",
        "beats:",
        *[f"  - {_quote_yaml(beat)}" for beat in beats],
        f"cta: {_quote_yaml(cta)}",
        "",
        "# All of this may stay as it is; take the # away to change it.",
        *_align_comments(
            [
                ("# duration: 12", "seconds of the whole video, 3 to 60"),
                (
                    f"# music: {_quote_yaml(music[0]) if music else 'false'}",
                    "a track's name (`pytoon presets`), a file beside this one, or false",
                ),
                (
                    f"# voice: {_quote_yaml(voices[0] if voices else 'voice.wav')}",
                    "a recording; the music makes room for it",
                ),
                (
                    f"# logo: {_quote_yaml(logos[0] if logos else 'logo.png')}",
                    "in place of the brand's",
                ),
                ("# platform: universal_ads", "whose buttons the words keep clear of"),
                ("# brand_safe: true", "products stay as they are, the motion stays calm"),
            ]
        ),
    ]
    return "\n".join(lines) + "\n"


def write_new_brief(folder: Path, archetype: str) -> int:
    """Write `brief.yaml` into a folder; made if it isn't there.

    Raises UserError where a brief lies there already.
    """
    settings = settings_and_logs()
    library = open_presets(*settings.presets_dirs)
    target = folder / "brief.yaml"
    if folder.exists() and not folder.is_dir():
        raise UserError(
            Problem("new.not_a_folder", "is not a folder.", "Name a folder.", file=str(folder))
        )
    there = next((folder / n for n in (*BRIEF_FILES, *SPEC_FILES) if (folder / n).exists()), None)
    sample = _copy_sample(folder, archetype)
    text = brief_text(
        folder,
        archetype,
        library.preset_names(archetype),
        library.brand_names(),
        sample[1] if sample else None,
    )
    try:
        if there is not None:
            raise FileExistsError
        write_text(target, text, replace=False)
    except FileExistsError:
        raise UserError(
            Problem(
                "new.exists",
                "is there already; nothing was written.",
                "Name another folder, or remove it first.",
                file=str(there or target),
            )
        ) from None
    to = open_console()
    to.print(Text(f"Wrote {target}"), soft_wrap=True)
    if sample:
        picture, name = sample
        try:
            shutil.copyfile(picture, folder / name)
        except OSError as error:
            raise cannot_write(folder / name, error) from error
        to.print(
            Text(
                f"Wrote {folder / name}, a picture of Pytoon's own to try it with\n"
                f"Next: pytoon render {folder} ; then put your own pictures and words in place."
            ),
            soft_wrap=True,
        )
    elif yaml.safe_load(text)["media"]:
        to.print(Text(f"Next: change its words, then  pytoon check {folder}"), soft_wrap=True)
    else:
        to.print(
            Text(f"Next: copy pictures to {folder} and list them under media."), soft_wrap=True
        )
    return 0

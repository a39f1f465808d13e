"""What allows the use of all that a video is made of: its licence ledger."""

from __future__ import annotations

from pathlib import Path

from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.files import open_file
from pytoon_pipeline.picture.fonts import FontFace
from pytoon_pipeline.picture.shaping import ShapedParagraph
from pytoon_pipeline.picture.text_forms import shown_text
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.stages.documents import LicenceRecord
from pytoon_pipeline.stages.services import Services

AUTHORS = "given by the author of the brief"
_LICENCE_FILES = ("OFL.txt", "LICENSE*", "LICENCE*")
_OFL = "SIL OPEN FONT LICENSE Version 1.1"


def list_licences(spec: Plan, services: Services) -> list[LicenceRecord]:
    """Every file that is seen or heard, in the order of the plan, then the fonts that its words
    are drawn from, each once."""
    sound = spec.audio
    heard = {
        track.media: kind
        for kind, track in (("music", sound and sound.music), ("voice", sound and sound.voice))
        if track
    }
    logos = {o.media for o in spec.overlays if o.media}
    records = []
    for asset in spec.assets:
        kind = heard.get(asset.id) or ("logo" if asset.id in logos else None)
        kind = kind or {"image": "picture", "video": "clip"}.get(asset.kind, "music")
        records.append(
            LicenceRecord(
                kind=kind, name=asset.source, licence=_licence_of(asset, spec), sha256=asset.sha256
            )
        )
    return records + [_font_licence(face, services) for face in _drawn_faces(spec, services)]


def _licence_of(asset: Asset, spec: Plan) -> str:
    if asset.licence is None and asset.source.startswith(f"{spec.brand}/"):
        return f"part of the brand kit {spec.brand}"
    return asset.licence or AUTHORS


def _drawn_faces(spec: Plan, services: Services) -> list[FontFace]:
    """What captions and badges are drawn from, the first used first."""
    words = [(c.text, c.style) for c in spec.captions]
    words += [(o.text, o.style or "badge") for o in spec.overlays if o.text]
    language = spec.locale
    found: dict[FontFace, None] = {}
    for text, name in words:
        style = text_style(spec.styles[name], "middle", language)
        shown = shown_text(text, style, services.fonts)
        found |= dict.fromkeys(ShapedParagraph(shown, style.font, services.fonts).faces)
    return list(found)


_HEAD_BYTES = 100_000


def _font_licence(face: FontFace, services: Services) -> LicenceRecord:
    beside = sorted(p for name in _LICENCE_FILES for p in face.path.parent.glob(name))
    licence = shown = None
    if beside:
        with open_file(beside[0]) as file:  # Its beginning tells which one it is.
            text = file.read(_HEAD_BYTES).decode("utf-8", errors="replace")
        licence = "OFL-1.1" if _OFL.casefold() in " ".join(text.split()).casefold() else "see file"
        shown = _relative_preset_path(beside[0], services)
    return LicenceRecord(
        kind="font",
        name=f"{face.family} {face.weight}",
        licence=licence,
        file=shown,
        sha256=face.sha256,
    )


def _relative_preset_path(path: Path, services: Services) -> str:
    """A path in a folder of presets without the places of this machine."""
    folder = next((f for f in services.presets.folders if path.is_relative_to(f)), path.parent)
    return path.relative_to(folder).as_posix()

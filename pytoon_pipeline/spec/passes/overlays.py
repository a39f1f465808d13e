"""Watermark and other pictures that stay over the video."""

from __future__ import annotations

from pytoon_pipeline.spec.draft import Draft
from pytoon_pipeline.spec.model import Box, Overlay
from pytoon_pipeline.spec.passes.media import take_project_file

MAX_HEIGHT = 84
"""Pixels of a 1080-wide frame that a watermark may be high."""


def place_overlays(d: Draft) -> None:
    if d.spec.overlays is None:
        d.spec.overlays = _watermark(d)
    for i, overlay in enumerate(d.spec.overlays):
        if overlay.box is None:
            overlay.box = _box(d, overlay)
        if not _inside(overlay.box, d.clear_box):
            d.error(
                "safe_zone.overlay",
                f"the overlay at {overlay.box} is not inside {d.clear_box}, which the platforms' "
                "own buttons leave clear.",
                "Leave `box` out to have it placed, or move it inside.",
                f"overlays[{i}].box",
                box=overlay.box,
            )


def _inside(box: Box, area: Box) -> bool:
    return box[0] >= area[0] and box[1] >= area[1] and box[2] <= area[2] and box[3] <= area[3]


def _watermark(d: Draft) -> list[Overlay]:
    """The brand's logo; on a light ground the version made for it."""
    logo, mark = d.brand.logo, d.brand.watermark
    if logo is None:
        if d.spec.brand_safe and d.spec.brand != "neutral":
            d.note(f"The brand kit {d.spec.brand!r} has no logo, so there is no watermark.")
        return []
    on_ground = d.preset.background.kind != "blur" and logo.on_ground
    name = logo.on_ground if on_ground and _light_ground(d) else logo.on_pictures
    path = d.brand.folder / (name or logo.on_pictures)
    if not path.is_file():
        d.error(
            "brand.logo", f"the logo {name} of the brand kit does not exist.",
            "Put it beside the brand kit.", "brand",
        )
        return []
    asset = take_project_file(d, path, f"{d.spec.brand}/{path.name}", None)
    return [
        Overlay(
            type="watermark", media=asset.id, position=mark.place, opacity=mark.opacity,
            width=mark.width, shadow=0.0 if name == logo.on_ground else 0.5,
        )
    ]


def _light_ground(d: Draft) -> bool:
    """Is the ground of the preset nearer to white than to black (relative luminance over 0.18)?"""
    colour = d.brand.color(d.preset.background.colors[0]) or "#FFFFFF"
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) > 0.18


def _box(d: Draft, overlay: Overlay) -> Box:
    asset = d.spec.asset(overlay.media)
    aspect = (asset.width or 1) / (asset.height or 1)
    width = overlay.width * d.spec.resolution.width
    if overlay.type != "image":
        width = min(width, MAX_HEIGHT * d.scale * aspect)
    x0, y0, x1, y1 = d.clear_box
    width = min(width, x1 - x0, (y1 - y0) * aspect)
    w, h = max(2, round(width)), max(2, round(width / aspect))
    left = {"left": x0, "right": x1 - w}.get(overlay.place.split("_")[-1], (x0 + x1 - w) // 2)
    top = y0 if overlay.place.startswith("top") else y1 - h
    return left, top, left + w, top + h

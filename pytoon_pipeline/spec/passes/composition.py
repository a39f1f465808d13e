"""What stands where on the frame: layout and background of each segment."""

from __future__ import annotations

from pytoon_pipeline.spec.draft import Draft
from pytoon_pipeline.spec.model import Background, Layout, Segment


def compose(d: Draft) -> None:
    for i, segment in enumerate(d.spec.segments):
        item = _item(d, segment)
        if segment.layout is None:
            segment.layout = _layout(d, segment, item)
        if segment.layout.subject is None and item is not None:
            segment.layout.subject = item.subject
        if segment.background is None:
            segment.background = _background(d, segment)
        for j, colour in enumerate(segment.background.colors):
            segment.background.colors[j] = colour.upper()
        if not segment.background.colors:
            segment.background.colors = [_colour(d, "ink")]
        _check_box(d, i, segment)


def _item(d: Draft, segment: Segment):
    """The item of the brief that a segment shows."""
    field = d.fields.get(segment.id, "")
    if d.brief is None or not field.startswith("media["):
        return None
    return d.brief.media[int(field[6:-1])]


def _colour(d: Draft, role: str) -> str:
    return d.brand.color(role) or d.shop.presets.brand("neutral").color(role) or "#000000"


def _layout(d: Draft, segment: Segment, item) -> Layout:
    media, size = d.preset.media, d.spec.resolution
    if not segment.media:
        return Layout()
    asset = d.spec.asset(segment.media[0])
    if not asset.width or not asset.height:
        return Layout()
    asked = item.fit if item is not None else "auto"
    if media.fit == "frame" and asked != "cover":
        cutout = asset.kind == "image" and asset.has_alpha
        return Layout(
            fit="cutout" if cutout else "frame",
            box=d.box(media.box) if media.box else None,
            radius=0 if cutout else round(media.radius * d.scale),
            shadow=media.shadow,
        )
    if media.fit == "contain" and asked != "cover":
        crop = min(media.contain_crop, _spare(d, item, asset.width > asset.height))
        return _contain(d, crop)
    if asked == "auto":
        picture, frame = asset.width / asset.height, size.width / size.height
        lost = 1 - min(picture / frame, frame / picture)
        allowed = min(media.most_crop, _spare(d, item, picture > frame))
        asked = "cover" if lost <= allowed else "contain"
        if asset.has_alpha and asset.kind == "image":
            asked = "contain"
        if asked == "contain":
            crop = min(media.contain_crop, _spare(d, item, picture > frame))
            return _contain(d, crop)
    return Layout(fit="cover") if asked == "cover" else _contain(d, 0.0)


def _contain(d: Draft, crop: float) -> Layout:
    media = d.preset.media
    return Layout(
        fit="contain",
        box=d.box(media.box) if media.box else None,
        anchor=media.anchor,
        crop=round(crop, 4),
    )


def _spare(d: Draft, item, wide: bool) -> float:
    """Share of a picture's width (or height) that a crop may take, so that the declared subject
    stays whole at the camera's largest zoom; all of it where none is declared."""
    if item is None or item.subject is None:
        return 1.0
    x0, y0, x1, y1 = item.subject
    extent = x1 - x0 if wide else y1 - y0
    return max(0.0, 1 - 1.02 * extent * (1 + d.spec.constraints.max_motion))


def _background(d: Draft, segment: Segment) -> Background:
    own = d.preset.background
    colours = [_colour(d, role) for role in own.colors]
    if own.kind != "blur":
        return Background(kind=own.kind, colors=colours)
    # A blurred copy needs a picture to copy; a cut-out's copy would be a smear on nothing.
    see_through = segment.media and d.spec.asset(segment.media[0]).has_alpha
    if not segment.media or see_through:
        return Background(
            kind="gradient", colors=[_colour(d, "ground"), _colour(d, "ground_deep")]
        )
    return Background(kind="blur", colors=[_colour(d, "ink")], darken=own.darken)


def _check_box(d: Draft, i: int, segment: Segment) -> None:
    box, size = segment.layout.box if segment.layout else None, d.spec.resolution
    if box is None:
        return
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= size.width and 0 <= y0 < y1 <= size.height):
        d.error(
            "layout.box",
            f"the box {box} does not lie on a frame of {size.width}x{size.height}.",
            "Give x0, y0, x1, y1 in pixels of the frame.",
            f"segments[{i}].layout.box",
            box=box,
        )

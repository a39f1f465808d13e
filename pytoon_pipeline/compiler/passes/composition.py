"""What stands where on the frame: layout and background of each segment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pytoon_pipeline.briefs.model import MediaItem
from pytoon_pipeline.compiler.arrange import MediaShape, arrange_boxes, choose_arrangement
from pytoon_pipeline.compiler.draft import PlanDraft, Scene
from pytoon_pipeline.compiler.passes.end_card import ID as END_CARD
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.picture.backgrounds import rgb_of
from pytoon_pipeline.picture.contrast import contrast_ratio, relative_luminance
from pytoon_pipeline.picture.cutout import cut_out_product
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Background, Layout, Place, Segment
from pytoon_pipeline.plan.text import TypeStyle

LEGIBLE = 4.5
"""Contrast that a wash gives text before any picture (WCAG 2.1, 1.4.3)."""
MIN_CONTRAST = 3.0
"""Of large text on a colour that its author chose (the same)."""
PICTURE_PARALLAX = 0.03
"""Of a background picture, where the preset names none for its own."""


def compose_scenes(d: PlanDraft) -> None:
    """Give every scene a layout and a background, and check those that its author chose."""
    for i, scene in enumerate(d.scenes):
        segment, item = scene.segment, scene.item
        layout = segment.layout or _choose_layout(d, segment, item)
        if len(segment.media) > 1 and layout.places is None:
            layout = _arranged_layout(d, scene, layout)
        if layout.subject is None and item is not None:
            layout.subject = item.subject
        segment.layout = layout
        chosen = segment.background is not None
        ground = segment.background or _choose_background(d, segment)
        ground = _complete_background(d, scene, ground, chosen)
        segment.background = ground
        # The end card, also that of a plan that comes back, brings words and logo for its own.
        if chosen and segment.id != END_CARD:
            _check_ground(d, scene, ground, layout)
        _check_boxes(d, i, layout)


def _brand_colour(d: PlanDraft, role: str) -> str:
    return d.brand.color(role) or d.shop.presets.brand("neutral").color(role) or "#000000"


# --- media


@dataclass(frozen=True)
class _MediaTreatment:
    """How a picture is taken into an overlay."""

    fit: str
    keyed: bool
    aspect: float


@lru_cache(maxsize=256)
def _read_outline(path: Path, sha256: str, side: int, keys: bool) -> tuple[str, float, str]:
    """What a picture is: `transparent`, `keyed` (cut out of its plain ground) or `opaque`;
    width by height of what is seen of it; and why it can't be cut out, if its ground is plain."""
    picture = load_image(path, min_side=side)
    kind, reason = "transparent", ""
    if picture.shape[2] == 3:
        found = cut_out_product(picture) if keys else None
        if found is None or found.rgba is None:
            return "opaque", picture.shape[1] / picture.shape[0], found.reason if found else ""
        kind, picture = "keyed", found.rgba
    seen = picture[..., 3] > 8
    across, down = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    if not len(across):
        return "transparent", picture.shape[1] / picture.shape[0], ""
    return kind, (across[-1] - across[0] + 1) / (down[-1] - down[0] + 1), reason


def seen_as(d: PlanDraft, asset: Asset, keys: bool) -> tuple[str, float, str]:
    """As `_read_outline`; the pixels of a file can be worse than its head, which is then
    reported."""
    size = d.spec.resolution
    # The size that the compositor loads pictures at, so that both see the same pixels.
    side = 2 * max(size.width, size.height)
    try:
        return _read_outline(d.files[asset.id], asset.sha256, side, keys)
    except UnreadableMediaError as error:
        if not any(p.code == error.code and asset.source in p.message for p in d.problems):
            text = asset.source + error.message.removeprefix(d.files[asset.id].name)
            d.error(error.code, text, error.remedy)
        return "opaque", (asset.width or 1) / (asset.height or 1), ""


def _choose_treatment(d: PlanDraft, asset: Asset, whole: bool) -> _MediaTreatment:
    """A picture with transparency, or on a plain light ground, is a cut-out; all else is a card.
    `whole`: the author wants to see it with its ground."""
    if asset.kind != "image":
        fit = "cutout" if asset.has_alpha else "frame"
        return _MediaTreatment(fit, False, (asset.width or 1) / (asset.height or 1))
    keys = not whole and d.preset.media.fit == "frame"
    kind, aspect, reason = seen_as(d, asset, keys)
    if kind == "keyed":
        d.note(
            f"{asset.source} stands on a plain light ground and is cut out of it; "
            "`fit: contain` shows it as it is."
        )
    elif reason:
        d.note(f"{asset.source} stands on a plain light ground, but {reason}; it is framed.")
    return _MediaTreatment("frame" if kind == "opaque" else "cutout", kind == "keyed", aspect)


def _choose_layout(d: PlanDraft, segment: Segment, item: MediaItem | None) -> Layout:
    media, size = d.preset.media, d.spec.resolution
    if not segment.media:
        return Layout()
    asset = d.spec.asset(segment.media[0])
    if not asset.width or not asset.height:
        return Layout()
    asked = item.fit if item is not None else "auto"
    if len(segment.media) > 1:
        return _frame_layout(d)
    if media.fit == "frame" and asked != "cover":
        look = _choose_treatment(d, asset, whole=asked == "contain")
        layout = _frame_layout(d)
        if look.fit == "cutout" and not look.keyed:
            layout.radius = 0
        layout.fit, layout.keyed = look.fit, look.keyed or None  # type: ignore[assignment]
        return layout
    if media.fit == "contain" and asked != "cover":
        crop = min(_most_crop(d, asset), _spare_share(d, item, asset.width > asset.height))
        return _contain_layout(d, crop)
    if asked == "auto":
        picture, frame = asset.width / asset.height, size.width / size.height
        lost = 1 - min(picture / frame, frame / picture)
        allowed = min(media.most_crop, _spare_share(d, item, picture > frame))
        asked = "cover" if lost <= allowed else "contain"
        if asset.has_alpha and asset.kind == "image":
            asked = "contain"
        if asked == "contain":
            crop = min(_most_crop(d, asset), _spare_share(d, item, picture > frame))
            return _contain_layout(d, crop)
    return Layout(fit="cover") if asked == "cover" else _contain_layout(d, 0.0)


def _most_crop(d: PlanDraft, asset: Asset) -> float:
    """Nothing of a clip with transparency: its shape is all there is to see."""
    return 0.0 if asset.kind == "video" and asset.has_alpha else d.preset.media.contain_crop


def _frame_layout(d: PlanDraft) -> Layout:
    media = d.preset.media
    return Layout(
        fit="frame",
        box=d.box(media.box) if media.box else None,
        radius=round(media.radius * d.scale),
        shadow=media.shadow,
    )


def _arranged_layout(d: PlanDraft, scene: Scene, given: Layout) -> Layout:
    """Several media in one frame, inside the preset's place for media."""
    segment, item = scene.segment, scene.item
    whole = item is not None and item.fit == "contain"
    looks = [_choose_treatment(d, d.spec.asset(m), whole) for m in segment.media]
    shapes = [MediaShape(look.aspect, look.fit == "cutout") for look in looks]
    asked = given.arrange or (item.arrange if item is not None else "auto")
    if asked == "pip" and len(shapes) != 2:
        d.error(
            "media.arrange",
            f"pip shows two media in one frame, not {len(shapes)}.",
            "Give two, or arrange them as split or stack.",
            scene.origin,
        )
        asked = "auto"
    kind = choose_arrangement(shapes) if asked == "auto" else asked
    size = d.spec.resolution
    x0, y0, x1, y1 = given.box or (0, 0, size.width, size.height)
    # A card that touches the edge of the frame is none.
    inset = round(48 * d.scale)
    box = max(x0, inset), max(y0, inset), min(x1, size.width - inset), min(y1, size.height - inset)
    if d.spec.archetype == "hero":
        # Words stand in the upper part of a hero.
        box = box[0], max(box[1], round(600 * d.scale)), box[2], min(box[3], round(1640 * d.scale))
    boxes = arrange_boxes(kind, shapes, box)
    return given.model_copy(
        update={
            "fit": "frame",
            "box": box,
            "arrange": kind,
            "places": [
                Place(box=b, fit=look.fit, keyed=look.keyed)
                for b, look in zip(boxes, looks, strict=True)
            ],
            "shadow": given.shadow or (0.5 if d.spec.archetype != "meme" else 0.0),
        }
    )


def _contain_layout(d: PlanDraft, crop: float) -> Layout:
    media = d.preset.media
    return Layout(
        fit="contain",
        box=d.box(media.box) if media.box else None,
        anchor=media.anchor,
        crop=round(crop, 4),
    )


def _spare_share(d: PlanDraft, item: MediaItem | None, wide: bool) -> float:
    """Share of a picture's width (or height) that a crop may take, so that the declared subject
    stays whole at the camera's largest zoom; all of it where none is declared."""
    if item is None or item.subject is None:
        return 1.0
    x0, y0, x1, y1 = item.subject
    extent = x1 - x0 if wide else y1 - y0
    return max(0.0, 1 - 1.02 * extent * (1 + d.spec.constraints.max_motion))


# --- background


def _choose_background(d: PlanDraft, segment: Segment) -> Background:
    """The preset's."""
    own = d.preset.background
    colours = [_brand_colour(d, role) for role in own.colors]
    if own.kind != "blur":
        return Background(kind=own.kind, colors=colours, light=own.light)
    if not _has_picture_to_copy(d, segment) or _is_all_white(d, segment):
        return _plain_background(d)
    return Background(kind="blur", colors=[_brand_colour(d, "ink")], darken=own.darken)


def _plain_background(d: PlanDraft) -> Background:
    """In place of a blurred copy, where there is nothing to copy: the preset's colours, or the
    brand's ground."""
    roles = d.preset.background.colors or ["ground", "ground_deep"]
    kind = "gradient" if len(roles) > 1 else "color"
    light = d.preset.background.light
    return Background(kind=kind, colors=[_brand_colour(d, role) for role in roles], light=light)


def _has_picture_to_copy(d: PlanDraft, segment: Segment) -> bool:
    """Is there a picture to make a blurred ground of? A cut-out's would be a smear on nothing."""
    layout = segment.layout
    if not segment.media or layout is None:
        return False
    if layout.places:
        pairs = zip(segment.media, layout.places, strict=False)
        return any(
            p.fit == "frame" and d.spec.asset(m).kind == "image" and not d.spec.asset(m).has_alpha
            for m, p in pairs
        )
    return layout.fit != "cutout" and not d.spec.asset(segment.media[0]).has_alpha


def _is_all_white(d: PlanDraft, segment: Segment) -> bool:
    """Is all that could be copied a shot on plain white? Blurred and darkened that is a grey."""
    if d.preset.media.fit != "frame":
        return False
    assets = [d.spec.asset(m) for m in segment.media]
    found = [seen_as(d, a, True) for a in assets if a.kind == "image"]
    return len(found) == len(assets) and all(kind != "opaque" or why for kind, _, why in found)


def _complete_background(
    d: PlanDraft, scene: Scene, ground: Background, chosen: bool
) -> Background:
    """Colours, wash and travel filled in where they were left open, and kept within bounds."""
    segment = scene.segment
    if ground.kind == "picture" and ground.media is None:
        ground = _plain_background(d)
    if ground.kind == "blur" and not _has_picture_to_copy(d, segment):
        if segment.media:
            d.note(f"{segment.id}: a cut-out has nothing to blur; it stands on the brand's ground.")
        ground = _plain_background(d)
    own = [_brand_colour(d, role) for role in d.preset.background.colors]
    colours = [c.upper() for c in ground.colors]
    limits = d.spec.constraints
    if chosen and limits.colors is not None:
        allowed = {c.upper() for c in (*limits.colors, *own)}
        for other in [c for c in colours if c not in allowed]:
            d.note(f"{segment.id}: {other} is not a colour of the brand; its ground is used.")
        colours = [c for c in colours if c in allowed]
    if ground.kind == "gradient" and len(colours) < 2:
        colours = [
            _brand_colour(d, r) for r in d.preset.background.colors or ["ground", "ground_deep"]
        ]
    if not colours:
        bare = "ink" if d.preset.background.kind == "blur" else "ground"
        colours = own[:1] or [_brand_colour(d, bare)]
    changes: dict = {"colors": [c.upper() for c in colours]}
    if ground.kind in ("blur", "picture"):
        if ground.wash is None and (chosen or d.preset.background.kind != "blur"):
            changes["wash"] = _needed_wash(d, scene, ground, colours[0]) or None
        changes["parallax"] = _parallax_travel(d, segment, ground)
    return ground.model_copy(update=changes)


def _parallax_travel(d: PlanDraft, segment: Segment, ground: Background) -> float | None:
    usual = d.preset.background.parallax or (PICTURE_PARALLAX if ground.kind == "picture" else 0.0)
    asked = usual if ground.parallax is None else ground.parallax
    most = d.spec.constraints.max_motion
    if asked > most:
        if ground.parallax is not None:
            d.note(f"{segment.id}: the ground travels {most:g} of the frame's height, no more.")
        asked = most
    return round(asked, 4) or None


def _unplated_styles(styles: Iterable[TypeStyle]) -> list[TypeStyle]:
    """Those that stand on the ground with nothing of their own behind or around them."""
    return [s for s in styles if not s.box and not s.stroke and not s.scrim]


def _scene_styles(d: PlanDraft, scene: Scene) -> list[TypeStyle]:
    names = sorted({line.style for line in scene.lines})
    return _unplated_styles(d.spec.styles[name] for name in names)


def _usual_styles(d: PlanDraft) -> list[TypeStyle]:
    """Where the preset's own ground is a colour: its type, made for the ground that its logo is
    chosen for too."""
    if d.preset.background.kind == "blur":
        return []
    return _unplated_styles(d.spec.styles[role] for role in ("hook", "beat"))


def _needed_wash(d: PlanDraft, scene: Scene, ground: Background, colour: str) -> float:
    """How much of the ground's colour it takes over a picture for words that were made for the
    ground to stay legible before the picture's darkest and brightest possible parts."""
    texts = [relative_luminance(s.color) for s in (*_scene_styles(d, scene), *_usual_styles(d))]
    ends = [0.0, 255 * (1 - ground.darken)]
    for step in range(0, 19):
        wash = step * 0.05
        seen = [
            relative_luminance(
                "#"
                + "".join(f"{round(end * (1 - wash) + part * wash):02X}" for part in rgb_of(colour))
            )
            for end in ends
        ]
        if all(contrast_ratio(text, light) >= LEGIBLE for text in texts for light in seen):
            return round(wash, 2)
    return 0.9


def _check_ground(d: PlanDraft, scene: Scene, ground: Background, layout: Layout) -> None:
    """A ground of the author's choice must be seen, and words must be seen on it."""
    segment, item, field = scene.segment, scene.item, scene.origin
    if item is not None and item.background is None:
        field = "background"
    elif not field.endswith("background"):
        field += ".background"
    if segment.media and layout.fit == "cover" and d.brief is not None:
        d.warn(
            "background.hidden",
            "is not seen: the picture before it fills the frame.",
            "Add `fit: contain` to the picture, or use the archetype overlay.",
            field,
        )
        return
    if ground.kind not in ("color", "gradient"):
        return
    words, logo = _scene_styles(d, scene), _usual_styles(d) if d.brand.logo else []
    for style in (*words, *logo):
        text = relative_luminance(style.color)
        least = min(contrast_ratio(text, relative_luminance(c)) for c in ground.colors)
        if least >= MIN_CONTRAST:
            continue
        good = sorted(
            role
            for role, c in d.brand.colors.items()
            if contrast_ratio(text, relative_luminance(c)) >= LEGIBLE
        )
        say, what = (
            (d.error, f"words of {style.color} on it have")
            if words
            else (d.warn, f"the logo, which the preset chooses to go with {style.color}, has on it")
        )
        say(
            "background.contrast",
            f"{what} a contrast of {least:.1f}:1; {MIN_CONTRAST:g}:1 is the least.",
            f"Of the brand's colours, {', '.join(good) or 'none'} would do.",
            field,
        )
        return


def _check_boxes(d: PlanDraft, i: int, layout: Layout) -> None:
    size = d.spec.resolution
    for box in (layout.box, *(place.box for place in layout.places or ())):
        if box is None:
            continue
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= size.width and 0 <= y0 < y1 <= size.height):
            d.error(
                "layout.box",
                f"the box {box} does not lie on a frame of {size.width}x{size.height}.",
                "Give x0, y0, x1, y1 in pixels of the frame.",
                f"segments[{i}].layout.box",
                box=box,
            )

"""Several media in one frame: where each stands, by their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment import Arrangement


@dataclass(frozen=True)
class MediaShape:
    """What is known of a medium: its width by its height, and whether it is a cut-out, which stands
    on a line, or a card."""

    aspect: float
    stands: bool = False


_FLAT, _NARROW = 2.2, 0.4
"""Shapes beyond these get no more, or no less, room than these would."""
GAP = 0.035
"""Between two media, of the box's width."""
PIP_WIDTH, PIP_HEIGHT = 0.46, 0.4
"""Of the box, at most, for the small one of a picture in a picture."""


def choose_arrangement(shapes: Sequence[MediaShape]) -> Arrangement:
    """The arrangement that suits the shapes: landscape pictures lie one above the other, a product
    before its scene or a picture of another format sits in its corner, all else side by side."""
    cards = [s for s in shapes if not s.stands]
    if len(cards) == len(shapes) and all(s.aspect >= 1.2 for s in shapes):
        return "stack"
    if len(shapes) == 2 and not shapes[0].stands:
        mixed = (shapes[0].aspect >= 1.2) != (shapes[1].aspect >= 1.2)
        if shapes[1].stands or mixed:
            return "pip"
    return "split"


def arrange_boxes(kind: Arrangement, shapes: Sequence[MediaShape], box: Box) -> list[Box]:
    """A box for each shape, of just its form, all inside `box`; disjoint but for `pip`, which takes
    two shapes."""
    if kind == "pip":
        return _arrange_picture_in_picture(shapes[0], shapes[1], box)
    if kind == "stack":
        return _arrange_stack(shapes, box)
    rows = [shapes] if len(shapes) < 4 else [shapes[:2], shapes[2:]]
    x0, y0, x1, y1 = box
    gap = GAP * (x1 - x0)
    high = (y1 - y0 - gap * (len(rows) - 1)) / len(rows)
    found: list[Box] = []
    for n, row in enumerate(rows):
        top = y0 + n * (high + gap)
        found += _arrange_row(row, (x0, top, x1, top + high), gap)
    return found


def _whole_pixel_box(x0: float, y0: float, x1: float, y1: float) -> Box:
    """Whole pixels inside these edges."""
    left, top = int(x0 + 0.999), int(y0 + 0.999)
    return left, top, max(left + 2, int(x1)), max(top + 2, int(y1))


def _arrange_row(shapes: Sequence[MediaShape], area: tuple[float, ...], gap: float) -> list[Box]:
    """Side by side at one height as far as they can be, on one line if any of them stands."""
    x0, y0, x1, y1 = area
    room, high = x1 - x0 - gap * (len(shapes) - 1), y1 - y0
    forms = [min(_FLAT, max(_NARROW, s.aspect)) for s in shapes]
    one = min(high, room / sum(forms))
    sizes = []
    for shape, form in zip(shapes, forms, strict=True):
        height = min(one, form * one / shape.aspect)
        sizes.append((height * shape.aspect, height))
    # What the height leaves of the width goes around the media, not between them alone.
    spare = room - sum(w for w, _ in sizes)
    between = gap + spare / (len(shapes) + 1)
    tallest = max(h for _, h in sizes)
    line = (y0 + y1 + tallest) / 2
    left = x0 + spare / (len(shapes) + 1)
    found = []
    for w, h in sizes:
        low = line if any(s.stands for s in shapes) else line - (tallest - h) / 2
        found.append(_whole_pixel_box(left, low - h, left + w, low))
        left += w + between
    return found


def _arrange_stack(shapes: Sequence[MediaShape], box: Box) -> list[Box]:
    x0, y0, x1, y1 = box
    width, high = x1 - x0, y1 - y0
    gap = GAP * width
    room = high - gap * (len(shapes) - 1)
    forms = [min(_FLAT, max(_NARROW, s.aspect)) for s in shapes]
    across = min(width, room / sum(1 / f for f in forms))
    sizes = []
    for shape, form in zip(shapes, forms, strict=True):
        w = min(across, across / form * shape.aspect)
        sizes.append((w, w / shape.aspect))
    top = (y0 + y1 - sum(h for _, h in sizes) - gap * (len(shapes) - 1)) / 2
    found = []
    for w, h in sizes:
        left = (x0 + x1 - w) / 2
        found.append(_whole_pixel_box(left, top, left + w, top + h))
        top += h + gap
    return found


def _arrange_picture_in_picture(large: MediaShape, small: MediaShape, box: Box) -> list[Box]:
    """The second over the lower right corner of the first and beyond it; further below a flat
    first one, which leaves room there."""
    x0, y0, x1, y1 = box
    width, high = x1 - x0, y1 - y0
    w2 = min(PIP_WIDTH * width, PIP_HEIGHT * high * small.aspect)
    h2 = w2 / small.aspect
    down, right = (0.6 if large.aspect >= 1.2 else 0.35) * h2, 0.1 * w2
    w1 = min(width - right, (high - down) * large.aspect)
    h1 = w1 / large.aspect
    # A first one that is flatter or narrower than its share still holds its guest inside the box.
    across, tall = max(w1 + right, w2), max(h1 + down, h2)
    left, top = (x0 + x1 - across) / 2, (y0 + y1 - tall) / 2
    first = _whole_pixel_box(
        left + across - right - w1, top + tall - down - h1, left + across - right, top + tall - down
    )
    return [first, _whole_pixel_box(left + across - w2, top + tall - h2, left + across, top + tall)]

"""Where things stand: media of a shape in a box, the ground behind them. Windows are in even
pixels, for 4:2:0."""

from __future__ import annotations

from pytoon_pipeline.picture.layers import Placement, Placing
from pytoon_pipeline.picture.motion import ease_in_out
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment_jobs import SegmentJob


def whole_frame(job: SegmentJob) -> Box:
    return 0, 0, job.width, job.height


def fit_box(box: Box, w: float, h: float, anchor_top: bool = False) -> Box:
    """The largest even window of the picture's own shape inside a box."""
    x0, y0, x1, y1 = box
    scale = min((x1 - x0) / w, (y1 - y0) / h)
    width, height = max(2, int(w * scale / 2) * 2), max(2, int(h * scale / 2) * 2)
    left = (x0 + (x1 - x0 - width) // 2) // 2 * 2
    top = y0 if anchor_top else y0 + (y1 - y0 - height) // 2
    return left, top // 2 * 2, left + width, top // 2 * 2 + height


def contained_window(job: SegmentJob, w: int, h: int) -> Box:
    """Where a picture of w x h stands: as large as its box lets it, less what may be cropped."""
    box = job.layout.box or whole_frame(job)
    shape, place = w / h, (box[2] - box[0]) / (box[3] - box[1])
    kept = 1 - job.layout.crop
    shape = max(place, shape * kept) if shape > place else min(place, shape / kept)
    return fit_box(box, shape, 1.0, anchor_top=job.layout.anchor == "top")


def cover_size(w: int, h: int, width: int, height: int) -> tuple[int, int]:
    """Even size at which a picture of w x h just covers width x height."""
    scale = max(width / w, height / h)
    return max(width, round(w * scale / 2) * 2), max(height, round(h * scale / 2) * 2)


def grown_side(side: int, travel: float) -> int:
    """Even length of a ground that covers a side of the frame wherever it moves."""
    return (int(side * (1 + travel)) // 2 + 1) * 2


def make_drift(job: SegmentJob, width: int, height: int, scale: float) -> Placing:
    """The ground's slow way against the media: eased, along the pan of the camera or downwards, its
    travel the share of the frame's height (or width) that the plan allows."""
    kind, travel = job.motion.kind, job.background.parallax or 0.0
    across = kind in ("pan_left", "pan_right")
    sign = -1 if kind in ("pan_left", "pan_up") else 1

    def place_at(index: int) -> Placement:
        t = ease_in_out(index / (job.count - 1)) if job.count > 1 else 0.5
        shift = sign * (t - 0.5) * travel
        x, y = (shift * job.width, 0.0) if across else (0.0, shift * job.height)
        return Placement(width / 2, height / 2, job.width / 2 + x, job.height / 2 + y, scale)

    return place_at

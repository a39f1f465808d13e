"""Move the camera: where the picture stands at each frame, eased and to a fraction of a pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass


def ease_in_out(t: float) -> float:
    """Ease 0..1 to 0..1, soft at both ends but never at rest: half straight, half smoothstep, so
    that a movement still lives at its first and last frame, where transitions lie."""
    t = min(1.0, max(0.0, t))
    return 0.5 * t + 0.5 * t * t * (3 - 2 * t)


def ease_out(t: float) -> float:
    """Ease 0..1 to 0..1, fast and then settling: what enters comes to rest (cubic)."""
    t = min(1.0, max(0.0, t))
    return 1 - (1 - t) ** 3


def ease_with_overshoot(t: float, amount: float = 1.2) -> float:
    """Ease 0..1 to 0..1 with one small overshoot ("back" easing): a pop."""
    t = min(1.0, max(0.0, t)) - 1
    return 1 + (amount + 1) * t**3 + amount * t**2


@dataclass(frozen=True)
class CameraPose:
    """Where the camera stands: zoom relative to the fitted size, and the point of the picture
    (0..1 across its free play, 0.5 in the middle) that it looks at; `dy` in heights of the fitted
    picture is a shift of the picture itself."""

    zoom: float
    x: float = 0.5
    y: float = 0.5
    dy: float = 0.0


FLOAT_SECONDS = 4.0


def compute_pose(
    kind: str, amount: float, focus: tuple[float, float], frame: int, frames: int, rate: int
) -> CameraPose:
    """Return the camera of a motion at a frame of `frames`, at `rate` frames per second.

    Zoom runs from 1 to 1 + amount. Pans hold 1 + amount and travel through the play that this
    gives, and at most as far again where the picture is larger than the frame.
    """
    t = ease_in_out(frame / (frames - 1)) if frames > 1 else 0.0
    fx, fy = focus
    if kind == "push_in":
        return CameraPose(1 + amount * t, fx, fy)
    if kind == "pull_out":
        return CameraPose(1 + amount * (1 - t), fx, fy)
    if kind == "float":
        # A whole number of half swings would end at rest on the cut; time drives it instead.
        swing = math.sin(2 * math.pi * frame / (FLOAT_SECONDS * rate))
        return CameraPose(1 + 0.5 * amount * t, fx, fy, dy=0.22 * amount * swing)
    if kind.startswith("pan_"):
        forward = kind in ("pan_right", "pan_down")
        travel = t if forward else 1 - t
        if kind in ("pan_left", "pan_right"):
            return CameraPose(1 + amount, travel, fy)
        return CameraPose(1 + amount, fx, travel)
    return CameraPose(1.0, fx, fy)


def largest_zoom(kind: str, amount: float) -> float:
    """Return the most a motion magnifies the fitted picture."""
    return {"still": 1.0, "float": 1 + 0.5 * amount}.get(kind, 1 + amount)

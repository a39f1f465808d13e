"""Logos: cut out of a plain background, in a light and a dark version, and their colours.

Pictures are uint8 (h, w, 4) with straight alpha, sRGB. Equal pixels give equal results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from pytoon_pipeline.picture.contrast import contrast_ratio, relative_luminance

READABLE = 4.5
"""Contrast of words to what they stand on (WCAG 2.1, 1.4.3)."""
LOST = 2.0
"""A logo with less contrast than this to its background is as good as gone."""
LARGEST = 1600
"""Pixels of a logo's longer side; no frame shows more."""
_PLAIN = 14.0
"""CIELAB distance within which the pixels of a border are one plain background, with a JPEG's
noise."""
_GREY = 14.0
"""CIELAB chroma below which a colour has no hue of its own."""
_OPAQUE = 0.5


@dataclass(frozen=True)
class Logo:
    """A logo as a kit can use it."""

    rgba: np.ndarray
    """Without its plain background and without empty edges."""
    ground: str | None
    """The plain background that it was taken out of, as #RRGGBB."""
    opaque: bool
    """It fills its whole rectangle, which will show as a box."""
    colours: tuple[tuple[str, float], ...]
    """#RRGGBB and share of its pixels, the commonest first; at most five."""


def read_logo(picture: np.ndarray) -> Logo:
    """Examine a picture, uint8 (h, w, 3) or (h, w, 4)."""
    rgba = _with_alpha(_reduce_logo(picture))
    ground = None
    if rgba[..., 3].min() > 250:
        found = _plain_ground(rgba)
        if found is not None:
            ground = _as_hex(found)
            rgba = _without_ground(rgba, found)
    rgba = _trim_empty_edges(rgba)
    seen = rgba[..., 3] > 255 * _OPAQUE
    return Logo(rgba, ground, bool(rgba[..., 3].min() > 250), _rank_colours(rgba[seen]))


def _with_alpha(picture: np.ndarray) -> np.ndarray:
    if picture.shape[2] == 4:
        return picture.copy()
    return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])


def _reduce_logo(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if picture.shape[2] == 3:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    # Weighed by alpha, or colours that nobody sees bleed in at the edges.
    alpha = picture[..., 3:].astype(np.float32) / 255
    weighed = cv2.resize(picture[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    colour = weighed / np.maximum(small, 1e-4)
    return np.clip(np.rint(np.dstack([colour, small * 255])), 0, 255).astype(np.uint8)


def _pixels_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of uint8 pixels (..., 3)."""
    flat = rgb.reshape(1, -1, 3).astype(np.float32) / 255
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(rgb.shape)


def _as_hex(colour: np.ndarray) -> str:
    red, green, blue = (int(round(float(c))) for c in colour[:3])
    return f"#{red:02X}{green:02X}{blue:02X}"


def _plain_ground(rgba: np.ndarray) -> np.ndarray | None:
    """The colour of the border, where it is one colour nearly all around."""
    edges = [rgba[0], rgba[-1], rgba[:, 0], rgba[:, -1]]
    border = np.concatenate(edges)[:, :3]
    middle = np.median(border, axis=0)
    away = np.linalg.norm(
        _pixels_to_lab(border) - _pixels_to_lab(middle[None].astype(np.uint8)), axis=1
    )
    return middle if (away < _PLAIN).mean() >= 0.97 else None


def _without_ground(rgba: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """A logo of one ink is solved for its ink; of one with several colours the background around it
    and in the counters of its letters is taken, and what else it encloses is part of it."""
    rgb = rgba[..., :3].astype(np.float32)
    away = np.linalg.norm(
        _pixels_to_lab(rgba[..., :3]) - _pixels_to_lab(ground[None].astype(np.uint8)), axis=2
    )
    inside = away > _PLAIN
    if not inside.any():
        return rgba
    strongest = away >= np.percentile(away[inside], 75)
    ink = np.median(rgb[strongest], axis=0)
    along = ink - ground
    share = ((rgb - ground) @ along / max(1.0, float(along @ along))).clip(0, 1)
    rest = np.abs(rgb - (ground + share[..., None] * along)).max(axis=2)
    if (rest[inside] < 40).mean() > 0.97:  # Every pixel is a mixture of background and ink.
        solved = np.empty_like(rgba)
        solved[..., :3] = ink
        solved[..., 3] = np.rint(255 * np.where(share < 0.04, 0, share))
        return solved
    around = _surrounding_pixels(away <= _PLAIN) | _enclosed_pixels(away <= _PLAIN)
    # Edges are mixtures; half a pixel of softness hides the step.
    soft = cv2.GaussianBlur((~around).astype(np.float32), (0, 0), 0.6)
    result = rgba.copy()
    result[..., 3] = np.rint(255 * np.where(around, np.minimum(soft, 0.4), soft))
    result[around & (soft < 0.05), 3] = 0
    return result


def _surrounding_pixels(plain: np.ndarray) -> np.ndarray:
    """The plain pixels that are joined to the border."""
    count, labels = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    joined = np.zeros(count, bool)
    joined[np.unique(border)] = True
    joined[0] = False
    return joined[labels]


def _enclosed_pixels(plain: np.ndarray) -> np.ndarray:
    """The plain pixels that a letter or a ring encloses. What a large shape encloses is drawn on
    it, and stays, when it is of several parts, or is not simply round."""
    count, holes, stats, _ = cv2.connectedComponentsWithStats(
        (plain & ~_surrounding_pixels(plain)).astype(np.uint8), connectivity=4
    )
    shapes, shape_of, sizes, _ = cv2.connectedComponentsWithStats((~plain).astype(np.uint8))
    inside: dict[int, list[int]] = {}
    for number in range(1, count):
        x, y, w, h, _ = stats[number]
        window = (slice(max(0, y - 1), y + h + 1), slice(max(0, x - 1), x + w + 1))
        ring = cv2.dilate((holes[window] == number).astype(np.uint8), np.ones((3, 3), np.uint8))
        touched = shape_of[window][(ring > 0) & (shape_of[window] > 0)]
        if len(touched):
            inside.setdefault(int(np.bincount(touched).argmax()), []).append(number)
    logo = float((~plain).any(axis=0).sum() * (~plain).any(axis=1).sum())
    emptied = np.zeros(count, bool)
    for shape, numbers in inside.items():
        large = sizes[shape][2] * sizes[shape][3] > 0.2 * logo
        drawn_on = len(numbers) > 2 or any(_measure_solidity(holes == n) < 0.85 for n in numbers)
        if not (large and drawn_on):
            emptied[numbers] = True
    return emptied[holes]


def _measure_solidity(mask: np.ndarray) -> float:
    """Area by that of the convex hull: 1 of what is simply round."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    hull = cv2.contourArea(cv2.convexHull(points)) if points is not None else 0.0
    return float(mask.sum()) / max(1.0, float(hull))


def _trim_empty_edges(rgba: np.ndarray) -> np.ndarray:
    """Without empty edges, which would make it stand smaller than it is."""
    seen = rgba[..., 3] > 8
    if not seen.any():
        return rgba
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return np.ascontiguousarray(rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _rank_colours(pixels: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The commonest colours of pixels (n, 4), those that look alike taken together."""
    if not len(pixels):
        return ()
    few = pixels[:: max(1, len(pixels) // 40_000), :3]
    bins, counts = np.unique(few >> 4, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    groups: list[tuple[np.ndarray, int]] = []
    for index in order[:64]:
        lab = _pixels_to_lab((bins[index] * 16 + 8).astype(np.uint8)[None])[0]
        for number, (middle, weight) in enumerate(groups):
            if np.linalg.norm(lab - middle) < 22:
                groups[number] = middle, weight + int(counts[index])
                break
        else:
            groups.append((lab, int(counts[index])))
    groups.sort(key=lambda group: -group[1])
    lab_of = _pixels_to_lab(few)
    found = []
    for middle, weight in groups[:5]:
        near = np.linalg.norm(lab_of - middle, axis=1) < 22
        if near.any() and weight / len(few) >= 0.02:
            found.append((_as_hex(np.median(few[near], axis=0)), round(weight / len(few), 3)))
    return tuple(found)


# Versions ----------------------------------------------------------------------------------------


def light_version(logo: Logo, light: str) -> np.ndarray | None:
    """Return the logo for pictures: what is dark grey or black in it and stands free becomes
    `light`; a logo of one ink that is not light becomes so as a whole. None where nothing changes.
    """
    return _recolour_logo(logo, light, lambda lightness: lightness < 45, lambda ink: ink < 62)


def dark_version(logo: Logo, dark: str) -> np.ndarray | None:
    """Return the logo for light backgrounds: what is white or light grey in it and stands free
    becomes `dark`; a logo of one light ink becomes so as a whole. None where nothing changes."""
    return _recolour_logo(logo, dark, lambda lightness: lightness > 72, lambda ink: ink > 62)


def _recolour_logo(
    logo: Logo,
    colour: str,
    wanted: Callable[[np.ndarray], np.ndarray],
    wanted_ink: Callable[[float], bool],
) -> np.ndarray | None:
    """Letters and marks stand free when more than half of what touches them is transparent; what
    lies on a shape of the logo keeps its colour."""
    if logo.opaque:
        return None
    rgba = logo.rgba
    target = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    seen = rgba[..., 3] > 255 * _OPAQUE
    lab = _pixels_to_lab(rgba[..., :3])
    if len(logo.colours) == 1:
        if not wanted_ink(float(np.median(lab[seen][:, 0]))):
            return None
        result = rgba.copy()
        result[..., :3] = target
        return result
    chosen = seen & wanted(lab[..., 0]) & (np.hypot(lab[..., 1], lab[..., 2]) < _GREY + 6)
    free = _standing_free(chosen, seen)
    if not free.any():
        return None
    # The half-transparent edge goes with the shape it belongs to.
    edge = cv2.dilate(free.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2) > 0
    result = rgba.copy()
    result[free | (edge & ~seen), :3] = target
    return result


def _standing_free(chosen: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The shapes among the chosen pixels that are mostly surrounded by nothing."""
    # What lies outside of the picture is nothing, too.
    shapes = np.pad(chosen.astype(np.uint8), 4)
    empty = np.pad(~seen, 4, constant_values=True)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(shapes)
    free = np.zeros(count, bool)
    for number in range(1, count):
        x, y, w, h, _ = stats[number]
        window = (slice(y - 3, y + h + 3), slice(x - 3, x + w + 3))
        shape = (labels[window] == number).astype(np.uint8)
        ring = (cv2.dilate(shape, np.ones((3, 3), np.uint8), iterations=3) > 0) & (shape == 0)
        free[number] = empty[window][ring].mean() > 0.5
    return free[labels][4:-4, 4:-4]


def luminance_of(rgba: np.ndarray) -> float:
    """Return the mean relative luminance of the pixels that are seen, 0..1."""
    seen = rgba[..., 3] > 127
    if not seen.any():
        return 1.0
    values = rgba[seen][:, :3].astype(np.float32) / 255
    return float((values**2.2 @ np.array([0.2126, 0.7152, 0.0722], np.float32)).mean())


# Colours -----------------------------------------------------------------------------------------


def contrast_of(a: str, b: str) -> float:
    """Return the contrast of two colours, 1..21."""
    return contrast_ratio(relative_luminance(a), relative_luminance(b))


def readable_near(colour: str, grounds: tuple[str, ...], least: float = READABLE) -> str:
    """Return the colour nearest in lightness, of the same hue, that has enough contrast to all of
    some others; black or white where none has."""
    lab = _pixels_to_lab(np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)]], np.uint8))[0]
    for step in range(0, 101):
        for sign in (-1, 1):
            lightness = float(lab[0]) + sign * step
            if not 0 <= lightness <= 100:
                continue
            # Near black and white there is less room for a hue.
            share = min(1.0, (100 - lightness) / 12, (lightness + 4) / 12)
            made = _of_lab(lightness, float(lab[1]) * share, float(lab[2]) * share)
            if all(contrast_of(made, g) >= least + 0.02 for g in grounds):
                return made
    plain = ("#000000", "#FFFFFF")
    return max(plain, key=lambda c: min(contrast_of(c, g) for g in grounds))


def _of_lab(lightness: float, a: float, b: float) -> str:
    rgb = cv2.cvtColor(np.array([[[lightness, a, b]]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
    return _as_hex(np.clip(rgb, 0, 1) * 255)


def propose_colours(logo: Logo) -> dict[str, str]:
    """Return colours for every role of a kit, of the logo's own hues: its strongest colour for
    plates, pale and dark tints of it for backgrounds, and words that are readable on each."""
    labs = {
        c: _pixels_to_lab(np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)]], np.uint8))[0]
        for c, _ in logo.colours
    }
    shares = dict(logo.colours)

    def chroma_of(colour: str) -> float:
        return float(np.hypot(labs[colour][1], labs[colour][2]))

    hues = [c for c in labs if chroma_of(c) >= _GREY]
    strongest = max(hues, key=lambda c: (shares[c] ** 0.5 * chroma_of(c), c), default=None)
    angle = float(np.arctan2(labs[strongest][2], labs[strongest][1])) if strongest else 0.0

    def make_tint(lightness: float, strength: float) -> str:
        strength = strength if strongest else 0.0
        return _of_lab(lightness, strength * float(np.cos(angle)), strength * float(np.sin(angle)))

    text, ink = make_tint(98.5, 1.5), make_tint(8.5, 5)
    dark = [c for c in hues if 14 < labs[c][0] < 38 and c != strongest]
    deep = max(dark, key=lambda c: (shares[c], c), default=make_tint(27, 24))
    accent = strongest or make_tint(20, 0)
    # Light words on a strong colour look right to most, where it need hardly be darkened for them.
    light = contrast_of(text, accent) >= min(3.3, contrast_of(ink, accent))
    on_accent = text if light else ink
    if contrast_of(on_accent, accent) < READABLE:
        accent = readable_near(accent, (on_accent,))
    deep = readable_near(deep, (text,), 7.0)
    ground, ground_deep, on_ground = make_tint(94, 5), make_tint(84, 11), ink
    lost = contrast_ratio(luminance_of(logo.rgba), relative_luminance(ground)) < LOST
    if lost and not logo.opaque and dark_version(logo, ink) is None:
        # A light logo of several colours, which would not be seen on a pale background.
        ground, ground_deep, on_ground = deep, make_tint(10, 9), text
    return {
        "text": text,
        "accent": accent,
        "on_accent": on_accent,
        "ground": ground,
        "ground_deep": ground_deep,
        "on_ground": on_ground,
        "deep": deep,
        "deep_low": make_tint(10, 9),
        "on_deep": text,
        "paper": "#FFFFFF",
        "on_paper": ink,
        "ink": ink,
    }

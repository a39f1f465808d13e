"""A product that was photographed on a plain light background, without that background.

The background is what joins the picture's border and looks like it, and what is seen of it through
a handle or a frame; other light parts inside the product stay. Colours are compared in CIELAB,
where a distance of 2.3 is just noticed (CIE 1976). Everything is worked out at one size, so that
the compiler and the engine come to the same verdict."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WORK_SIDE = 1600
"""The longer side that a picture is keyed at, at most: what a frame of 1080x1920 can show."""
PLAIN = 5.0
"""Distance in CIELAB up to which a colour is that of the background."""
DARKEST_SHADOW = 34.0
"""How much darker (L*) than the background a shadow on it is, at most."""
THIN = 0.07
"""Of the product's shorter side: the thickest handle or frame that a hole is looked for behind."""


@dataclass(frozen=True)
class Cutout:
    """What came of an attempt."""

    rgba: np.ndarray | None
    """The product, uint8 (h, w, 4) with straight alpha, untrimmed; None where it can't be had."""
    plain: bool
    """The picture stands on a plain light background at all."""
    reason: str = ""
    """Why the product could not be cut out of it."""


def cut_out_product(rgb: np.ndarray) -> Cutout:
    """Remove the plain background from an opaque picture, uint8 (h, w, 3)."""
    rgb = _reduce_picture(rgb)
    if min(rgb.shape[:2]) < 24:
        return Cutout(None, False)
    lab = _rgb_to_lab(rgb)
    background = _fit_background_plane(lab)
    if background is None:
        return Cutout(None, False)
    mask = _find_product_mask(lab, background)
    reason = _describe_mask_fault(mask, lab, background)
    if reason:
        return Cutout(None, True, reason)
    return Cutout(_make_matte(rgb, mask), True)


def _reduce_picture(rgb: np.ndarray) -> np.ndarray:
    h, w = rgb.shape[:2]
    scale = WORK_SIDE / max(h, w)
    if scale >= 1:
        return np.ascontiguousarray(rgb)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB, float32 (h, w, 3), less the finest noise of film and JPEG."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 0.7).astype(np.float32) / 255
    return cv2.cvtColor(soft, cv2.COLOR_RGB2LAB)


def _fit_background_plane(lab: np.ndarray) -> np.ndarray | None:
    """The background's colour at every pixel, float32 (h, w, 3): a plane through the colours of the
    border, for light falls off. None where the border is not of one light colour."""
    h, w = lab.shape[:2]
    n = max(2, round(0.012 * min(h, w)))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    at = np.stack([np.ones_like(x), x / w - 0.5, y / h - 0.5], axis=-1)
    sides: list[slice | tuple[slice, slice]] = [np.s_[:n], np.s_[-n:], np.s_[:, :n], np.s_[:, -n:]]
    colours = np.concatenate([lab[s].reshape(-1, 3) for s in sides])
    places = np.concatenate([at[s].reshape(-1, 3) for s in sides])
    middle = np.median(colours, axis=0)
    near = np.abs(colours - middle).max(axis=1) < 12
    if middle[0] < 84 or np.hypot(*middle[1:]) > 12 or near.mean() < 0.7:
        return None
    plane, *_ = np.linalg.lstsq(places[near], colours[near], rcond=None)
    background = (at @ plane.astype(np.float32)).astype(np.float32)
    far = _measure_distance(lab, background)
    shares = [float((far[s] < PLAIN).mean()) for s in sides]
    # A product may be cropped by one edge; three sides must be all background.
    return background if sorted(shares)[1] > 0.97 and np.mean(shares) > 0.7 else None


def _measure_distance(lab: np.ndarray, background: np.ndarray) -> np.ndarray:
    return np.sqrt(((lab - background) ** 2).sum(axis=-1))


def _select_joined(candidate: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The parts of a mask that touch any of the seeds."""
    count, labels = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    touched = np.zeros(count, bool)
    touched[np.unique(labels[seeds & candidate])] = True
    touched[0] = False
    return touched[labels]


def _border_mask(h: int, w: int) -> np.ndarray:
    edge = np.zeros((h, w), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    return edge


def _disc_kernel(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x**2 + y**2 <= (radius + 0.4) ** 2).astype(np.uint8)


def _find_product_mask(lab: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Bool (h, w): what is neither background nor the background's own shadow."""
    h, w = lab.shape[:2]
    reach = max(1, round(min(h, w) / 500))
    like = _measure_distance(lab, background) < PLAIN
    # Through a gap of a pixel or two in an edge the background must not run into the product.
    wide = cv2.morphologyEx(like.astype(np.uint8), cv2.MORPH_OPEN, _disc_kernel(reach)) > 0
    wide |= like & _border_mask(h, w)
    plain = _select_joined(wide, _border_mask(h, w))
    plain = like & (cv2.dilate(plain.astype(np.uint8), _disc_kernel(reach + 1)) > 0)
    without = _without_shadow(lab, background, plain)
    # A pale product looks like a shadow all over: then what was removed was more than one.
    kept, all_of_it = ~without, ~plain
    if kept.sum() > 0.6 * all_of_it.sum():
        plain = without
    plain = plain | _seen_through(lab, background, plain)
    mask = ~plain
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count > 1:
        areas = stats[1:, cv2.CC_STAT_AREA]
        small = 1 + np.flatnonzero(areas < max(30, 0.004 * areas.max()))
        mask &= ~np.isin(labels, small)
    # Noise of the camera and of JPEG makes teeth in an outline; a product has none so fine.
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.4) > 0.5


def _seen_through(lab: np.ndarray, background: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Holes: parts enclosed by the product that are just as the background is, and which for most
    of their outline only a thin part of the product keeps apart from it. A white label is farther
    in, and shaded."""
    far = _measure_distance(lab, background)
    rows, columns = np.flatnonzero(~plain.all(axis=1)), np.flatnonzero(~plain.all(axis=0))
    if not len(rows):
        return np.zeros_like(plain)
    side = min(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    apart = cv2.distanceTransform((~plain).astype(np.uint8), cv2.DIST_L2, 5)
    enclosed = ((far < PLAIN) & ~plain).astype(np.uint8)
    enclosed = cv2.morphologyEx(enclosed, cv2.MORPH_OPEN, _disc_kernel(2))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(enclosed, connectivity=4)
    found = np.zeros_like(plain)
    for n in range(1, count):
        if stats[n, cv2.CC_STAT_AREA] < 4e-4 * (~plain).sum():
            continue
        part = labels == n
        rim = part & (cv2.erode(part.astype(np.uint8), _disc_kernel(1)) == 0)
        near = float((apart[rim] < max(6.0, THIN * side)).mean())
        if near > 0.6 and float(far[part].mean()) < 2.0:
            found |= (cv2.dilate(part.astype(np.uint8), _disc_kernel(3)) > 0) & (far < PLAIN)
    return found


def _without_shadow(lab: np.ndarray, background: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """The background with the soft shadows that lie on it: a little darker, of the same hue,
    without an edge of their own, and joined to it."""
    darker = background[..., 0] - lab[..., 0]
    hue = np.hypot(lab[..., 1] - background[..., 1], lab[..., 2] - background[..., 2])
    light = np.ascontiguousarray(lab[..., 0])
    slope = np.hypot(
        cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=1 / 8),
    )
    steep = 2.2 * 800 / max(800, min(light.shape))
    shade = (darker > -PLAIN) & (darker < DARKEST_SHADOW) & (hue < 4.5) & (slope < steep)
    return _select_joined(plain | shade, plain) | plain


def _describe_mask_fault(mask: np.ndarray, lab: np.ndarray, background: np.ndarray) -> str:
    """What keeps a mask from being a clean cut-out; nothing if it is one."""
    h, w = mask.shape
    share = float(mask.mean())
    if share < 0.02:
        return "nothing stands out from its background"
    if share > 0.94:
        return "the background is hardly seen"
    edge = _border_mask(h, w)
    if float(mask[edge].mean()) > 0.02:
        return "the picture's edge cuts the product"
    solid = mask.astype(np.uint8)
    rim = (cv2.dilate(solid, _disc_kernel(2)) > 0) & ~(cv2.erode(solid, _disc_kernel(3)) > 0) & mask
    inner = (cv2.erode(solid, _disc_kernel(2)) > 0) & ~(cv2.erode(solid, _disc_kernel(5)) > 0)
    seen = inner if inner.sum() > 50 else rim
    # An edge nearly as light as the background is one that was guessed.
    faint = _measure_distance(lab, background)[seen] < 2.2 * PLAIN
    if float(faint.mean()) > 0.22:
        return "its outline is too faint"
    return ""


def _make_matte(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The product with soft edges and its own colour up to them.

    At an edge a camera mixes product and background: c = a f + (1 - a) b. With f, the product's
    colour a few pixels inside, and b, the background's a few pixels outside, a is the projection of
    c - b on f - b, and what is kept of the colour is f: no rim of the old background remains."""
    picture = rgb.astype(np.float32)
    solid = mask.astype(np.uint8)
    inside = cv2.erode(solid, _disc_kernel(4)) > 0
    # Parts thinner than that (a handle, a wire) keep their middle.
    thin = mask & ~(cv2.dilate(inside.astype(np.uint8), _disc_kernel(7)) > 0)
    ridge = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    inside |= thin & (ridge >= cv2.dilate(ridge, _disc_kernel(2)))
    outside = ~(cv2.dilate(solid, _disc_kernel(3)) > 0)
    front, back = _spread_colours(picture, inside), _spread_colours(picture, outside)
    towards = front - back
    length = np.maximum((towards**2).sum(axis=-1), 1e-3)
    share = ((picture - back) * towards).sum(axis=-1) / length
    # Where both are nearly of a colour the projection is noise; the mask itself, softened, is not.
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.9)
    sure = np.clip((np.sqrt(length) - 20) / 40, 0, 1)
    alpha = np.clip(share, 0, 1) * sure + soft * (1 - sure)
    band = (cv2.dilate(solid, _disc_kernel(2)) > 0) & ~(cv2.erode(solid, _disc_kernel(3)) > 0)
    alpha = np.where(band, alpha, mask.astype(np.float32))
    # A last thousandth of background along the edge is seen on a dark background: draw in by a
    # little.
    alpha = np.clip((alpha - 0.08) / 0.87, 0, 1)
    own = np.where((band & ~inside & (share < 0.98))[..., None], front, picture)
    out = np.concatenate([own, 255 * alpha[..., None]], axis=-1)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def _spread_colours(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The picture's colours where they are known, carried outwards to where they are not."""
    known = where.astype(np.float32)
    out, missing = picture.copy(), ~where
    for sigma in (1.5, 3.0, 8.0):
        weight = cv2.GaussianBlur(known, (0, 0), sigma)
        colour = cv2.GaussianBlur(picture * known[..., None], (0, 0), sigma)
        reach = missing & (weight > 1e-3)
        out[reach] = colour[reach] / weight[reach][:, None]
        missing &= ~reach
    return out

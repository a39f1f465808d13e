"""Develops the raw renders into the campaign's pictures (needs numpy, opencv, Pillow).

python docs/demo-media/finish.py [names]

A whisper of film grain, a soft vignette and a little bloom; cut-outs get their
colour bled under the edge (no fringe) and are trimmed to a 6 % margin.
"""
import pathlib
import sys
import tempfile

import cv2
import numpy as np
from PIL import Image

REPO = pathlib.Path(__file__).resolve().parents[2]
RAW = pathlib.Path(tempfile.gettempdir()) / "pytoon-demo-media"
OUT = REPO / "briefs" / "morrow"
JOBS = {
    "front": "kettle/front.jpg", "detail": "kettle/detail.jpg",
    "table": "kettle/table.jpg", "wide": "kettle/wide.jpg",
    "candle": "candle-offer/candle.png", "handwash": "candle-offer/handwash.png",
    "pair": "candle-offer/pair.jpg",
    "mugs": "monday/mugs.jpg", "cactus": "monday/cactus.jpg",
}
MARGIN = 0.06
GAIN = {"candle": 1.10, "handwash": 1.24}
WIDTH = {"front": 1440, "detail": 1440, "table": 1440, "wide": 1920}     # else 1500


def load(name):
    im = cv2.imread(str(RAW / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    return im.astype(np.float32) / (65535 if im.dtype == np.uint16 else 255)


def develop(im, seed):
    h, w = im.shape[:2]
    lum = im @ np.array([0.114, 0.587, 0.299], np.float32)
    hot = im * np.clip((lum - 0.72) / 0.28, 0, 1)[..., None]
    bloom = cv2.GaussianBlur(hot, (0, 0), 0.012 * max(h, w))
    im = 1 - (1 - im) * (1 - 0.10 * bloom)
    yy, xx = np.mgrid[-1:1:h * 1j, -1:1:w * 1j].astype(np.float32)
    im *= (1 - 0.07 * np.clip((xx ** 2 + yy ** 2) / 2, 0, 1) ** 1.5)[..., None]
    # a touch of contrast round the middle, blacks left soft
    im = im + 0.045 * np.sin(2 * np.pi * (np.clip(im, 0, 1) - 0.5)) * 0.8
    lum = (im @ np.array([0.114, 0.587, 0.299], np.float32))[..., None]
    im = lum + 0.93 * (im - lum)
    soft = cv2.GaussianBlur(im, (0, 0), 1.1)
    im = im + 0.25 * (im - soft)
    rng = np.random.default_rng(seed)
    g = cv2.GaussianBlur(rng.standard_normal((h, w)).astype(np.float32), (0, 0), 0.8)
    lum = np.clip(im.mean(2), 0, 1)
    im += (g * 0.0075 * (0.4 + lum * (1 - lum) * 2.4))[..., None]
    return np.clip(im, 0, 1)


def cutout(im, gain):
    a = im[..., 3]
    rgb = np.clip(im[..., :3], 0, 1)
    rgb = 1 - (1 - rgb) ** gain               # brighter, whites never clip
    rgb = np.clip(rgb + 0.045 * np.sin(2 * np.pi * (rgb - 0.5)), 0, 1)
    solid = (a > 0.995).astype(np.float32)
    acc, wsum = rgb * solid[..., None], solid.copy()
    for s in (1.2, 2.5, 5, 12):               # bleed the solid colour outwards
        b = cv2.GaussianBlur(rgb * solid[..., None], (0, 0), s)
        k = cv2.GaussianBlur(solid, (0, 0), s)
        fill = (wsum < 0.5) & (k > 0.02)
        acc[fill] = b[fill] / k[fill][:, None]
        wsum[fill] = 1
    a = np.clip((a - 0.03) / 0.94, 0, 1)
    ys, xs = np.where(a > 0.02)
    x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    m = round(MARGIN * max(x1 - x0, y1 - y0))
    out = np.dstack([acc, a])
    out = cv2.copyMakeBorder(out[y0:y1, x0:x1], m, m, m, m, cv2.BORDER_CONSTANT, value=0)
    return out


for name in sys.argv[1:] or JOBS:
    dst = OUT / JOBS[name]
    dst.parent.mkdir(parents=True, exist_ok=True)
    im = load(name)
    if dst.suffix == ".png":
        im = (cutout(im, GAIN[name]) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(cv2.cvtColor(im, cv2.COLOR_BGRA2RGBA)).save(dst, optimize=True)
    else:
        w = WIDTH.get(name, 1500)             # a smaller raw render is enlarged here
        if im.shape[1] < w:
            im = cv2.resize(im, (w, round(im.shape[0] * w / im.shape[1])), interpolation=cv2.INTER_CUBIC)
        im = (develop(im[..., :3], sorted(JOBS).index(name)) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(im[..., ::-1]).save(dst, quality=90, optimize=True, progressive=True)
    print(dst.relative_to(REPO), im.shape[1], im.shape[0], dst.stat().st_size // 1024, "KB")

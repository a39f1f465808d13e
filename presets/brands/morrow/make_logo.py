"""Draws the Morrow logo (a made-up brand for the demo briefs).

python presets/brands/morrow/make_logo.py [--font Montserrat_700Bold.ttf]

The mark is a half sun over its horizon; the wordmark is set in Montserrat
Bold (SIL Open Font License), which lies under presets/fonts/montserrat.
"""

import argparse
import pathlib

from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).resolve().parent
SS = 4  # supersampling
CREAM, INK = (250, 245, 236), (31, 27, 24)


def mark(draw, x, y, s, col):
    """Half sun of width s whose horizon lies at y."""
    r = s * 0.36
    cx = x + s / 2
    lw = s * 0.085
    gap = s * 0.075
    draw.pieslice([cx - r, y - gap - r, cx + r, y - gap + r], 180, 360, fill=col)
    for k, w in enumerate((1.0, 0.62, 0.28)):
        yy = y + k * (lw + gap)
        draw.rounded_rectangle([cx - s * w / 2, yy, cx + s * w / 2, yy + lw], lw / 2, fill=col)


def tracked(draw, x, base, text, font, col, track):
    for ch in text:
        if col:
            draw.text((x, base), ch, font=font, fill=col, anchor="ls")
        x += font.getlength(ch) + track
    return x - track


def lockup(font_path, col, width=800):
    W = width * SS
    font = ImageFont.truetype(str(font_path), int(0.235 * W))
    pad, s = 0.012 * W, 0.215 * W
    probe = ImageDraw.Draw(Image.new("L", (8, 8)))
    track = -0.004 * W
    x0 = pad + s + 0.05 * W
    end = tracked(probe, x0, 0, "morrow", font, None, track)
    xh = -font.getbbox("x", anchor="ls")[1]
    mh = s * (0.36 + 0.075 + 3 * 0.085 + 2 * 0.075)
    H = mh + 2 * pad
    im = Image.new("L", (int(end + pad), int(H)), 0)
    d = ImageDraw.Draw(im)
    horizon = pad + s * 0.36 + s * 0.075
    mark(d, pad, horizon, s, 255)
    tracked(d, x0, H / 2 + xh / 2, "morrow", font, 255, track)
    im = im.resize((width, round(im.height * width / im.width)), Image.LANCZOS)
    out = Image.new("RGBA", im.size, col + (0,))
    out.putalpha(im)
    return out


def stamp(font_path, col, width=600):
    """Stacked version: mark above the wordmark (product prints, labels)."""
    W = width * SS
    font = ImageFont.truetype(str(font_path), int(0.222 * W))
    probe = ImageDraw.Draw(Image.new("L", (8, 8)))
    w = tracked(probe, 0, 0, "morrow", font, None, 0)
    s = 0.32 * W
    im = Image.new("L", (W, int(0.66 * W)), 0)
    d = ImageDraw.Draw(im)
    mark(d, (W - s) / 2, 0.18 * W, s, 255)
    tracked(d, (W - w) / 2, 0.585 * W, "morrow", font, 255, 0)
    im = im.resize((width, round(im.height / SS)), Image.LANCZOS)
    out = Image.new("RGBA", im.size, col + (0,))
    out.putalpha(im)
    return out


def find_font():
    for p in sorted(HERE.parents[1].rglob("*ontserrat*700Bold.ttf")):
        return p
    raise SystemExit("give --font a Montserrat Bold .ttf")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--font", type=pathlib.Path)
    a = ap.parse_args()
    f = a.font or find_font()
    lockup(f, CREAM).save(HERE / "logo.png", optimize=True)
    lockup(f, INK).save(HERE / "logo_dark.png", optimize=True)

"""Draws the prints on the products (labels, calendar leaf) into textures/.

python docs/demo-media/textures.py      (needs Pillow)
"""
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path.insert(0, str(REPO / "presets" / "brands" / "morrow"))
from make_logo import INK, mark, stamp, tracked  # noqa: E402

FONTS = REPO / "presets" / "fonts" / "montserrat"
BOLD, MED = FONTS / "Montserrat_700Bold.ttf", FONTS / "Montserrat_500Medium.ttf"
OUT = HERE / "textures"
OUT.mkdir(exist_ok=True)
PAPER, TERRA = (243, 235, 222), (190, 78, 54)


def centred(d, cx, base, text, font, col, track=0.0):
    w = sum(font.getlength(c) for c in text) + track * (len(text) - 1)
    tracked(d, cx - w / 2, base, text, font, col, track)


def label(lines, size, name, accent=TERRA):
    ss = 3
    w, h = size[0] * ss, size[1] * ss
    im = Image.new("RGB", (w, h), PAPER)
    d = ImageDraw.Draw(im)
    f = lambda p, k: ImageFont.truetype(str(p), int(k * h))  # noqa: E731
    cx = w / 2
    s = 0.24 * h
    mark(d, cx - s / 2, 0.235 * h, s, accent)
    centred(d, cx, 0.575 * h, "morrow", f(BOLD, 0.175), INK, -0.002 * h)
    d.line([cx - 0.06 * h, 0.665 * h, cx + 0.06 * h, 0.665 * h], fill=INK, width=int(0.006 * h))
    centred(d, cx, 0.775 * h, lines[0], f(MED, 0.070), INK, 0.008 * h)
    centred(d, cx, 0.885 * h, lines[1], f(MED, 0.043), (95, 84, 74), 0.010 * h)
    im.resize(size, Image.LANCZOS).save(OUT / name, optimize=True)


def calendar():
    s = 1200
    im = Image.new("RGB", (s, s), (246, 240, 230))
    d = ImageDraw.Draw(im)
    d.rectangle([0, 0, s, 0.30 * s], fill=TERRA)
    centred(d, s / 2, 0.215 * s, "MONDAY", ImageFont.truetype(str(BOLD), int(0.17 * s)),
            (250, 244, 234), 0.01 * s)
    centred(d, s / 2, 0.84 * s, "1", ImageFont.truetype(str(BOLD), int(0.56 * s)), INK)
    im.resize((600, 600), Image.LANCZOS).save(OUT / "calendar.png", optimize=True)


if __name__ == "__main__":
    st = stamp(BOLD, (240, 230, 212))
    side = max(st.size)
    sq = Image.new("RGBA", (side, side), (240, 230, 212, 0))
    sq.paste(st, ((side - st.width) // 2, (side - st.height) // 2))
    sq.save(OUT / "stamp.png", optimize=True)
    label(("fig & cedar", "scented candle  ·  220 g"), (1100, 620), "label_candle.png")
    label(("hand wash", "sage & citrus  ·  300 ml"), (1000, 760), "label_wash.png", (47, 75, 60))
    calendar()

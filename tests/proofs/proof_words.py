"""Letter for letter: `make proof-words` renders a feed of 200 products, reads the finished frames
with tesseract and holds what it reads against the words and prices of the feed. The table goes to
docs/words.md. `PROOF_PRODUCTS=20` takes every tenth product only, `PROOF_LOCALES=el-GR,ar-KW` those
of some locales; the page is written when all were read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent))

from words_feed import Product, draw_products, write_feed

from pytoon_pipeline.compiler import compile as compiler
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.model import RenderSpec, Resolution
from pytoon_pipeline.plan.text import Caption
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.tables.table import read_table

DOCS = Path(__file__).resolve().parents[2] / "docs/words.md"
SIZE = Resolution(width=540, height=960)
GOAL = 0.99


@dataclass
class Tally:
    """Of one locale."""

    products: int = 0
    words: int = 0
    read: int = 0
    prices: int = 0
    right: int = 0
    missed: list[str] = field(default_factory=list)


# Reading ------------------------------------------------------------------------------------------


def _letters(rgb: np.ndarray, caption: Caption, colours: list[str]) -> list[np.ndarray]:
    """The letters in a caption's box, black on white at twice their size, told from the ground in
    several ways: by nearness to each colour that they may have, and as what is darker than the
    rest. What reaches the edge of the box is ground."""
    x0, y0, x1, y1 = caption.box
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = max(0, x0 - 24), max(0, y0 - 24), min(width, x1 + 24), min(height, y1 + 24)
    big = cv2.resize(rgb[y0:y1, x0:x1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    levels = [cv2.cvtColor(big, cv2.COLOR_RGB2GRAY)]
    for colour in colours:
        near = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        distance = np.abs(big.astype(np.float32) - near).max(axis=2)
        levels.insert(0, np.clip(distance * 1.5, 0, 255).astype(np.uint8))
    return [image for level in levels if (image := _without_ground(level)) is not None]


def _without_ground(level: np.ndarray) -> np.ndarray | None:
    """Dark parts of a picture that do not reach its edge, cut out with some white around."""
    dark = cv2.threshold(level, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    height, width = dark.shape
    left, top, wide, high, area = stats.T
    inside = (left > 0) & (top > 0) & (left + wide < width) & (top + high < height) & (area > 8)
    inside[0] = False
    if not inside.any():
        return None
    letters = inside[labels]
    x0, y0 = left[inside].min(), top[inside].min()
    x1, y1 = (left + wide)[inside].max(), (top + high)[inside].max()
    kept = np.where(letters, level, 255)[y0:y1, x0:x1].astype(np.uint8)
    return np.pad(kept, 24, constant_values=255)


def _split_lines(letters: np.ndarray) -> list[np.ndarray]:
    """The lines of a picture of letters: letters of like height on the page, each with the points
    and accents that are nearest to it, for those of two lines may stand side by side."""
    ink = (letters < 128).astype(np.uint8)
    _, labels, stats, centres = cv2.connectedComponentsWithStats(ink)
    parts = [(n, stats[n], centres[n]) for n in range(1, len(stats))]
    tallest = max((s[3] for _, s, _ in parts), default=0)
    whole = sorted((p for p in parts if p[1][3] >= tallest * 0.4), key=lambda p: p[2][1])
    line_of: dict[int, int] = {}
    line, last = -1, -1e9
    for n, _, (_, y) in whole:
        line += y - last > tallest * 0.45
        last, line_of[n] = y, line
    for n, (x, y, w, h, _), _ in parts:
        if n not in line_of:
            line_of[n] = min(
                ((_gap((x, y, w, h), s[:4]), line_of[m]) for m, s, _ in whole), default=(0, 0)
            )[1]
    lines = []
    for number in range(line + 1):
        kept = np.isin(labels, [n for n, at in line_of.items() if at == number])
        rows = np.flatnonzero(kept.any(axis=1))
        picture = np.where(kept, letters, 255)[rows[0] : rows[-1] + 1].astype(np.uint8)
        lines.append(np.pad(picture, ((24, 24), (0, 0)), constant_values=255))
    return lines


def _gap(a: tuple[int, int, int, int], b: np.ndarray) -> float:
    """Pixels between two boxes of x, y, width, height."""
    across = max(a[0] - b[0] - b[2], b[0] - a[0] - a[2], 0)
    down = max(a[1] - b[1] - b[3], b[1] - a[1] - a[3], 0)
    return float(np.hypot(across, down))


def _run_tesseract(line: np.ndarray, languages: str, folder: Path, mode: int = 7) -> str:
    """The text of a picture; `mode` is tesseract's page segmentation: 7 a line, 6 a block."""
    path = folder / "line.png"
    cv2.imwrite(str(path), line)
    return subprocess.run(
        ["tesseract", str(path), "-", "-l", languages, "--psm", str(mode)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    ).stdout.strip()


_SCRIPTS = {
    "ara": "Arabic",
    "ell": "Greek",
    "heb": "Hebrew",
    "hin": "Devanagari",
    "ukr": "Cyrillic",
}


def read_caption(
    rgb: np.ndarray, caption: Caption, colours: list[str], language: str, folder: Path
) -> Iterator[str]:
    """What tesseract reads of a caption, line by line: in its language with English, in the model
    of its script, in its language alone, and in English, which reads digits best; each at three
    sizes."""
    script = _SCRIPTS.get(language, "Latin")
    both = language if language == "eng" else f"{language}+eng"
    names = dict.fromkeys((both, script, language, "eng"))
    pictures = _letters(rgb, caption, colours)
    for scale in (1.0, 0.5, 0.25):
        for name in names:
            for letters in pictures:
                parts = []
                for line in _split_lines(letters):
                    small = cv2.resize(line, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                    parts.append(_run_tesseract(small, name, folder))
                yield " ".join(parts)
    for letters in pictures:
        for name in names:
            yield " ".join(_run_tesseract(letters, name, folder, 6).split())
        if script == "Arabic":
            for gap in (0.4, 0.5):
                # Line by line: the number of one must not be taken for the thousands of another.
                yield from (_read_arabic_digits(line, gap) for line in _split_lines(letters))


_ARABIC_FONTS = sorted((project_data("presets") / "fonts/noto-sans-arabic").glob("*.ttf"))


def _draw_sign(sign: str, font: Path, height: float) -> np.ndarray:
    """A digit drawn by Pillow at the size at which the digit one is `height` pixels high, on a
    canvas that keeps how high it stands against the one."""
    probe = ImageFont.truetype(str(font), 200)
    top, bottom = probe.getbbox("١", anchor="ls")[1::2]
    sized = ImageFont.truetype(str(font), round(200 * height / (bottom - top)))
    left, _, right, _ = sized.getbbox(sign, anchor="ls")
    canvas = Image.new("L", (right - left, round(height * 1.5)), 0)
    ImageDraw.Draw(canvas).text((-left, round(height * 1.2)), sign, 255, sized, anchor="ls")
    return np.asarray(canvas, np.float32) / 255


def _read_arabic_digits(line: np.ndarray, word_gap: float) -> str:
    """The digits ٠ to ٩ in a line, found by their shapes: tesseract's models take them for each
    other. What is like none of them ends the number, and so does a gap of `word_gap` of their
    height; a mark below the digits is the point."""
    ink = (line < 128).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink)
    boxes = [(int(x), int(y), int(w), int(h), n) for n, (x, y, w, h, a) in enumerate(stats)][1:]
    best = ""
    for font in _ARABIC_FONTS:
        for y, height in {(y, h) for _, y, _, h, _ in boxes if h > 16}:
            read = ""  # With this part taken for as high as a one, by which others are measured.
            end = 0
            for x, top, wide, high, n in sorted(boxes):
                read += " " if x - end > height * word_gap else ""  # Between words.
                end = x + wide
                read += _classify(labels[:, x : x + wide] == n, font, y, height, top, high)
            for number in read.split():
                best = max(best, number.strip(".,"), key=len)
    return best


def _classify(part: np.ndarray, font: Path, y: int, height: int, top: int, high: int) -> str:
    """The digit that a part of a line is, `.` for a mark on the baseline, nothing for one at the
    top (of thousands), a blank for anything else."""
    narrow = part.shape[1] < height * 0.45
    if high < height * 0.65 and narrow and top > y + height * 0.25:
        # The point hangs below the line, a zero is a dot in the middle of it.
        return "." if top + high > y + height * 1.05 else "٠"
    if high < height * 0.6 and narrow and top < y + height * 0.3:
        return ""
    if part.shape[1] < height * 0.35 and high > height * 0.8:
        return "١"
    first = round(y + height - height * 1.2)
    rows = np.zeros((round(height * 1.5), part.shape[1]), np.float32)
    for row in range(rows.shape[0]):
        if 0 <= first + row < part.shape[0]:
            rows[row] = part[first + row]
    scores = {}
    for digit in "٠١٢٣٤٥٦٧٨٩":
        drawn = _draw_sign(digit, font, height)
        if abs(drawn.shape[1] - rows.shape[1]) > 0.25 * height:
            continue
        # Shifted by some pixels each way: rounding must not count as another shape.
        wide = max(drawn.shape[1], rows.shape[1]) + 8
        held = np.pad(rows, ((4, 4), (4, wide - rows.shape[1])))
        drawn = np.pad(drawn, ((0, 0), (0, max(0, rows.shape[1] - drawn.shape[1]))))
        match = cv2.matchTemplate(held, np.ascontiguousarray(drawn), cv2.TM_CCOEFF_NORMED)
        scores[digit] = float(match.max())
    digit = max(scores, key=scores.__getitem__, default=" ")
    return digit if scores.get(digit, 0) > 0.55 else " "


# Comparing ----------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """Letters with their marks, and digits, without case; Greek without its accents, which
    capitals do not carry."""
    text = unicodedata.normalize("NFKC", text.casefold()).replace("ς", "σ")
    if any("Ͱ" <= c <= "Ͽ" or "ἀ" <= c <= "῿" for c in text):
        text = "".join(c for c in unicodedata.normalize("NFD", text) if c != "\u0301")
    return "".join(c for c in text if unicodedata.category(c)[0] in "LNM")


def words_of(text: str) -> list[str]:
    return [w for part in re.split(r"[\s\u00a0\u202f–—/]+", text) if (w := fold(part))]


_LOOKALIKES = str.maketrans("ABEHIKMNOPTXYZ", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖ")
"""Capitals of Latin and Greek that look the same: a model may name either."""


def find_missing(wanted: list[str], reading: str) -> list[str]:
    """The words that a reading does not have. A long word, or two that follow each other, may be
    found in the reading without its blanks: parted at a line's end, or set close."""
    if any("Ͱ" <= c <= "Ͽ" for w in wanted for c in w):
        reading = reading.translate(_LOOKALIKES)
    found, joined = words_of(reading), fold(reading)
    pairs = [a + b for a, b in pairwise(wanted) if a + b in joined]
    return [
        w
        for w in wanted
        if w not in found
        and not (len(w) > 5 and w in joined)
        and not any(w in pair and (pair.startswith(w) or pair.endswith(w)) for pair in pairs)
    ]


_DIGITS = {ord(c): str(unicodedata.digit(c)) for c in "٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९"}


def read_amount(reading: str, decimals: int) -> Decimal | None:
    """The number in a reading: a last separator with exactly as many digits behind it as the
    currency has decimals is the decimal one."""
    text = reading.translate(_DIGITS).replace("٫", ".").replace("٬", ",")
    text = re.sub(r"(?<=\d)[\s\u00a0\u202f’'`‘](?=\d{3}(?!\d))", "", text)
    numbers = re.findall(r"\d[\d.,]*", text)
    if not numbers:
        return None
    number = max(numbers, key=len).strip(".,")
    found = re.fullmatch(rf"([\d.,]*?)[.,](\d{{{decimals}}})", number) if decimals else None
    whole = re.sub(r"[.,]", "", found[1] if found else number)
    return Decimal(f"{whole or 0}.{found[2]}" if found else whole)


# The proof ----------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Briefs are compiled to 540x960."""
    from_brief = compiler._from_brief

    def at_small_size(*args, **kwargs):
        draft = from_brief(*args, **kwargs)
        draft.spec.resolution = SIZE.model_copy()
        return draft

    monkeypatch.setattr(compiler, "_from_brief", at_small_size)


def _colours(spec: RenderSpec, caption: Caption) -> list[str]:
    """The colours that the caption's letters may have."""
    style = spec.styles[caption.style]
    return [c for c in (style.color, style.alternate) if c]


def _check_product(
    spec: RenderSpec, video: Path, product: Product, tally: Tally, folder: Path
) -> None:
    line = build_timeline(spec)
    wanted = {"hook": product.title, "beat": product.sentence, "cta": product.words.call}
    missing = {role: words_of(text) for role, text in wanted.items()}
    tally.words += sum(len(words) for words in missing.values())
    tally.prices += 1
    price_read = False
    first: dict[str, str] = {}
    for caption in spec.captions or []:
        at = round((caption.start + (caption.end - caption.start) * 0.7) * line.rate)
        rgb = planes_to_rgb(next(read_frames(video, min(at, line.frames - 1), 1)))
        role = caption.role
        colours = _colours(spec, caption)
        shown = words_of(caption.text)
        for reading in read_caption(rgb, caption, colours, product.words.languages, folder):
            first[role] = f"{first.get(role, '')} {reading}" if reading else first.get(role, "")
            missing[role] = find_missing(missing[role], reading)
            if role == "cta" and not price_read:
                price_read = read_amount(reading, product.words.decimals) == product.amount
            # A line of several cues is done when no word of this one is missing.
            rest = [w for w in missing[role] if w in shown or len(missing[role]) == 1]
            if not rest and (role != "cta" or price_read):
                break
    for role, words in missing.items():
        tally.read += len(words_of(wanted[role])) - len(words)
        if words:
            tally.missed.append(
                f"{product.id} {role}: {' '.join(words)!r} of {wanted[role]!r}; "
                f"read: {first.get(role, '').strip()[:60]!r}"
            )
    tally.right += price_read
    if not price_read:
        tally.missed.append(
            f"{product.id} price: {product.amount} {product.words.currency}; "
            f"read: {first.get('cta', '').strip()[:60]!r}"
        )


def test_what_stands_in_the_feed_stands_on_the_frames(
    services: Services, tmp_path: Path, small: None
) -> None:
    if not shutil.which("tesseract"):
        pytest.fail("This proof needs Debian's tesseract-ocr-all.")
    products = draw_products()
    wanted = int(os.environ.get("PROOF_PRODUCTS", len(products)))
    products = products[:: max(1, len(products) // wanted)]
    if "PROOF_LOCALES" in os.environ:
        products = [p for p in products if p.words.locale in os.environ["PROOF_LOCALES"].split(",")]
    sources, problems = read_table(write_feed(tmp_path / "feed", products))
    assert [p for p in problems if p.severity == "error"] == []
    by_name = {s.key.rpartition("/")[2].lower(): s for s in sources}
    assert len(by_name) == len(products)
    keep = Path(os.environ["PROOF_FRAMES"]) if "PROOF_FRAMES" in os.environ else None
    tallies: dict[str, Tally] = defaultdict(Tally)
    for product in products:
        source, tally = by_name[product.id.lower()], tallies[product.words.locale]
        spec = compile_source(source, services)
        segments = render_segments(spec, services, source.key)
        video = assemble_video(spec, segments, services, source.key)
        before = len(tally.missed)
        tally.products += 1
        local = services.store.local(video.key)
        _check_product(spec, local, product, tally, tmp_path)
        if keep and len(tally.missed) > before:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(local, keep / f"{product.id}.mp4")
        for missed in tally.missed[before:]:
            print(missed, flush=True)
    table = write_table(tallies)
    print(table)
    if len(products) == len(draw_products()):
        DOCS.write_text(table, encoding="utf-8")
    total = sum(t.words for t in tallies.values())
    read = sum(t.read for t in tallies.values())
    assert sum(t.right for t in tallies.values()) == len(products), "a price was not read"
    assert read >= GOAL * total, f"{read} of {total} words were read"


def write_table(tallies: dict[str, Tally]) -> str:
    """docs/words.md."""
    rows = [
        f"| {name} | {t.products} | {t.read} of {t.words} | {t.right} of {t.prices} |"
        for name, t in tallies.items()
    ]
    words, read = (sum(getattr(t, n) for t in tallies.values()) for n in ("words", "read"))
    prices, right = (sum(getattr(t, n) for t in tallies.values()) for n in ("prices", "right"))
    missed = [f"- `{m}`" for t in tallies.values() for m in t.missed]
    return "\n".join(
        [
            "# Letter for letter",
            "",
            "`make proof-words` renders a feed of 200 products in ten locales and ten currencies",
            "at 540x960 with three presets, reads the finished frames with tesseract, and compares",
            "what is read with the feed. Each caption is read line by line, with up to four models",
            "of tesseract at three sizes; Arabic digits, which those models take for each other,",
            "are also compared with digits drawn by Pillow. A word counts as read when one of the",
            "readings has all of its letters, a price when one has the feed's number; case and",
            "points do not count.",
            "",
            "| locale | products | words read | prices right |",
            "|---|---|---|---|",
            *rows,
            f"| all | {sum(t.products for t in tallies.values())} | {read} of {words} "
            f"({100 * read / max(1, words):.1f} %) | {right} of {prices} |",
            "",
            "## Words that were not read",
            "",
            *(missed or ["None."]),
            "",
        ]
    )

"""Plots of a campaign as SVG: axes, labels, and a tooltip on every mark. Colours are classes of the
page's style sheet, so that they are right on light and on dark.

Up to `FEW` briefs each has a row with its name; more stand side by side as columns, in order of
what is measured, and are told apart by their tooltips and ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from pytoon_pipeline.quality.checks import LOUDNESS_TOLERANCE
from pytoon_pipeline.report.rows import Row
from pytoon_pipeline.report.words import clock, number

FEW = 16
_WIDTH = 480
_NAMES = 146
"""Width of the column of names."""
_ROW = 24
_TOP, _BOTTOM = 12, 40
_COLUMNS = 220
"""Height of a plot of columns."""
_VALUES = 62
"""Room for a value beside the longest bar."""
_NAME_CHARS = 18


def _f(value: float) -> str:
    """A coordinate: short, and never `-0.0`."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if abs(value) >= 0.05 else "0"


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that cover low..high."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(first, last + 1)]


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "\u2212")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1].rstrip(' -_')}\u2026"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    ends = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{kind}" x="{_f(x)}" y="{_f(y)}"{ends}>{escape(text)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_f(x0)}" y1="{_f(y0)}" x2="{_f(x1)}" y2="{_f(y1)}"/>'


def _rect(x: float, y: float, w: float, h: float, kind: str, radius: float = 0) -> str:
    round_ = f' rx="{_f(radius)}"' if radius else ""
    return (
        f'<rect class="{kind}" x="{_f(x)}" y="{_f(y)}" width="{_f(w)}" height="{_f(h)}"{round_}/>'
    )


def _diamond(x: float, y: float, r: float, kind: str) -> str:
    points = f"{_f(x)},{_f(y - r)} {_f(x + r)},{_f(y)} {_f(x)},{_f(y + r)} {_f(x - r)},{_f(y)}"
    return f'<polygon class="{kind}" points="{points}"/>'


def _dot(x: float, y: float, r: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{_f(x)}" cy="{_f(y)}" r="{_f(r)}"/>'


def _mark(parts: Sequence[str], tooltip: str) -> str:
    return f'<g class="mark"><title>{escape(tooltip)}</title>{"".join(parts)}</g>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_f(height)}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _named_rows(rows: Sequence[Row]) -> list[str]:
    """Names at the left, and over each whole row a place for the pointer."""
    parts = []
    for i, row in enumerate(rows):
        y = _TOP + _ROW * i
        name = _text(_NAMES - 10, y + _ROW / 2 + 4, _short(row.name), "name", "end")
        parts.append(f"<g><title>{escape(row.name)}</title>{name}</g>")
    return parts


# Bars --------------------------------------------------------------------------------------------


def _bars(
    rows: Sequence[Row],
    label: str,
    axis: str,
    parts_of: Callable[[Row], list[tuple[float, str]]],
    said: Callable[[Row], str],
    tooltip: Callable[[Row], str],
) -> str:
    """`parts_of` gives the stretches of a bar with their classes, `said` what stands beside it."""
    totals = [sum(v for v, _ in parts_of(row)) for row in rows]
    ticks = _ticks(0, max([*totals, 1e-6]))
    top = ticks[-1]
    if len(rows) <= FEW:
        left, right = _NAMES, _WIDTH - _VALUES
        bottom = _TOP + _ROW * len(rows)
        scale = (right - left) / top
        out = [_line(left + t * scale, _TOP - 4, left + t * scale, bottom, "rule") for t in ticks]
        out += [_text(left + t * scale, bottom + 16, _tick(t), "tick", "middle") for t in ticks]
        out.append(_text((left + right) / 2, bottom + 34, axis, "axis", "middle"))
        out += _named_rows(rows)
        for i, (row, total) in enumerate(zip(rows, totals, strict=True)):
            y, x, marks = _TOP + _ROW * i, float(left), []
            marks.append(_rect(left, y, _WIDTH - left, _ROW, "reach"))
            for value, kind in parts_of(row):
                marks.append(_rect(x, y + 5, value * scale, _ROW - 10, kind))
                x += value * scale
            if not total:
                marks.append(_diamond(left + 5, y + _ROW / 2, 4.5, "hollow"))
                x = left + 10.0
            marks.append(_text(x + 6, y + _ROW / 2 + 4, said(row), "value"))
            out.append(_mark(marks, tooltip(row)))
        return _svg(bottom + _BOTTOM, label, out)
    order = sorted(zip(rows, totals, strict=True), key=lambda pair: -pair[1])
    left, right, base = 40, _WIDTH - 6, _TOP + _COLUMNS
    scale, step = _COLUMNS / top, (right - left) / len(order)
    out = [_line(left, base - t * scale, right, base - t * scale, "rule") for t in ticks]
    out += [_text(left - 7, base - t * scale + 4, _tick(t), "tick", "end") for t in ticks]
    out += _ranks(len(order), left, step, base)
    out.append(
        _text((left + right) / 2, base + 34, f"Briefs, longest first ({axis})", "axis", "middle")
    )
    gap = 0.25 * step if step > 2 else 0.0
    for i, (row, total) in enumerate(order):
        x, y, marks = left + step * i, float(base), []
        marks.append(_rect(x, _TOP, step, _COLUMNS, "reach"))
        for value, kind in parts_of(row):
            y -= value * scale
            marks.append(_rect(x + gap / 2, y, step - gap, value * scale, kind))
        if not total:
            marks.append(_dot(x + step / 2, base - 4, min(3, step / 2), "hollow"))
        out.append(_mark(marks, tooltip(row)))
    return _svg(base + _BOTTOM, label, out)


def _ranks(count: int, left: float, step: float, base: float) -> list[str]:
    """Ticks of an axis of ranks: 1, then round numbers."""
    ticks = sorted({1, *(round(t) for t in _ticks(0, count, 5) if 1 <= t <= count)})
    return [_text(left + step * (t - 0.5), base + 16, f"{t}", "tick", "middle") for t in ticks]


def render_times(rows: Sequence[Row]) -> str:
    """Seconds of work for each brief: its segments, and linking them. A hollow mark is a video that
    was there already."""
    done = [row for row in rows if row.spent is not None]

    def said(row: Row) -> str:
        if row.reuse == "all" and not row.spent:
            return "from cache"
        return f"{number(row.spent)} s" + ("*" if row.reuse else "")

    def tooltip(row: Row) -> str:
        reuse = {"all": "; nothing had changed", "some": "; some segments were there already"}
        return (
            f"{row.name}: segments {number(row.rendering)} s, linking {number(row.linking)} s"
            f"{reuse.get(row.reuse, '')}"
        )

    return _bars(
        done,
        f"Seconds of rendering for each of {len(done)} videos",
        "seconds",
        lambda row: [(row.rendering or 0, "bar"), (row.linking or 0, "bar second")],
        said,
        tooltip,
    )


def lengths(rows: Sequence[Row]) -> str:
    """How long each video is."""
    done = [row for row in rows if row.seconds is not None]
    return _bars(
        done,
        f"Length in seconds of each of {len(done)} videos",
        "seconds",
        lambda row: [(row.seconds or 0, "bar third")],
        lambda row: f"{number(row.seconds)} s",
        lambda row: f"{row.name}: {clock(row.seconds)}",
    )


# Loudness ----------------------------------------------------------------------------------------


def off_target(row: Row) -> bool:
    """Is it too loud, too quiet, or its peak too high?"""
    target, ceiling = row.target
    return (row.lufs is not None and abs(row.lufs - target) > LOUDNESS_TOLERANCE) or (
        row.true_peak is not None and row.true_peak > ceiling + 0.05
    )


def loudness(rows: Sequence[Row]) -> str:
    """Loudness of each video against the band it is to lie in, and its true peak against the
    ceiling, on one scale of decibels below full scale."""
    done = [row for row in rows if row.metrics is not None]
    targets = [row.target for row in done]
    target, ceiling = max(sorted(set(targets)), key=targets.count)
    heard = [v for row in done for v in (row.lufs, row.true_peak) if v is not None]
    # One outlier must not squeeze all others together; what lies outside stands at the edge.
    ticks = [
        t
        for t in _ticks(max(-40.0, min([*heard, target - 4])), max([*heard, 0.0]), 7)
        if t <= max([*heard, 0.0]) + 2
    ]
    low, high = ticks[0], ticks[-1]
    label = (
        f"Loudness of each of {len(done)} videos against {target:g} LUFS, and its true peak against"
        f" {ceiling:g} dBTP"
    )

    def tooltip(row: Row) -> str:
        if row.lufs is None:
            return f"{row.name}: silent"
        peak = "" if row.true_peak is None else f", true peak {number(row.true_peak)} dBTP"
        return f"{row.name}: {number(row.lufs)} LUFS{peak}"

    few = len(done) <= FEW
    if few:
        left, right = _NAMES + 6, _WIDTH - 14
        base = _TOP + _ROW * len(done)
        extent = right - left
    else:
        left, right, base, extent = 40, _WIDTH - 6, _TOP + _COLUMNS, _COLUMNS
    scale = extent / (high - low)

    def at(value: float) -> float:
        along = (min(max(value, low), high) - low) * scale
        return left + along if few else base - along

    def across(value: float, kind: str) -> str:
        place = at(value)
        if few:
            return _line(place, _TOP - 4, place, base, kind)
        return _line(left, place, right, place, kind)

    edges = sorted((at(target - LOUDNESS_TOLERANCE), at(target + LOUDNESS_TOLERANCE)))
    if few:
        out = [_rect(edges[0], _TOP - 4, edges[1] - edges[0], base - _TOP + 4, "band")]
        out += [_text(at(t), base + 16, _tick(t), "tick", "middle") for t in ticks]
        out.append(_text((left + right) / 2, base + 34, "LUFS, dBTP", "axis", "middle"))
    else:
        out = [_rect(left, edges[0], right - left, edges[1] - edges[0], "band")]
        out += [_text(left - 7, at(t) + 4, _tick(t), "tick", "end") for t in ticks]
        out.append(
            _text(
                (left + right) / 2,
                base + 34,
                "Briefs, loudest first (LUFS, dBTP)",
                "axis",
                "middle",
            )
        )
    out += [across(t, "rule") for t in ticks]
    out += [across(target, "target"), across(ceiling, "ceiling")]
    order = done if few else sorted(done, key=lambda r: -(r.lufs if r.lufs is not None else -99))
    step = _ROW if few else (right - left) / len(order)
    if few:
        out += _named_rows(order)
    else:
        out += _ranks(len(order), left, step, base)
    size = 5.0 if few else max(1.4, min(4.0, step / 2))
    for i, row in enumerate(order):
        middle = (_TOP if few else left) + step * (i + 0.5)
        bad = " bad" if off_target(row) else ""
        marks = (
            [_rect(left, middle - step / 2, right - left, step, "reach")]
            if few
            else [_rect(middle - step / 2, _TOP, step, _COLUMNS, "reach")]
        )
        if row.lufs is None:
            place = at(low)
            marks.append(
                _text(place + 4, middle + 4, "silent", "value")
                if few
                else _dot(middle, place - 4, size, "hollow")
            )
        if row.true_peak is not None:
            place = at(row.true_peak)
            x, y = (place, middle) if few else (middle, place)
            marks.append(_diamond(x, y, size, f"peak{bad}"))
        if row.lufs is not None:
            place = at(row.lufs)
            x, y = (place, middle) if few else (middle, place)
            marks.append(_dot(x, y, size, f"dot{bad}"))
        out.append(_mark(marks, tooltip(row)))
    return _svg(base + _BOTTOM, label, out)

"""Plots of a campaign as SVG: axes, labels, and a tooltip on every mark. Colours are classes of the
page's style sheet, so that they are right on light and on dark.

Up to `FEW` briefs each has a row with its name; more stand side by side as columns, in order of
what is measured, and are told apart by their tooltips and ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from pytoon_pipeline.quality.sound_checks import LOUDNESS_TOLERANCE
from pytoon_pipeline.report.formatting import format_clock, format_number
from pytoon_pipeline.report.rows import ReportRow

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


def _svg_number(value: float) -> str:
    """A coordinate: short, and never `-0.0`."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if abs(value) >= 0.05 else "0"


def _round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that cover low..high."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(first, last + 1)]


def _format_tick(value: float) -> str:
    return f"{value:g}".replace("-", "\u2212")


def _shorten_name(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1].rstrip(' -_')}\u2026"


def _svg_attributes(**values: float) -> str:
    """Coordinates as attributes, in the order they are given."""
    return " ".join(f'{name}="{_svg_number(value)}"' for name, value in values.items())


def _svg_text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    ends = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{kind}" {_svg_attributes(x=x, y=y)}{ends}>{escape(text)}</text>'


def _svg_line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<line class="{kind}" {_svg_attributes(x1=x0, y1=y0, x2=x1, y2=y1)}/>'


def _svg_rect(x: float, y: float, w: float, h: float, kind: str, radius: float = 0) -> str:
    round_ = f' rx="{_svg_number(radius)}"' if radius else ""
    return f'<rect class="{kind}" {_svg_attributes(x=x, y=y, width=w, height=h)}{round_}/>'


def _svg_diamond(x: float, y: float, r: float, kind: str) -> str:
    corners = ((x, y - r), (x + r, y), (x, y + r), (x - r, y))
    points = " ".join(f"{_svg_number(cx)},{_svg_number(cy)}" for cx, cy in corners)
    return f'<polygon class="{kind}" points="{points}"/>'


def _svg_dot(x: float, y: float, r: float, kind: str) -> str:
    return (
        f'<circle class="{kind}" cx="{_svg_number(x)}" cy="{_svg_number(y)}" r="{_svg_number(r)}"/>'
    )


def _svg_mark(parts: Sequence[str], tooltip: str) -> str:
    return f'<g class="mark"><title>{escape(tooltip)}</title>{"".join(parts)}</g>'


def _svg_document(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_svg_number(height)}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _named_rows(rows: Sequence[ReportRow]) -> list[str]:
    """Names at the left, and over each whole row a place for the pointer."""
    parts = []
    for i, row in enumerate(rows):
        y = _TOP + _ROW * i
        name = _svg_text(_NAMES - 10, y + _ROW / 2 + 4, _shorten_name(row.name), "name", "end")
        parts.append(f"<g><title>{escape(row.name)}</title>{name}</g>")
    return parts


# Bars --------------------------------------------------------------------------------------------


def _bar_plot(
    rows: Sequence[ReportRow],
    label: str,
    axis: str,
    parts_of: Callable[[ReportRow], list[tuple[float, str]]],
    said: Callable[[ReportRow], str],
    tooltip: Callable[[ReportRow], str],
) -> str:
    """`parts_of` gives the stretches of a bar with their classes, `said` what stands beside it."""
    totals = [sum(v for v, _ in parts_of(row)) for row in rows]
    ticks = _round_ticks(0, max([*totals, 1e-6]))
    top = ticks[-1]
    if len(rows) <= FEW:
        left, right = _NAMES, _WIDTH - _VALUES
        bottom = _TOP + _ROW * len(rows)
        scale = (right - left) / top
        out = [
            _svg_line(left + t * scale, _TOP - 4, left + t * scale, bottom, "rule") for t in ticks
        ]
        out += [
            _svg_text(left + t * scale, bottom + 16, _format_tick(t), "tick", "middle")
            for t in ticks
        ]
        out.append(_svg_text((left + right) / 2, bottom + 34, axis, "axis", "middle"))
        out += _named_rows(rows)
        for i, (row, total) in enumerate(zip(rows, totals, strict=True)):
            y, x = float(_TOP + _ROW * i), float(left)
            marks: list[str] = []
            marks.append(_svg_rect(left, y, _WIDTH - left, _ROW, "reach"))
            for value, kind in parts_of(row):
                marks.append(_svg_rect(x, y + 5, value * scale, _ROW - 10, kind))
                x += value * scale
            if not total:
                marks.append(_svg_diamond(left + 5, y + _ROW / 2, 4.5, "hollow"))
                x = left + 10.0
            marks.append(_svg_text(x + 6, y + _ROW / 2 + 4, said(row), "value"))
            out.append(_svg_mark(marks, tooltip(row)))
        return _svg_document(bottom + _BOTTOM, label, out)
    order = sorted(zip(rows, totals, strict=True), key=lambda pair: -pair[1])
    left, right, base = 40, _WIDTH - 6, _TOP + _COLUMNS
    scale, step = _COLUMNS / top, (right - left) / len(order)
    out = [_svg_line(left, base - t * scale, right, base - t * scale, "rule") for t in ticks]
    out += [
        _svg_text(left - 7, base - t * scale + 4, _format_tick(t), "tick", "end") for t in ticks
    ]
    out += _rank_ticks(len(order), left, step, base)
    out.append(
        _svg_text(
            (left + right) / 2, base + 34, f"Briefs, longest first ({axis})", "axis", "middle"
        )
    )
    gap = 0.25 * step if step > 2 else 0.0
    for i, (row, total) in enumerate(order):
        x, y = left + step * i, float(base)
        marks = []
        marks.append(_svg_rect(x, _TOP, step, _COLUMNS, "reach"))
        for value, kind in parts_of(row):
            y -= value * scale
            marks.append(_svg_rect(x + gap / 2, y, step - gap, value * scale, kind))
        if not total:
            marks.append(_svg_dot(x + step / 2, base - 4, min(3, step / 2), "hollow"))
        out.append(_svg_mark(marks, tooltip(row)))
    return _svg_document(base + _BOTTOM, label, out)


def _rank_ticks(count: int, left: float, step: float, base: float) -> list[str]:
    """Ticks of an axis of ranks: 1, then round numbers."""
    ticks = sorted({1, *(round(t) for t in _round_ticks(0, count, 5) if 1 <= t <= count)})
    return [_svg_text(left + step * (t - 0.5), base + 16, f"{t}", "tick", "middle") for t in ticks]


def render_times(rows: Sequence[ReportRow]) -> str:
    """Seconds of work for each brief: its segments, and linking them. A hollow mark is a video that
    was there already."""
    done = [row for row in rows if row.spent is not None]

    def row_text(row: ReportRow) -> str:
        if row.reuse == "all" and not row.spent:
            return "from cache"
        return f"{format_number(row.spent)} s" + ("*" if row.reuse else "")

    def row_tooltip(row: ReportRow) -> str:
        reuse = {"all": "; nothing had changed", "some": "; some segments were there already"}
        return (
            f"{row.name}: segments {format_number(row.rendering)} s, "
            f"linking {format_number(row.linking)} s"
            f"{reuse.get(row.reuse, '')}"
        )

    return _bar_plot(
        done,
        f"Seconds of rendering for each of {len(done)} videos",
        "seconds",
        lambda row: [(row.rendering or 0, "bar"), (row.linking or 0, "bar second")],
        row_text,
        row_tooltip,
    )


def plot_lengths(rows: Sequence[ReportRow]) -> str:
    """How long each video is."""
    done = [row for row in rows if row.seconds is not None]
    return _bar_plot(
        done,
        f"Length in seconds of each of {len(done)} videos",
        "seconds",
        lambda row: [(row.seconds or 0, "bar third")],
        lambda row: f"{format_number(row.seconds)} s",
        lambda row: f"{row.name}: {format_clock(row.seconds)}",
    )


# Loudness ----------------------------------------------------------------------------------------


def off_target(row: ReportRow) -> bool:
    """Is it too loud, too quiet, or its peak too high?"""
    target, ceiling = row.target
    return (row.lufs is not None and abs(row.lufs - target) > LOUDNESS_TOLERANCE) or (
        row.true_peak is not None and row.true_peak > ceiling + 0.05
    )


def plot_loudness(rows: Sequence[ReportRow]) -> str:
    """Loudness of each video against the band it is to lie in, and its true peak against the
    ceiling, on one scale of decibels below full scale."""
    done = [row for row in rows if row.metrics is not None]
    targets = [row.target for row in done]
    target, ceiling = max(sorted(set(targets)), key=targets.count)
    heard = [v for row in done for v in (row.lufs, row.true_peak) if v is not None]
    # One outlier must not squeeze all others together; what lies outside stands at the edge.
    ticks = [
        t
        for t in _round_ticks(max(-40.0, min([*heard, target - 4])), max([*heard, 0.0]), 7)
        if t <= max([*heard, 0.0]) + 2
    ]
    low, high = ticks[0], ticks[-1]
    label = (
        f"Loudness of each of {len(done)} videos against {target:g} LUFS, and its true peak against"
        f" {ceiling:g} dBTP"
    )

    def row_tooltip(row: ReportRow) -> str:
        if row.lufs is None:
            return f"{row.name}: silent"
        peak = "" if row.true_peak is None else f", true peak {format_number(row.true_peak)} dBTP"
        return f"{row.name}: {format_number(row.lufs)} LUFS{peak}"

    few = len(done) <= FEW
    if few:
        left, right = _NAMES + 6, _WIDTH - 14
        base = _TOP + _ROW * len(done)
        extent = right - left
    else:
        left, right, base, extent = 40, _WIDTH - 6, _TOP + _COLUMNS, _COLUMNS
    scale = extent / (high - low)

    def x_of(value: float) -> float:
        along = (min(max(value, low), high) - low) * scale
        return left + along if few else base - along

    def vertical_line(value: float, kind: str) -> str:
        place = x_of(value)
        if few:
            return _svg_line(place, _TOP - 4, place, base, kind)
        return _svg_line(left, place, right, place, kind)

    edges = sorted((x_of(target - LOUDNESS_TOLERANCE), x_of(target + LOUDNESS_TOLERANCE)))
    if few:
        out = [_svg_rect(edges[0], _TOP - 4, edges[1] - edges[0], base - _TOP + 4, "band")]
        out += [_svg_text(x_of(t), base + 16, _format_tick(t), "tick", "middle") for t in ticks]
        out.append(_svg_text((left + right) / 2, base + 34, "LUFS, dBTP", "axis", "middle"))
    else:
        out = [_svg_rect(left, edges[0], right - left, edges[1] - edges[0], "band")]
        out += [_svg_text(left - 7, x_of(t) + 4, _format_tick(t), "tick", "end") for t in ticks]
        out.append(
            _svg_text(
                (left + right) / 2,
                base + 34,
                "Briefs, loudest first (LUFS, dBTP)",
                "axis",
                "middle",
            )
        )
    out += [vertical_line(t, "rule") for t in ticks]
    out += [vertical_line(target, "target"), vertical_line(ceiling, "ceiling")]
    order = done if few else sorted(done, key=lambda r: -(r.lufs if r.lufs is not None else -99))
    step = _ROW if few else (right - left) / len(order)
    if few:
        out += _named_rows(order)
    else:
        out += _rank_ticks(len(order), left, step, base)
    size = 5.0 if few else max(1.4, min(4.0, step / 2))
    for i, row in enumerate(order):
        middle = (_TOP if few else left) + step * (i + 0.5)
        bad = " bad" if off_target(row) else ""
        marks = (
            [_svg_rect(left, middle - step / 2, right - left, step, "reach")]
            if few
            else [_svg_rect(middle - step / 2, _TOP, step, _COLUMNS, "reach")]
        )
        if row.lufs is None:
            place = x_of(low)
            marks.append(
                _svg_text(place + 4, middle + 4, "silent", "value")
                if few
                else _svg_dot(middle, place - 4, size, "hollow")
            )
        if row.true_peak is not None:
            place = x_of(row.true_peak)
            x, y = (place, middle) if few else (middle, place)
            marks.append(_svg_diamond(x, y, size, f"peak{bad}"))
        if row.lufs is not None:
            place = x_of(row.lufs)
            x, y = (place, middle) if few else (middle, place)
            marks.append(_svg_dot(x, y, size, f"dot{bad}"))
        out.append(_svg_mark(marks, row_tooltip(row)))
    return _svg_document(base + _BOTTOM, label, out)

"""Numbers and times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime


def format_clock(seconds: float | None) -> str:
    """`0:14`, `12:05`, `1:02:00`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def format_duration(seconds: float) -> str:
    """`14 s`, `2 min 14 s`, `1 h 2 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_number(value: float | None, digits: int = 1) -> str:
    """With a real minus sign."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def format_megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 99.5e6 else f"{size / 1e6:.0f} MB"


def format_iso_time(time: float) -> str:
    """UTC, to the second: `2026-11-26T20:04:31Z`."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_moment(time: float) -> str:
    """UTC, for people."""
    when = datetime.fromtimestamp(time, UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


def format_count(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")

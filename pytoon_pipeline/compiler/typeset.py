"""A style of the spec, as the type engine of `picture` takes it."""

from __future__ import annotations

from collections.abc import Iterator

from pytoon_pipeline.picture import styles as engine
from pytoon_pipeline.plan.text import TypeStyle


def text_style(style: TypeStyle, align_y: str, language: str = "") -> engine.TextStyle:
    shadow = style.shadow
    box = style.box
    return engine.TextStyle(
        family=style.family,
        weight=style.weight,
        fallback_families=tuple(style.fallback),
        max_px=style.max_px,
        min_px=style.min_px,
        max_lines=style.max_lines,
        max_chars_per_line=style.max_chars,
        line_height=style.line_height,
        letter_spacing=style.letter_spacing,
        align=style.align,
        valign=align_y,  # type: ignore[arg-type]
        breaking="letters",
        uppercase=style.uppercase,
        language=language,
        color=style.color,
        stroke=style.stroke,
        stroke_color=style.stroke_color,
        shadow=engine.TextShadow(**shadow.model_dump()) if shadow else None,
        box=engine.TextBoxStyle(**box.model_dump()) if box else None,
    )


def smaller_styles(style: TypeStyle, floor: int, more_lines: int) -> Iterator[TypeStyle]:
    """The style with smaller type, down to `floor` pixels, and then with more lines of it, for
    words that don't fit as the preset has them."""
    least = min(style.min_px, floor)
    if least < style.min_px:
        yield style.model_copy(update={"min_px": least})
    for more in range(1, more_lines + 1):
        yield style.model_copy(update={"min_px": least, "max_lines": style.max_lines + more})

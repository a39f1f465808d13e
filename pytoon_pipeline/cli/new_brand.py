"""`pytoon new-brand`: a brand kit to start from, with colours proposed from a logo."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.text import Text

from pytoon_pipeline.cli.check import shown_path
from pytoon_pipeline.cli.files import cannot_write, write_text
from pytoon_pipeline.cli.schema import schema_text
from pytoon_pipeline.cli.terminal import (
    OK,
    REFUSED,
    make_visible,
    open_console,
    settings_and_logs,
    show_problem,
)
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.preset_model import ROLES
from pytoon_pipeline.compiler.presets import open_presets
from pytoon_pipeline.durable import sync_folder, sync_tree
from pytoon_pipeline.errors import Problem, UserError

if TYPE_CHECKING:
    from pytoon_pipeline.picture.logos import Logo

_VECTORS = (".svg", ".svgz", ".ai", ".eps", ".pdf", ".cdr", ".afdesign")
_NAME = re.compile(r"[^\W_](?:[\w.-]*\w)?")
SCHEMA = "brand.schema.json"
"""Lies beside the folders of kits, for editors."""


def new_brand(name: str, logo_file: Path, force: bool = False) -> int:
    """Write a whole kit into `presets/brands/NAME` of one's own presets.

    Raises UserError where there is one already, or where the logo can't be used.
    """
    settings = settings_and_logs()
    library = open_presets(*settings.presets_dirs)
    brands = Path(settings.presets_dir) / "brands"
    if not _NAME.fullmatch(name):
        raise UserError(
            Problem(
                "brand.name",
                f"{name!r} can't be a brand's name in a brief.",
                "Use letters, figures and hyphens; how it is written stands in the kit.",
                field="NAME",
            )
        )
    target = brands / name
    if target.exists() and not force:
        raise UserError(
            Problem(
                "new.exists",
                "is there already; nothing was written.",
                "Choose another name, or add --force to replace it.",
                file=str(target),
            )
        )
    logo = _read_logo(logo_file)

    from pytoon_pipeline.picture.logos import propose_colours

    colours = propose_colours(logo)
    fonts = library.brand("neutral").fonts
    try:
        brands.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=brands) as folder:
            made = Path(folder, name)
            made.mkdir()
            files = _write_logos(made, logo, colours)
            (made / "brand.yaml").write_text(
                kit_text(
                    name,
                    colours,
                    files,
                    fonts.heading if fonts else "Montserrat",
                    fonts.body if fonts else "Inter",
                ),
                encoding="utf-8",
            )
            if target.exists():
                shutil.rmtree(target)
            sync_tree(made)
            made.rename(target)
            sync_folder(brands)
        write_text(brands / SCHEMA, schema_text(Brand))
    except OSError as error:
        raise cannot_write(target, error) from error
    return _print_result(name, target, logo, files, settings)


def _read_logo(path: Path) -> Logo:
    """Raises UserError for what is no picture that can be used."""
    from pytoon_pipeline.media.images import load_image
    from pytoon_pipeline.media.probe import probe_media
    from pytoon_pipeline.media.unreadable import UnreadableMediaError
    from pytoon_pipeline.picture.logos import read_logo

    def refusal_error(code: str, message: str, remedy: str) -> UserError:
        return UserError(Problem(code, message, remedy, file=str(path), field="--logo"))

    if not path.is_file():
        raise refusal_error("media.missing", "does not exist.", "Check the path.")
    if path.suffix.lower() in _VECTORS:
        raise refusal_error(
            "media.vector",
            f"is a drawing ({path.suffix[1:].upper()}), not a picture of pixels.",
            "Export it as PNG with a transparent ground, 1,200 pixels wide or more.",
        )
    try:
        if probe_media(path).kind != "image":
            raise refusal_error("media.kind", "is no picture.", "Give a PNG.")
        logo = read_logo(load_image(path))
    except UnreadableMediaError as error:
        raise refusal_error(error.code, error.message, error.remedy) from error
    if not logo.colours and not logo.opaque:
        raise refusal_error(
            "brand.logo", "shows nothing: all of it is transparent.", "Give another one."
        )
    return logo


def _write_logos(folder: Path, logo: Logo, colours: dict[str, str]) -> dict[str, str]:
    """The versions that there are: field of the kit -> file."""
    from PIL import Image

    from pytoon_pipeline.picture.logos import dark_version, light_version

    light = light_version(logo, colours["text"])
    dark = dark_version(logo, colours["on_ground"])
    files = {"on_pictures": "logo.png"}
    Image.fromarray(logo.rgba if light is None else light).save(folder / "logo.png", optimize=True)
    if light is not None or dark is not None:
        files["on_ground"] = "logo_dark.png"
        other = logo.rgba if dark is None else dark
        Image.fromarray(other).save(folder / "logo_dark.png", optimize=True)
    return files


def kit_text(
    name: str, colours: dict[str, str], files: dict[str, str], heading: str, body: str
) -> str:
    """A commented brand.yaml."""
    title = yaml.safe_dump(name.replace("-", " ").replace("_", " ").title(), allow_unicode=True)
    lines = [
        f"# yaml-language-server: $schema=../{SCHEMA}",
        "# A brand kit; docs/brands.md shows where each colour is seen. What is wrong with it:",
        f"#   pytoon check {shlex.quote(f'presets/brands/{name}')}",
        f"name: {title.splitlines()[0]}",
        "# Proposed from the logo. Words can be read on what they stand on: keep it so.",
        "colors:",
    ]
    for role, seen_as in ROLES.items():
        setting = f'  {role}: "{colours[role]}"'
        lines.append(f"{setting:<27}# {seen_as}")
    logos = ", ".join(f"{field}: {file}" for field, file in files.items())
    lines += [
        f"fonts: {{heading: {heading}, body: {body}}}  # families; `pytoon doctor` lists them",
        "# on_pictures: the light version; on_ground: the dark one, for light grounds.",
        f"logo: {{{logos}}}",
        "watermark: {place: top_left, width: 0.2, opacity: 0.92}",
        "# The last seconds: the logo on the ground, and a line below if you like.",
        "end_card: {seconds: 1.6}  # line: example.com",
    ]
    return "\n".join(lines) + "\n"


def _print_result(name: str, target: Path, logo: Logo, files: dict[str, str], settings) -> int:
    from pytoon_pipeline.compiler.kit_findings import brand_findings
    from pytoon_pipeline.stages.services import open_fonts

    to = open_console()
    to.print(Text(f"Wrote {shown_path(target)}", "bold"), soft_wrap=True)
    if logo.ground:
        to.print(f"The logo was taken out of its plain ground {logo.ground}.", soft_wrap=True)
    if "on_ground" in files:
        to.print("logo.png is for pictures, logo_dark.png for light grounds.", soft_wrap=True)
    else:
        to.print("One version of the logo is used everywhere.", soft_wrap=True)
    library = open_presets(*settings.presets_dirs)
    kit = (target / "brand.yaml").absolute()
    problems = brand_findings(library, kit, open_fonts(settings))
    for problem in problems:
        show_problem(to, problem, with_file=False)
    if any(p.severity == "error" for p in problems):
        to.print("It can be used once that is corrected.")
        return REFUSED
    to.print(
        Text(f"Next: look at its colours, then write  brand: {make_visible(name)}  in a brief."),
        soft_wrap=True,
    )
    return OK

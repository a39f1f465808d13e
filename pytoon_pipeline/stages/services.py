"""What the stages work with: opened once, from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.compiler.presets import PresetLibrary, open_presets
from pytoon_pipeline.engines.base import Engine
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.policy import EngineSet
from pytoon_pipeline.engines.still import StillEngine
from pytoon_pipeline.media.encode import VideoSettings
from pytoon_pipeline.media.fetch import MediaFetcher
from pytoon_pipeline.picture.fonts import SYSTEM_FONT_FOLDERS, FontLibrary
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import Store, open_store


@dataclass(frozen=True)
class Services:
    settings: Settings
    store: Store
    presets: PresetLibrary
    fonts: FontLibrary
    engines: EngineSet
    fetcher: MediaFetcher

    @property
    def compile_context(self) -> CompileContext:
        """What the compiler looks things up in."""
        return CompileContext(
            self.presets,
            self.fonts,
            self.settings.media_roots,
            self._stored_file,
            self.fetcher.fetch,
            at_hand=not self.store.shared,
        )

    def _stored_file(self, key: str) -> Path | None:
        return self.store.local(key) if self.store.exists(key) else None

    @property
    def video_settings(self) -> VideoSettings:
        """The delivery settings of the platform facts."""
        return video_settings(self.presets)


def open_services(settings: Settings) -> Services:
    """Raises SettingsError or PresetError, naming the setting or file."""
    store, presets = open_store(settings), open_presets(*settings.presets_dirs)
    fonts = open_fonts(settings)
    return Services(
        settings=settings,
        store=store,
        presets=presets,
        fonts=fonts,
        engines=_open_engines(settings, store, presets, fonts),
        fetcher=MediaFetcher(
            settings.home / "fetched", hosts=settings.media_hosts, buckets=settings.media_buckets
        ),
    )


NOT_SET_UP = {
    "comfyui": "set PYTOON_COMFYUI_URL to a ComfyUI server on this machine or network",
    "comfyui_cloud": "set PYTOON_COMFYUI_URL to an https address, and PYTOON_COMFYUI_TOKEN",
    "remote": "set PYTOON_REMOTE_URL, and PYTOON_REMOTE_TOKEN, to a `pytoon serve --segments`",
}
"""Engine -> how it is set up; the compositor always is."""


def engine_states(services: Services) -> list[tuple[str, bool | None, str]]:
    """Every engine that Pytoon knows: its name, whether it is ready (None: it is not set up, or
    switched off), and the details."""
    engines = services.engines
    found: dict[str, tuple[bool | None, str]] = {}
    for engine in engines.all():
        if engine.name in engines.off:
            found[engine.name] = (None, "switched off by PYTOON_ENGINES_OFF")
        elif engines.only and engine.name not in engines.only:
            found[engine.name] = (None, "switched off by PYTOON_ENGINES_ONLY")
        else:
            health = engine.health()
            found[engine.name] = (health.ok, health.detail)
    for name, how in NOT_SET_UP.items():
        found.setdefault(name, (None, f"not set up: {how}"))
    return [(name, *state) for name, state in found.items()]


def open_fonts(settings: Settings, *, system: bool = True) -> FontLibrary:
    """The fonts of an install. Those of presets come first, so that what they have is drawn the
    same on every machine; the system's last, or not at all."""
    presets = tuple(folder / "fonts" for folder in settings.presets_dirs)
    return FontLibrary([presets, *settings.fonts_dirs, *(SYSTEM_FONT_FOLDERS if system else ())])


def video_settings(presets: PresetLibrary) -> VideoSettings:
    return VideoSettings(**presets.facts().delivery.video.model_dump())


def _open_engines(
    settings: Settings, store: Store, presets: PresetLibrary, fonts: FontLibrary
) -> EngineSet:
    """The engines that the settings name, in order of preference: this machine, its own network,
    then others. What can generate is opened only where it is set up: it takes a while to import."""
    engines: list[Engine] = [Compositor()]
    if settings.comfyui_urls:
        from pytoon_pipeline.engines.comfyui import ComfyUI, is_local

        near = [url for url in settings.comfyui_urls if is_local(url)]
        far = [url for url in settings.comfyui_urls if url not in near]
        for name, urls, local in (("comfyui", near, True), ("comfyui_cloud", far, False)):
            if urls:
                engines.append(
                    ComfyUI(
                        urls,
                        token=settings.comfyui_token,
                        workflows=[f / "workflows" for f in presets.folders],
                        chosen=settings.comfyui_workflows,
                        store=store,
                        folder=settings.home / "engines",
                        local=local,
                        name=name,
                    )
                )
    if settings.remote_urls:
        from pytoon_pipeline.engines.remote import RemoteEngine
        from pytoon_pipeline.stages.fingerprint_inputs import segment_look

        video = video_settings(presets)
        engines.append(
            RemoteEngine(
                settings.remote_urls,
                settings.remote_token,
                look=lambda job, media: segment_look(job, media, fonts, video),
                folder=settings.home / "engines",
            )
        )
    return EngineSet(
        engines,
        StillEngine(),
        off=frozenset(settings.engines_off),
        only=frozenset(settings.engines_only),
        costs=settings.engine_costs,
    )

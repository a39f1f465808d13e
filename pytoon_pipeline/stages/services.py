"""What the stages work with: opened once, from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytoon_pipeline.engines.base import Engine
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.policy import Engines
from pytoon_pipeline.engines.still import Still
from pytoon_pipeline.media.encode import VideoSettings
from pytoon_pipeline.media.fetch import Fetcher
from pytoon_pipeline.picture.fonts import SYSTEM_FONT_FOLDERS, FontLibrary
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.spec.draft import Workshop
from pytoon_pipeline.spec.presets import PresetLibrary, open_presets
from pytoon_pipeline.store import Store, open_store


@dataclass(frozen=True)
class Services:
    settings: Settings
    store: Store
    presets: PresetLibrary
    fonts: FontLibrary
    engines: Engines
    fetcher: Fetcher

    @property
    def workshop(self) -> Workshop:
        """What the compiler looks things up in."""
        return Workshop(
            self.presets, self.fonts, self.settings.media_roots, self._stored, self.fetcher.fetch
        )

    def _stored(self, key: str) -> Path | None:
        return self.store.local(key) if self.store.exists(key) else None

    @property
    def video_settings(self) -> VideoSettings:
        """The delivery settings of the platform facts."""
        return video_settings(self.presets)


def open_fonts(settings: Settings) -> FontLibrary:
    """The project's own come first, so that what it has is drawn the same on every machine."""
    return FontLibrary(
        [settings.presets_dir / "fonts", *settings.fonts_dirs, *SYSTEM_FONT_FOLDERS]
    )


def open_services(settings: Settings) -> Services:
    """Raises SettingsError or PresetError, naming the setting or file."""
    store, presets = open_store(settings), open_presets(settings.presets_dir)
    fonts = open_fonts(settings)
    return Services(
        settings=settings,
        store=store,
        presets=presets,
        fonts=fonts,
        engines=_engines(settings, store, presets, fonts),
        fetcher=Fetcher(
            settings.home / "fetched", hosts=settings.media_hosts, buckets=settings.media_buckets
        ),
    )


def video_settings(presets: PresetLibrary) -> VideoSettings:
    return VideoSettings(**presets.facts().delivery.video.model_dump())


def _engines(
    settings: Settings, store: Store, presets: PresetLibrary, fonts: FontLibrary
) -> Engines:
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
                        workflows=settings.presets_dir / "workflows",
                        chosen=settings.comfyui_workflows,
                        store=store,
                        folder=settings.home / "engines",
                        local=local,
                        name=name,
                    )
                )
    if settings.remote_urls:
        from pytoon_pipeline.engines.remote import Remote
        from pytoon_pipeline.stages.look import segment_look

        video = video_settings(presets)
        engines.append(
            Remote(
                settings.remote_urls,
                settings.remote_token,
                look=lambda job, media: segment_look(job, media, fonts, video),
                folder=settings.home / "engines",
            )
        )
    return Engines(
        engines,
        Still(),
        off=frozenset(settings.engines_off),
        only=frozenset(settings.engines_only),
        costs=settings.engine_costs,
    )

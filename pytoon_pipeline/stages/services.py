"""What the stages work with: opened once, from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
        return VideoSettings(**self.presets.facts().delivery.video.model_dump())


def open_services(settings: Settings) -> Services:
    """Raises SettingsError or PresetError, naming the setting or file."""
    # The project's own come first, so that what it has is drawn the same on every machine.
    folders = [settings.presets_dir / "fonts", *settings.fonts_dirs, *SYSTEM_FONT_FOLDERS]
    return Services(
        settings=settings,
        store=open_store(settings.store),
        presets=open_presets(settings.presets_dir),
        fonts=FontLibrary(folders),
        engines=Engines([Compositor()], Still()),
        fetcher=Fetcher(
            settings.home / "fetched", hosts=settings.media_hosts, buckets=settings.media_buckets
        ),
    )

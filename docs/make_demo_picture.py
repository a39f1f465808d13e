"""The picture of the README: frames of the demo videos, side by side.

.venv/bin/python docs/make_demo_picture.py      after `make demo`
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.images import save_jpeg
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.store import open_store

FRAMES = (
    ("morrow/kettle", 45),
    ("morrow/kettle", 240),
    ("morrow/candle-offer", 45),
    ("morrow/candle-offer", 240),
    ("morrow/monday", 50),
    ("morrow/refill", 60),
)
WIDTH, GAP = 300, 16


def main() -> None:
    store = open_store(load_settings().store)
    height = WIDTH * 16 // 9
    sheet = np.full((height + 2 * GAP, (WIDTH + GAP) * len(FRAMES) + GAP, 3), 245, np.uint8)
    for n, (key, frame) in enumerate(FRAMES):
        planes = next(read_frames(store.local(f"videos/{key}/video.mp4"), frame, 1))
        small = cv2.resize(planes_to_rgb(planes), (WIDTH, height), interpolation=cv2.INTER_AREA)
        x = GAP + n * (WIDTH + GAP)
        sheet[GAP : GAP + height, x : x + WIDTH] = small
    save_jpeg(sheet, Path(__file__).with_name("demo.jpg"), quality=88)


if __name__ == "__main__":
    sys.exit(main())

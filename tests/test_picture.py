"""Drawing: sampling without drift, blending without fringes, text toned by what lies behind it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytoon_pipeline.picture.contrast import (
    GENTLE,
    TARGET,
    choose_toning,
    contrast_ratio,
    measure_luminance_behind,
    relative_luminance,
)
from pytoon_pipeline.picture.layers import PictureLayer, Placement, TextTile, make_scrim, new_frame
from pytoon_pipeline.picture.motion import compute_pose, ease_in_out
from pytoon_pipeline.picture.transitions import blend_frames
from pytoon_pipeline.picture.yuv import planes_to_rgb, rgb_to_planes


def flat(width: int, height: int, colour: str):
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return rgb_to_planes(rgb)


def test_a_picture_placed_pixel_for_pixel_is_itself() -> None:
    rng = np.random.default_rng(3)
    planes = rgb_to_planes(rng.integers(0, 255, (64, 48, 3), dtype=np.uint8))
    frame = new_frame(48, 64)
    PictureLayer(planes, lambda i: Placement(24, 32, 24, 32, 1.0), (0, 0, 48, 64)).draw(frame, 0)
    for drawn, own in zip(frame, planes, strict=True):
        assert np.array_equal(drawn, own)


def test_chroma_moves_with_luma() -> None:
    """A red spot moved by odd and by broken amounts: its middle in V stays over that in Y."""
    y, x = np.mgrid[0:128, 0:128]
    spot = np.exp(-((x - 64) ** 2 + (y - 64) ** 2) / (2 * 10**2))
    rgb = np.stack([40 + 200 * spot, 40 + 0 * spot, 40 + 0 * spot], axis=2).astype(np.uint8)
    planes = rgb_to_planes(rgb)
    for dx, dy, scale in ((0, 0, 1.0), (1, 3, 1.0), (0.37, -0.61, 1.0), (2.2, 1.9, 1.13)):
        frame = new_frame(96, 96)
        PictureLayer(
            planes,
            lambda i, p=(dx, dy, scale): Placement(64, 64, 48 + p[0], 48 + p[1], p[2]),
            (0, 0, 96, 96),
        ).draw(frame, 0)
        luma = frame[0].astype(float) - frame[0].min()
        red = frame[2].astype(float) - frame[2].min()
        luma[luma < 8] = 0
        red[red < 8] = 0
        at = [
            ((luma * g).sum() / luma.sum(), (red * h).sum() / red.sum())
            for g, h in zip(np.mgrid[0:96, 0:96], np.mgrid[0:48, 0:48], strict=True)
        ]
        # V sample (i, j) lies at row 2i + 0.5 and column 2j of the luma grid.
        assert abs(at[0][0] - (2 * at[0][1] + 0.5)) < 0.1
        assert abs(at[1][0] - 2 * at[1][1]) < 0.1


def test_a_tile_of_nothing_changes_nothing_and_a_solid_one_is_itself() -> None:
    frame = flat(60, 60, "#336699")
    before = [p.copy() for p in frame]
    TextTile.from_rgba(np.zeros((21, 31, 4), np.uint8), 7, 9).draw(frame)
    assert all(np.array_equal(a, b) for a, b in zip(frame, before, strict=True))
    solid = np.full((20, 20, 4), 255, np.uint8)
    TextTile.from_rgba(solid, 11, 13).draw(frame)
    assert (frame[0][13:33, 11:31] == 235).all()
    assert np.array_equal(frame[0][:12], before[0][:12])


def test_tiles_may_stand_over_the_edge() -> None:
    frame = flat(40, 40, "#808080")
    tile = TextTile.from_rgba(np.full((30, 30, 4), 255, np.uint8), -15, 25)
    tile.draw(frame)
    tile.draw(frame, 0.5, dx=0.3, dy=-0.7, scale=1.1)
    assert frame[0][39, 0] > 200 and frame[0][0, 39] < 140


def test_a_shade_begins_at_the_edge_and_ends_without_a_step() -> None:
    frame = flat(40, 200, "#FFFFFF")
    tile = make_scrim(40, 200, 0, 80, 0.5, 60)
    assert tile is not None
    tile.draw(frame)
    column = frame[0][:, 5].astype(int)
    assert column[0] < 140 and column[-1] == 235
    assert (np.diff(column) >= 0).all() and np.diff(column).max() <= 4
    assert make_scrim(40, 200, 0, 80, 0.0, 60) is None


@pytest.mark.parametrize(
    ("ground", "alternate", "expected"),
    [
        ("#101010", "#1F1B18", "as it is"),
        ("#C8703F", "#1F1B18", "a gentle shade"),
        ("#F2EAD8", "#1F1B18", "dark text"),
        ("#F2EAD8", None, "a strong shade"),
    ],
)
def test_text_is_toned_by_the_picture(ground: str, alternate: str | None, expected: str) -> None:
    low, high = measure_luminance_behind([flat(64, 64, ground)], (8, 8, 56, 56))
    assert abs(high - relative_luminance(ground)) < 0.06
    tone = choose_toning("#FFFFFF", alternate, low, high, 0.75)
    found = (
        "dark text"
        if tone.alternate
        else "as it is"
        if tone.shade == 0
        else "a gentle shade"
        if tone.shade <= GENTLE
        else "a strong shade"
    )
    assert found == expected


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_whatever_lies_behind_the_text_keeps_its_contrast(r: int, g: int, b: int) -> None:
    ground = f"#{r:02X}{g:02X}{b:02X}"
    low, high = measure_luminance_behind([flat(32, 32, ground)], (0, 0, 32, 32))
    tone = choose_toning("#FFFFFF", "#15171A", low, high, 0.75)
    if tone.alternate:
        assert contrast_ratio(relative_luminance("#15171A"), relative_luminance(ground)) > 3
    else:
        shaded = high * (1 - tone.shade) ** 2.2
        assert contrast_ratio(1.0, shaded) >= TARGET - 0.01


def test_transitions_begin_and_end_with_their_neighbours() -> None:
    left, right = flat(40, 40, "#204080"), flat(40, 40, "#E0C040")
    for kind in ("fade", "fade_black", "slide", "zoom", "wipe"):
        first, last = (
            blend_frames(kind, left, right, 0, 12),
            blend_frames(kind, left, right, 11, 12),
        )
        assert abs(float(first[0].mean()) - left[0].mean()) < 16, kind
        assert abs(float(last[0].mean()) - right[0].mean()) < 16, kind
        assert all(p.flags.c_contiguous for p in (*first, *last))
    same = blend_frames("fade", left, left, 5, 12)
    assert all(np.array_equal(a, b) for a, b in zip(same, left, strict=True))
    dark = blend_frames("fade_black", left, right, 5, 11)
    assert planes_to_rgb(dark).max() < 4


@given(st.floats(0, 1), st.floats(0, 1))
def test_easing_never_turns_back(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= ease_in_out(low) <= ease_in_out(high) <= 1


def test_every_motion_stays_within_its_amount() -> None:
    for kind in (
        "still",
        "push_in",
        "pull_out",
        "pan_left",
        "pan_right",
        "pan_up",
        "pan_down",
        "float",
    ):
        for frame in range(60):
            p = compute_pose(kind, 0.1, (0.5, 0.5), frame, 60, 30)
            assert 1 <= p.zoom <= 1.1 + 1e-9 and 0 <= p.x <= 1 and 0 <= p.y <= 1
            assert abs(p.dy) <= 0.03

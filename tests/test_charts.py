"""Charts say where each place of a crop lies: in the scene by the crop's place, on the face by the landmarks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from toys import write_toy_pairs

from mueca.errors import InputError
from mueca.face.charts import GRID, Atlas, borrowed_views, charts_of, fit_atlas, views_of
from mueca.face.crop import apply_transform
from mueca.pairs import read_landmarks, read_split
from mueca.subject import fit_subject, read_atlas, with_charts, write_subject

STILL = np.array([[0.0, 0.0, 1.0]])
FACE = np.random.default_rng(0).uniform(60, 200, (68, 2))
ATLAS = Atlas([320.0, 240.0], 300.0, [-0.1, -0.2, 0.9], [0.1, 0.2, 1.2], FACE.tolist())


def square(x: float, y: float, side: float) -> np.ndarray:
    """The transform of a crop with that middle and side, in frame pixels."""
    scale = side / 256
    return np.array([[scale, 0, x - 127.5 * scale], [0, scale, y - 127.5 * scale], [0, 0, 1.0]])


def at(chart: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    """What a chart (2, GRID, GRID) says of points (N, 2) in crop pixels, (N, 2)."""
    cells = (points_px + 0.5) / 256 * (GRID - 1)
    return np.stack([map_coordinates(axis, cells.T[::-1], order=1) for axis in chart], axis=-1)


def test_the_usual_crop_with_the_mean_face_is_its_own_chart():
    (chart,) = charts_of(FACE[None], STILL, ATLAS)
    along = np.linspace(-1, 1, GRID)
    plain = np.stack(np.meshgrid(along, along))
    np.testing.assert_allclose(chart[:2], plain, atol=1e-6)
    np.testing.assert_allclose(chart[2:], plain, atol=1e-3)


def test_what_stands_still_has_one_place_in_the_scene_wherever_the_crop_is():
    points = np.array([[300.0, 200.0], [330.0, 260.0]])  # of the frame
    told = []
    for transform in (square(320, 240, 300), square(350, 230, 240)):
        views = views_of(transform[None], ATLAS)
        chart = charts_of(FACE[None], views, ATLAS)[0, :2]
        told.append(at(chart, apply_transform(np.linalg.inv(transform), points)))
    np.testing.assert_allclose(told[0], told[1], atol=1e-5)
    np.testing.assert_allclose(told[0], (points - ATLAS.centre_px) / 150, atol=1e-5)


def test_landmarks_keep_their_places_on_the_face_however_it_moves():
    moved = FACE + 2 * np.random.default_rng(1).normal(size=FACE.shape) + (5, -8)
    chart = charts_of(moved[None], STILL, ATLAS)[0, 2:]
    away_px = np.abs(at(chart, moved) - ((FACE + 0.5) / 128 - 1)).max(axis=1) * 128
    assert np.median(away_px) < 1.0  # it is stiff, and the grid is coarse
    unmoved = charts_of(FACE[None], STILL, ATLAS)[0, 2:]
    assert np.median(np.abs(at(unmoved, moved) - ((FACE + 0.5) / 128 - 1)).max(axis=1) * 128) > 5.0


def test_far_from_the_face_a_bent_face_chart_is_the_similarity_of_the_whole():
    turn = np.deg2rad(12)
    rotation = 0.9 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    posed = (FACE - FACE.mean(axis=0)) @ rotation.T + FACE.mean(axis=0) + (6, -4)
    grimace = posed + 6 * np.random.default_rng(4).normal(size=FACE.shape)
    plain, bent = (charts_of(face[None], STILL, ATLAS)[0, 2:] for face in (posed, grimace))
    corners = np.array([[1.0, 1.0], [254.0, 1.0], [1.0, 254.0], [254.0, 254.0]])
    back = (corners - FACE.mean(axis=0) - (6, -4)) @ np.linalg.inv(rotation).T + FACE.mean(axis=0)
    np.testing.assert_allclose(at(plain, corners), (back + 0.5) / 128 - 1, atol=0.01)
    assert np.abs(at(bent, corners) - at(plain, corners)).max() * 128 < 12  # a tenth of the way to the corner


def test_frames_have_their_charts_alone_and_among_many():
    rng = np.random.default_rng(2)
    landmarks = FACE + rng.normal(size=(150, 68, 2))
    views = rng.uniform(-0.1, 0.1, (150, 3)) + STILL
    together = charts_of(landmarks, views, ATLAS)
    assert together.shape == (150, 4, GRID, GRID) and together.dtype == np.float32
    np.testing.assert_allclose(charts_of(landmarks[140:141], views[140:141], ATLAS)[0], together[140], atol=1e-5)


def test_landmarks_that_all_lie_on_a_line_or_in_a_point_still_have_finite_charts():
    line = np.stack([np.linspace(50, 200, 68), np.linspace(50, 200, 68)], axis=-1)
    for landmarks in (line, np.full((68, 2), 128.0)):
        assert np.isfinite(charts_of(landmarks[None], STILL, ATLAS)).all()


def test_an_atlas_is_the_middle_of_what_was_filmed_and_its_range():
    rng = np.random.default_rng(3)
    places = np.column_stack([rng.normal(320, 6, 400), rng.normal(240, 3, 400), rng.normal(300, 9, 400)])
    transforms = np.array([square(*place) for place in places])
    atlas = fit_atlas(np.repeat(FACE[None], 400, 0), transforms)
    assert atlas.centre_px == pytest.approx([320, 240], abs=1.0) and atlas.side_px == pytest.approx(300, abs=2)
    views = views_of(transforms, atlas)
    inside = (views >= atlas.view_low) & (views <= atlas.view_high)
    assert (inside.mean(axis=0) == pytest.approx(0.98, abs=0.01)) and not inside.all()


def test_a_driver_moves_the_view_as_far_as_they_move_themselves_but_not_beyond_the_subjects_range():
    # Another camera: a crop twice as large, elsewhere in the frame.
    own = [square(900, 500, 600)] * 8 + [square(930, 500, 600), square(900, 500, 660), square(400, 1000, 3000)]
    views = borrowed_views(np.array(own), ATLAS)
    np.testing.assert_allclose(views[0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(views[8], [0.05, 0, 1], atol=1e-12)
    np.testing.assert_allclose(views[9], [0, 0, 1.1], atol=1e-12)
    np.testing.assert_allclose(views[10], [-0.1, 0.2, 1.2], atol=1e-12)


def test_a_split_gets_the_charts_of_its_own_frames(tmp_path):
    pairs = write_toy_pairs(tmp_path / "pairs")
    atlas, track = fit_subject(pairs).atlas, read_landmarks(pairs)
    test = with_charts(read_split(pairs, "test"), pairs, atlas)
    rows = test.frame_index  # toys are numbered from 0
    views = views_of(track.frame_from_crop[rows], atlas)
    np.testing.assert_array_equal(test.charts, charts_of(track.landmarks[rows], views, atlas))


def test_a_frame_without_landmarks_is_named(tmp_path):
    pairs = write_toy_pairs(tmp_path / "pairs")
    part = read_split(pairs, "test")
    part = dataclasses.replace(part, frame_index=part.frame_index + 500)
    with pytest.raises(InputError, match=f"lack frame {part.frame_index[0]}; extract"):
        with_charts(part, pairs, ATLAS)


@pytest.mark.parametrize(
    "damage",
    [{"side_px": 0.0}, {"view_low": [0.5, 0.0, 1.0]}, {"centre_px": [1.0]}, {"view_low": [0, 0, -1], "side_px": 2.0}],
    ids=str,
)
def test_a_damaged_atlas_is_told(tmp_path, damage):
    pairs = write_toy_pairs(tmp_path / "pairs")
    subject = fit_subject(pairs)
    write_subject(tmp_path / "subject.json", dataclasses.replace(subject, atlas=dataclasses.replace(ATLAS, **damage)))
    with pytest.raises(InputError, match=r"subject.json: can't be read"):
        read_atlas(tmp_path)


def test_a_run_whose_atlas_is_missing_is_told_what_to_do(tmp_path):
    pairs = write_toy_pairs(tmp_path / "pairs")
    write_subject(tmp_path / "subject.json", dataclasses.replace(fit_subject(pairs), atlas=None))
    with pytest.raises(InputError, match="lacks the atlas that its textures need; train the run again"):
        read_atlas(tmp_path)

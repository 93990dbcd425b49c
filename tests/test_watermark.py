"""The imperceptible mark can't be seen, is found after what files go through, and is not found where there is none."""

import io

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mueca.actors import ACTORS, performance, render
from mueca.metrics import psnr
from mueca.watermark import MIN_SIDE_PX, PUBLIC_KEY, THRESHOLD, _pattern, detect, embed, embed_in


@pytest.fixture(scope="module")
def film() -> list[np.ndarray]:
    """Twenty-five neighbouring pictures of actor b, (256, 256, 3), unmarked."""
    frames = [render(ACTORS["b"], expression)[0] for expression in performance(seed=3, num_frames=25)]
    side = min(frames[0].shape[:2])
    left = (frames[0].shape[1] - side) // 2
    return [cv2.resize(f[:side, left : left + side], (256, 256), interpolation=cv2.INTER_AREA) for f in frames]


@pytest.fixture(scope="module")
def face(film: list[np.ndarray]) -> np.ndarray:
    return film[0]


@pytest.fixture(scope="module")
def marked(face: np.ndarray) -> np.ndarray:
    return embed(face)


def grey(height: int, width: int, level: int = 128) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def h264(film: list[np.ndarray], crf: int) -> list[np.ndarray]:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = *film[0].shape[:2], "yuv420p"
        for picture in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


# It can't be seen


@settings(max_examples=40)
@given(
    st.integers(1, 400), st.integers(1, 400), st.integers(0, 255), st.floats(0, 120), st.floats(0, 8), st.integers(0)
)
def test_no_picture_loses_more_than_42_db(height, width, level, contrast, softness, seed):
    noise = np.random.default_rng(seed).standard_normal((height, width, 3)).astype(np.float32)
    if softness > 0.1:
        noise = cv2.GaussianBlur(noise, (0, 0), softness).reshape(noise.shape)
    image = (level + contrast * noise / (noise.std() + 1e-6)).clip(0, 255).astype(np.uint8)
    assert psnr(embed(image), image) >= 42


def test_flat_ground_changes_by_less_than_a_level_and_by_two_at_most():
    change = embed(grey(256, 256)).astype(int) - 128
    assert 0.5 < change.std() < 0.9 and np.abs(change).max() == 2
    assert (change[..., 0] == change[..., 1]).all() and (change[..., 0] == change[..., 2]).all()  # no colour


def test_texture_hides_more_of_it_than_flat_ground():
    image = grey(256, 256)
    image[:, 128:] += np.random.default_rng(0).integers(0, 60, (256, 128, 3), np.uint8)
    change = np.abs(embed(image).astype(int) - image)
    assert change[:, 150:].mean() > 2 * change[:, :106].mean()


def test_marking_gives_a_copy_and_always_the_same_one(face):
    before = face.copy()
    first = embed(face)
    assert (embed(face) == first).all() and (face == before).all()
    assert first is not face and (first != face).any()


# It never changes


def test_the_public_pattern_is_the_one_that_files_out_there_carry():
    np.testing.assert_allclose(_pattern(PUBLIC_KEY)[0, :6], [-1.5174, -2.5, -2.5, -2.5, -1.79, -0.6223], atol=1e-4)


# It is found


@pytest.mark.parametrize("quality", [95, 75, 50])
def test_it_survives_jpeg(marked, quality):
    assert detect([jpeg(marked, quality)]).found


def test_it_survives_h264_at_crf_28_and_more_frames_show_more_of_it(film):
    written = h264([embed(picture) for picture in film], 28)
    assert detect(written).score > 1.3 * THRESHOLD


def test_more_frames_raise_the_score():
    rng = np.random.default_rng(5)
    noisy = [rng.normal(128, 40, (256, 256, 1)).clip(0, 255).astype(np.uint8).repeat(3, 2) for _ in range(16)]
    faint = [cv2.addWeighted(embed(grey(256, 256)), 1.0, picture, 0.5, -64) for picture in noisy]
    assert detect(faint).score > 2 * detect(faint[:1]).score


@pytest.mark.parametrize("scale", [0.5, 0.62, 0.75, 1.37, 1.5, 2.0])
def test_it_is_found_in_a_resized_picture_with_its_scale(marked, scale):
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    found = detect([cv2.resize(marked, None, fx=scale, fy=scale, interpolation=how)])
    assert found.found and found.scale == pytest.approx(scale, rel=0.01)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (51, 0), (0, 51), (51, 51), (20, 37)])
def test_it_is_found_in_a_crop_by_a_fifth_of_width_and_height_with_its_offset(marked, left, top):
    found = detect([jpeg(np.ascontiguousarray(marked[top : top + 205, left : left + 205]), 75)])
    assert found.found and found.offset_px == pytest.approx((-left, -top), abs=2)


def test_it_is_found_in_a_crop_that_was_enlarged_to_the_old_size(marked):
    found = detect([cv2.resize(marked[30:235, 10:215], (256, 256), interpolation=cv2.INTER_CUBIC)])
    assert found.found and found.scale == pytest.approx(256 / 205, rel=0.01)


def test_it_is_found_in_one_of_three_pictures_side_by_side(film):
    row = np.hstack([film[10], film[20], embed(film[0])])
    found = detect([jpeg(row, 75)])
    assert found.found and found.offset_px == pytest.approx((512, 0), abs=2)
    assert not detect([np.hstack([film[10], film[20], film[0]])]).found


def test_it_is_found_on_a_page_larger_than_one_block_and_enlarged(marked):
    page = grey(700, 1100, 245)
    for line in range(20):
        cv2.putText(page, "no part of this is a face " * 4, (5, 20 + 35 * line), 0, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
    clean = page.copy()
    page[420:676, 800:1056] = marked
    found = detect([jpeg(cv2.resize(page, None, fx=1.1, fy=1.1), 80)])
    assert found.found and found.offset_px == pytest.approx((880, 462), abs=3)
    assert not detect([jpeg(cv2.resize(clean, None, fx=1.1, fy=1.1), 80)]).found


@pytest.mark.parametrize("size", [(128, 128), (131, 257), (333, 256), (512, 512)])
def test_fakes_of_other_sizes_are_marked_and_found(face, size):
    assert detect([jpeg(embed(cv2.resize(face, size, interpolation=cv2.INTER_AREA)), 90)]).found


def test_a_fake_is_marked_where_it_stands_and_nothing_else_is(face):
    image = np.ascontiguousarray(np.tile(face, (1, 2, 1)))
    before = image.copy()
    embed_in(image, (256, -20, 600, 256))  # as far as it lies in the picture
    assert (image[:, :256] == before[:, :256]).all()
    assert (image[:, 256:] == embed(face)).all()


# It is not found where there is none


def test_clean_pictures_stay_below_the_threshold(film):
    rng = np.random.default_rng(1)
    slope = np.linspace(0, 255, 256).astype(np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    noise = rng.integers(0, 256, (256, 256, 3), np.uint8)
    board = (np.indices((256, 256)).sum(0) // 8 % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    for picture in (*film[::6], slope, noise, board, jpeg(slope, 60), grey(256, 256)):
        assert not detect([picture]).found
    assert not detect(film).found


def test_nothing_on_flat_ground_scores_nothing():
    assert detect([grey(300, 300)]).score < 1


def test_a_face_on_an_empty_page_is_no_likelier_to_be_taken_for_marked(face):
    page = grey(640, 640, 245)
    page[300:556, 200:456] = face
    assert max(detect([page], key=bytes([number])).score for number in range(6)) < THRESHOLD


def test_the_mark_of_another_key_is_not_found_and_is_by_that_key(face):
    other = embed(face, key=b"another")
    assert not detect([other]).found
    assert detect([other], key=b"another").found


def test_a_larger_picture_must_score_higher():
    small, large = detect([grey(256, 256)]), detect([grey(512, 1024)])
    assert small.threshold == THRESHOLD
    assert large.threshold == pytest.approx((THRESHOLD**2 + 2 * np.log(8)) ** 0.5)


@pytest.mark.slow
def test_of_three_hundred_noises_and_crops_none_is_taken_for_marked(film):
    rng = np.random.default_rng(9)
    for number in range(300):
        picture = film[number % len(film)]
        side = int(rng.integers(100, 256))
        y, x = (int(rng.integers(256 - side)) for _ in range(2))
        picture = cv2.resize(picture[y : y + side, x : x + side], (256, 256), interpolation=cv2.INTER_CUBIC)
        if number % 3 == 0:
            picture = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), np.uint8), (0, 0), 0.3 + number / 100)
        assert not detect([picture]).found


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_it_survives_a_second_encoding_at_another_size(film, scale):
    written = h264([embed(picture) for picture in film], 18)
    resized = [cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for picture in written]
    assert detect(h264(resized, 23)).found


# What can't be marked, or looked at


def test_a_picture_too_small_for_the_mark_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (MIN_SIDE_PX - 1, 300, 3), np.uint8)
    assert (embed(image) == image).all()
    assert detect([grey(20, 20)]).score == 0 and not detect([grey(20, 20)]).found


def test_a_box_outside_the_picture_marks_nothing(face):
    image = face.copy()
    embed_in(image, (300, 300, 556, 556))
    embed_in(image, (-300, 0, -44, 256))
    assert (image == face).all()


@pytest.mark.parametrize("wrong", [np.zeros((256, 256), np.uint8), np.zeros((256, 256, 3)), np.zeros((9, 9, 4), "u1")])
def test_other_arrays_than_pictures_are_refused(wrong):
    for use in (embed, lambda image: detect([image]), lambda image: embed_in(image, (0, 0, 9, 9))):
        with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
            use(wrong)


def test_no_frame_and_frames_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="no frame"):
        detect([])
    with pytest.raises(ValueError, match="one size"):
        detect([grey(64, 64), grey(64, 65)])

"""Pictures come in as upright RGB or with a reason why not, and go out with their mark."""

import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from media import corners, small_disk
from PIL import Image

from mueca.errors import InputError, OutputError
from mueca.marks import SYNTHETIC, UNMARKED, composite, stamp, xmp_packet
from mueca.pictures import contact_sheet, encode_picture, read_picture, write_picture

pictures = hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3)))


def saved(path: Path, picture: Image.Image, **options) -> Path:
    picture.save(path, **options)
    return path


def read_xmp(path: Path) -> bytes | None:
    with Image.open(path) as picture:
        packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    return packet.encode() if isinstance(packet, str) else packet


def noise(height: int = 256, width: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None)
@given(pictures)
def test_an_unmarked_png_comes_back_bit_by_bit(tmp_path_factory, image):
    path = tmp_path_factory.getbasetemp() / "back.png"
    write_picture(path, image, mark=UNMARKED)
    assert np.array_equal(read_picture(path), image)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".PNG", ".JPG"])
@pytest.mark.parametrize("mark", [SYNTHETIC, composite((0, 0, 200, 200))])
def test_a_marked_file_carries_badge_and_xmp(tmp_path, suffix, mark):
    path, image = tmp_path / f"fake{suffix}", np.full((256, 256, 3), 128, np.uint8)
    write_picture(path, image, mark=mark)
    assert read_xmp(path) == xmp_packet(mark)
    difference = np.abs(read_picture(path).astype(int) - stamp(image, mark))
    assert difference.mean() < 1
    assert read_picture(path).max() > 220  # the letters


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_unmarked_file_carries_no_xmp(tmp_path, suffix):
    write_picture(tmp_path / f"target{suffix}", corners(), mark=UNMARKED)
    assert read_xmp(tmp_path / f"target{suffix}") is None
    assert b"xpacket" not in (tmp_path / f"target{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_same_picture_gives_the_same_bytes(suffix):
    assert encode_picture(noise(), suffix, SYNTHETIC) == encode_picture(noise(), suffix, SYNTHETIC)


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(OutputError, match=r"\.webp: pictures are written as \.png, \.jpg, \.jpeg"):
        write_picture(tmp_path / "fake.webp", corners(), mark=SYNTHETIC)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "disk", num_kib=64) as disk:
        with pytest.raises(OutputError, match=r"fake\.png: no space left on the disk; free some and run"):
            write_picture(disk / "fake.png", noise(), mark=SYNTHETIC)
        assert not list(disk.iterdir())


def test_a_folder_in_the_way_is_told(tmp_path):
    (tmp_path / "fake.png").mkdir()
    with pytest.raises(OutputError, match=r"fake\.png: can't be written \(Is a directory\); name another place"):
        write_picture(tmp_path / "fake.png", corners(), mark=SYNTHETIC)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    stored = Image.fromarray(corners())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that a camera would have made
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = stored if orientation == 1 else stored.transpose(Image.Transpose(undo[orientation]))
    path = saved(tmp_path / "phone.png", turned, exif=exif)
    assert np.array_equal(read_picture(path), corners())


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path, mode):
    grey = Image.fromarray(np.full((8, 8, 3), 255, np.uint8))
    path = saved(tmp_path / "kind.tif", grey.convert(mode))
    assert read_picture(path).shape == (8, 8, 3)
    assert (read_picture(path) == 255).all()


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (4, 1))
    path = saved(tmp_path / "deep.png", Image.fromarray(ramp))
    assert np.array_equal(read_picture(path)[0, :, 0], np.arange(256))


def test_a_nearly_black_sixteen_bit_picture_stays_nearly_black(tmp_path):
    path = saved(tmp_path / "night.png", Image.fromarray(np.full((4, 4), 200, np.uint16)))
    assert read_picture(path).max() <= 1


def test_see_through_parts_become_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[0, 0] = 10, 20, 30, 255
    image = read_picture(saved(tmp_path / "cut out.png", Image.fromarray(rgba)))
    assert image[0, 0].tolist() == [10, 20, 30]
    assert (image[1:] == 255).all()


def png_of(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that declares a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_001, 10_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    (tmp_path / "bomb.png").write_bytes(png_of(side, side))
    with pytest.raises(InputError, match=r"bomb\.png: has more than 64 megapixels; scale it down"):
        read_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"no picture at all", "is no picture"), (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no picture")],
)
def test_what_is_no_picture_is_told_by_name(tmp_path, content, reason):
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"odd\.png: {reason}.*; give a PNG or JPEG"):
        read_picture(tmp_path / "odd.png")


def test_a_missing_picture_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: does not exist; name a picture file"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"is a folder; name a picture file"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match=r"can't be read \(File name too long\)"):
        read_picture(tmp_path / ("long" * 100))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on odd metadata
@settings(deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]), st.integers(0, 2**32 - 1), st.booleans())
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(tmp_path_factory, kind, seed, truncate):
    random = np.random.default_rng(seed)
    data = io.BytesIO()
    Image.fromarray(corners(16, 12)).save(data, kind)
    broken = bytearray(data.getvalue())
    for position in random.integers(0, len(broken), 6):
        broken[position] = random.integers(256)
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(broken[: random.integers(len(broken))] if truncate else broken)
    try:
        image = read_picture(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert image.dtype == np.uint8
        assert image.shape[2] == 3


@settings(deadline=None)
@given(st.lists(st.lists(pictures, min_size=1, max_size=3), min_size=1, max_size=3), st.integers(0, 9), st.booleans())
def test_a_contact_sheet_shows_each_tile_in_its_box(rows, gap_px, titled):
    rows = [[tile[: rows[0][0].shape[0]] for tile in row] for row in rows]
    height = rows[0][0].shape[0]
    sheet, boxes = contact_sheet(rows, titles=("a", "b") if titled else (), gap_px=gap_px)
    taken = np.zeros(sheet.shape[:2], int)
    for row, row_boxes in zip(rows, boxes, strict=True):
        for tile, (x0, y0, x1, y1) in zip(row, row_boxes, strict=True):
            assert y1 - y0 == height
            if tile.shape[0] == height:
                assert np.array_equal(sheet[y0:y1, x0:x1], tile)
            taken[y0:y1, x0:x1] += 1
    assert taken.max() == 1


def test_titles_stand_above_the_tiles_on_dark_ground():
    sheet, boxes = contact_sheet([[np.zeros((64, 64, 3), np.uint8)] * 2], titles=("condition", "fake"))
    above = sheet[: boxes[0][1][1], boxes[0][1][0] :]
    assert above.max() > 180
    assert np.median(above) < 40


def test_an_empty_contact_sheet_is_refused():
    with pytest.raises(ValueError, match="one picture or more"):
        contact_sheet([])


def test_a_mount_that_fails_skips_with_its_reason(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, "mount", stderr="only root can do that")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(pytest.skip.Exception, match="only root"), small_disk(tmp_path / "disk", num_kib=64):
        pass

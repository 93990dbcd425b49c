"""Read a picture from outside, and write one with its mark, signed: the one place that writes pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from mueca import manifests
from mueca.errors import InputError, OutputError
from mueca.files import cannot_write, write_whole
from mueca.marks import Box, Mark, Picture, stamp, xmp_packet

MAX_PIXELS = 64_000_000
"""A picture of 64 megapixels takes 192 MB; phones make up to 50, a PNG of a few kilobytes can declare billions."""
MAX_FRAME_PX = 2048
"""A side of a camera's frame; the page sends 640 x 480."""
READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
WRITTEN_SUFFIXES = (".png", ".jpg", ".jpeg")

# What Pillow's decoders raise on damaged files; OSError holds "unknown format" and "cut short".
_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, MemoryError, AttributeError),
    *(struct.error, zlib.error),
)
# Colour at full resolution: the badge and the drawn landmarks are thin lines.
_JPEG_OPTIONS = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
# Means over 40 targets and 40 conditions of d9, processor time: 1.54 ms and 81 kB, 0.30 ms and 1.8 kB. OpenCV's own
# choice: 1.81 ms and 86 kB, 0.30 ms and 1.7 kB; Huffman codes alone: 1.39 ms and 90 kB, but 0.87 ms and 25 kB.
_PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]
_PAPER = (255, 255, 255)
_GROUND = (24, 24, 24)


def read_picture(path: Path) -> Picture:
    """Return the picture as RGB uint8 (H, W, 3), upright, see-through parts on white; raises InputError."""
    path = Path(path)
    try:
        return _decode(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limit
        raise InputError(_too_large(path)) from error
    except _DECODER_ERRORS as error:
        raise InputError(f"{path}: {_why_unreadable(path, error)}") from error


def decode_frame(data: bytes) -> Picture:
    """Return a camera's JPEG as RGB uint8 (H, W, 3); raises InputError at anything else, or more than MAX_FRAME_PX."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            size = picture.size
    except (*_DECODER_ERRORS, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError("frame: is no JPEG, or a damaged one") from error
    if max(size) > MAX_FRAME_PX:
        raise InputError(f"frame: is {size[0]} x {size[1]}; send at most {MAX_FRAME_PX} pixels a side")
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise InputError("frame: is no JPEG, or a damaged one")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _why_unreadable(path: Path, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "does not exist; name a picture file"
        case IsADirectoryError():
            return "is a folder; name a picture file"
        case OSError() if error.errno is not None:
            return f"can't be read ({error.strerror}); name a picture file"
        case UnidentifiedImageError() if path.stat().st_size == 0:
            return "is empty; give a PNG or JPEG"
    return "is no picture that can be read, or is damaged; give a PNG or JPEG"


def _decode(path: Path) -> Picture:
    with Image.open(path, formats=READ_FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise InputError(_too_large(path))
        picture.load()
        return _rgb(ImageOps.exif_transpose(picture))


def _too_large(path: Path) -> str:
    return f"{path}: has more than {MAX_PIXELS // 1_000_000} megapixels; scale it down"


def _rgb(picture: Image.Image) -> Picture:
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.uint32) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, _PAPER)
        picture = Image.alpha_composite(paper, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def write_picture(path: Path, image: Picture, *, mark: Mark) -> None:
    """Write ``image``, RGB uint8 (H, W, 3), with its badge, metadata and signed manifest.

    Raises OutputError where it can't be signed or written, InputError where the user's key is damaged.
    """
    path = Path(path)
    data = manifests.sign(encode_picture(image, path.suffix, mark), path.suffix, mark, title=path.name)
    try:
        write_whole(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error


def encode_picture(image: Picture, suffix: str, mark: Mark) -> bytes:
    """Return the bytes of a .png, .jpg or .jpeg with the badge in it and XMP that names the source type.

    They carry no manifest: this is for what becomes no file of its own, such as a frame or a picture in a page.
    """
    if suffix.lower() not in WRITTEN_SUFFIXES:
        raise OutputError(f"{suffix or 'no suffix'}: pictures are written as {', '.join(WRITTEN_SUFFIXES)}")
    is_png = suffix.lower() == ".png"
    bgr = cv2.cvtColor(stamp(image, mark), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(suffix.lower(), bgr, _PNG_OPTIONS if is_png else _JPEG_OPTIONS)[1].tobytes()
    packet = xmp_packet(mark)
    if packet is None:
        return data
    return png_with_xmp(data, packet) if is_png else jpeg_with_xmp(data, packet)


def png_with_xmp(data: bytes, packet: bytes) -> bytes:
    """Return the PNG with an international text chunk after its header. Source: XMP specification, part 3, 1.1.5."""
    body = b"iTXt" + b"XML:com.adobe.xmp" + bytes(5) + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]  # 8 bytes of signature, 25 of IHDR


def jpeg_with_xmp(data: bytes, packet: bytes) -> bytes:
    """Return the JPEG with an APP1 segment after JFIF's APP0. Source: XMP specification, part 3, 1.1.3."""
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet
    end_of_app0 = 4 + int.from_bytes(data[4:6], "big")
    return data[:end_of_app0] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[end_of_app0:]


def contact_sheet(
    rows: Sequence[Sequence[Picture]], *, titles: Sequence[str] = (), gap_px: int = 4
) -> tuple[Picture, list[list[Box]]]:
    """Return (sheet, boxes): tiles of one height on a dark ground, ``boxes[row][column]`` where each one lies.

    Tiles are scaled to the height of the first one; a column is as wide as its widest tile. ``titles`` stand over
    the columns. The boxes let the caller say which tiles are fakes: ``composite(boxes[0][2])``.
    """
    if not rows or not rows[0]:
        raise ValueError("a contact sheet needs one picture or more")
    tile_height = rows[0][0].shape[0]
    tiles = [[_scaled(tile, tile_height) for tile in row] for row in rows]
    widths = [max(row[c].shape[1] for row in tiles if c < len(row)) for c in range(max(map(len, tiles)))]
    lefts = np.cumsum([gap_px, *(width + gap_px for width in widths)]).tolist()
    top = gap_px + (_title_height(tile_height) if titles else 0)
    sheet = np.full((top + len(tiles) * (tile_height + gap_px), lefts[-1], 3), _GROUND, np.uint8)
    boxes: list[list[Box]] = []
    for r, row in enumerate(tiles):
        y0 = top + r * (tile_height + gap_px)
        boxes.append([(x0, y0, x0 + t.shape[1], y0 + tile_height) for x0, t in zip(lefts, row, strict=False)])
        for (x0, _, x1, y1), tile in zip(boxes[-1], row, strict=True):
            sheet[y0:y1, x0:x1] = tile
    return _titled(sheet, titles, lefts, tile_height), boxes


def _scaled(tile: Picture, height: int) -> Picture:
    if tile.shape[0] == height:
        return tile
    size = (max(1, round(tile.shape[1] * height / tile.shape[0])), height)
    return cv2.resize(tile, size, interpolation=cv2.INTER_AREA if tile.shape[0] > height else cv2.INTER_LINEAR)


def _title_height(tile_height: int) -> int:
    return max(14, tile_height // 12)


def _titled(sheet: Picture, titles: Sequence[str], lefts: Sequence[int], tile_height: int) -> Picture:
    if not titles:
        return sheet
    picture = Image.fromarray(sheet)
    height = _title_height(tile_height)
    for title, left in zip(titles, lefts, strict=False):
        ImageDraw.Draw(picture).text((left, 2), title, fill=(230, 230, 230), font=ImageFont.load_default(height * 0.75))
    return np.array(picture)

"""Clean pictures and videos on which marks.py counts false alarms, and how a picture gets onto a screen's page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mueca.video import VideoReader
from mueca.watermark import embed

Picture = np.ndarray
"""RGB uint8, (H, W, 3)."""
Film = list[Picture]

CLEAN_KINDS = {
    "crops of clips": 0.6,
    "whole frames of clips": 0.05,
    "three pictures in a row": 0.1,
    "screenshots": 0.02,
    "noise": 0.13,
    "flat, slopes, stripes": 0.1,
    "videos of 25 frames": 0.1,
    "videos of 100 frames": 0.04,
    "pictures with another key's mark": 0.05,
}
"""How many of each by the number of clean pictures that is asked for: the single pictures add up to one."""
MOST_FRAMES = 120
"""Of a clip, every second one, for 720p takes three megabytes a frame."""


def clean_films(kind: str, clip: Path, count: int, seed: int) -> Iterator[Film]:
    """Yield pictures without the public mark, or videos, of one of CLEAN_KINDS; most are cut out of the clip."""
    rng = np.random.default_rng(seed)
    film = [frame.image for frame in itertools.islice(VideoReader(clip), 0, 2 * MOST_FRAMES, 2)]
    for _ in range(count):
        picture = film[int(rng.integers(len(film)))]
        match kind:
            case "crops of clips":
                yield [_recoded(_any_square(picture, rng), rng)]
            case "whole frames of clips":
                yield [_recoded(picture, rng)]
            case "three pictures in a row":
                yield [np.hstack([_any_square(picture, rng) for _ in range(3)])]
            case "screenshots":
                yield [_recoded(screenshot(_any_square(picture, rng), float(rng.uniform(0.7, 1.4)), rng), rng)]
            case "noise":
                yield [_noise(rng)]
            case "flat, slopes, stripes":
                yield [_recoded(_plain(rng), rng)]
            case "pictures with another key's mark":
                yield [embed(_any_square(picture, rng), key=str(rng.integers(2**31)).encode())]
            case _:
                yield _part_of(film, int(kind.split()[-2]), rng)


def screenshot(picture: Picture, scale: float, rng: np.random.Generator) -> Picture:
    """Return a page of 900 x 600 with text around the picture, enlarged by a scale of the screen."""
    page = np.full((600, 900, 3), 248, np.uint8)
    for line in range(24):
        letters = "".join(chr(code) for code in rng.integers(97, 122, 90))
        cv2.putText(page, letters, (12, 22 + line * 25), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    y, x = int(rng.integers(600 - picture.shape[0])), int(rng.integers(900 - picture.shape[1]))
    page[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)


def jpeg(picture: Picture, quality: int) -> Picture:
    """Return the picture as JPEG with 4:2:0 colour leaves it."""
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def _any_square(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    side = int(rng.integers(min(height, width) // 3, min(height, width)))
    y, x = int(rng.integers(height - side)), int(rng.integers(width - side))
    how = cv2.INTER_AREA if side > 256 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture[y : y + side, x : x + side]), (256, 256), interpolation=how)


def _recoded(picture: Picture, rng: np.random.Generator) -> Picture:
    return jpeg(picture, int(rng.integers(40, 96))) if rng.random() < 0.5 else picture


def _noise(rng: np.random.Generator) -> Picture:
    """Return noise whose power falls with frequency, white to as steep as in nature, in grey or in colour."""
    frequencies = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    frequencies[0, 0] = 1
    white = rng.standard_normal((3 if rng.random() < 0.5 else 1, 256, 256))
    shaped = np.fft.irfft2(np.fft.rfft2(white) * frequencies ** -rng.uniform(0, 1.5), (256, 256))
    shaped *= rng.uniform(1, 60) / shaped.std()
    return (np.repeat(shaped.transpose(1, 2, 0), 3 // len(shaped), axis=2) + 128).clip(0, 255).astype(np.uint8)


def _plain(rng: np.random.Generator) -> Picture:
    """Return a flat ground, a slope, stripes or a chequerboard of any colour, period and direction."""
    y, x = np.indices((256, 256)) - 128
    along = x * np.cos(turn := rng.uniform(0, np.pi)) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    period = rng.uniform(3, 64)
    stripes = np.sin(2 * np.pi * along / period)
    forms = (0 * along, along / 128, stripes, np.sign(stripes), np.sign(stripes * np.sin(2 * np.pi * across / period)))
    form = forms[int(rng.integers(len(forms)))]
    return (rng.uniform(0, 255, 3) + form[..., None] * rng.uniform(-100, 100, 3)).clip(0, 255).astype(np.uint8)


def _part_of(film: Film, num_frames: int, rng: np.random.Generator) -> Film:
    """Return so many neighbouring frames, the same square of each; a short clip's are played to and fro."""
    height, width = film[0].shape[:2]
    side = int(rng.integers(min(height, width) // 3, min(height, width)))
    y, x = int(rng.integers(height - side)), int(rng.integers(width - side))
    first = int(rng.integers(max(1, len(film) - num_frames)))
    to_and_fro = [*film[first:], *film[::-1]] * (1 + num_frames // len(film))
    cut = [np.ascontiguousarray(picture[y : y + side, x : x + side]) for picture in to_and_fro[:num_frames]]
    return [cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA) for picture in cut]

"""The imperceptible mark: a faint fixed pattern in a fake's pixels that survives re-encoding, resizing and cropping.

``embed`` adds band-limited noise to all three colours alike, the same in every picture; ``detect`` correlates frames
with it over all offsets and scales. The key is public: anyone can detect the mark, and so can anyone remove or forge
it. It says "mueca painted this", it proves nothing. What it survives is measured in ``docs/marks.md``.

Source: Cox et al., "Secure spread spectrum watermarking for multimedia", IEEE Transactions on Image Processing 6(12),
1997, for noise added where a codec keeps it; Kuglin and Hines, "The phase correlation image alignment method", 1975,
for whitening before the correlation.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

PUBLIC_KEY = b"mueca imperceptible mark, version 1"
"""The pattern is drawn from its hash. Another key gives another mark, which this one does not find."""
PERIOD_PX = 256
"""Side of the pattern, that of a fake; larger pictures repeat it, smaller ones hold its top left part."""
MIN_SIDE_PX = 64
"""A picture with a shorter side stays unmarked: it would hold too little of the pattern to be told from chance."""
MIN_PSNR_DB = 42.2
"""Of a marked picture against the unmarked one; textured pictures come near it, flat ones stay near 49."""
SCALES = (0.48, 2.1)
"""Sizes searched, by the size that was marked."""
THRESHOLD = 7.2
"""Clean pictures of 256 x 256 stay below it: docs/marks.md tells over how many that was measured."""

_WAVELENGTHS_PX = (8.0, 20.0)
"""Of the pattern. Shorter ones are lost at half size and at CRF 33, longer ones are drowned by the picture."""
_FLAT_AMPLITUDE, _AMPLITUDE_PER_DETAIL, _MAX_AMPLITUDE = 0.8, 0.4, 4.0
"""Standard deviation in grey levels on a flat ground; what it gains by level of local contrast; its bound."""

_SCALE_STEP = 1.02
"""Between neighbouring scales: a pattern of 256 pixels, one per cent off, is a pixel off at its edges."""
_REFINED_SCALES, _FINE_STEPS = 6, (-0.0075, -0.005, -0.0025, 0.0, 0.0025, 0.005, 0.0075)
"""How many of the best scales are looked at more closely, and where."""
_BLOCK_PX, _STRIDE_PX = 768, 384
"""Larger pictures are searched block by block: 512 pixels, a fake doubled, lie in one by three quarters a side."""
_CANVAS_STEP_PX = 64
_OVERSAMPLING = 1.5
"""Of the coarse search's offsets, by the fewest that the pattern's shortest wavelength needs."""

Frame = NDArray[np.uint8]
"""RGB, (H, W, 3)."""
_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detection:
    """What was found of the mark."""

    score: float
    """The highest correlation in standard deviations of its noise, over all offsets and scales; 0: nothing to see."""
    scale: float
    """Where it is highest: how many times as large as when it was marked."""
    offset_px: tuple[float, float]
    """There, the pattern's origin, x and y: a fake's top left corner, negative where it was cropped away."""
    num_frames: int
    threshold: float
    """``THRESHOLD``, or more for larger frames, in which chance has more places."""

    @property
    def found(self) -> bool:
        """Tell whether the score is above the threshold."""
        return self.score > self.threshold


def embed(image: Frame, *, key: bytes = PUBLIC_KEY) -> Frame:
    """Return a copy of ``image``, RGB uint8 (H, W, 3), with the mark; sides under ``MIN_SIDE_PX``: without it.

    Flat ground gets the least, textured places, which hide it, more.
    """
    image = _checked(image)
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        return image.copy()
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    detail = cv2.boxFilter(cv2.subtract(cv2.absdiff(luma, cv2.blur(luma, (5, 5))), 1), cv2.CV_32F, (9, 9))
    change = np.minimum(_FLAT_AMPLITUDE + _AMPLITUDE_PER_DETAIL * detail, _MAX_AMPLITUDE)
    change *= _tiled(key, height, width)
    mean_square = cv2.norm(change, cv2.NORM_L2SQR) / change.size
    budget = 255**2 / 10 ** (MIN_PSNR_DB / 10) - 1 / 12  # what rounding adds
    change *= min(1.0, (budget / mean_square) ** 0.5)
    return cv2.add(image, cv2.merge([np.rint(change).astype(np.int16)] * 3), dtype=cv2.CV_8U)


def embed_in(image: Frame, box: tuple[int, int, int, int]) -> None:
    """Mark in place the fake that stands at ``box``, x0, y0, x1, y1, as far as it lies in ``image``."""
    _checked(image)
    x0, y0, x1, y1 = (max(0, side) for side in box)
    part = image[y0:y1, x0:x1]
    if part.size:
        part[:] = embed(part)


def detect(frames: Iterable[Frame], *, key: bytes = PUBLIC_KEY) -> Detection:
    """Look for the mark in one picture, or in all frames of a video together, each RGB uint8 (H, W, 3).

    The fake may stand anywhere, at ``SCALES`` of its size, and be cropped; not mirrored, turned or stretched. Of a
    video, 25 frames spread over it show as much as 100 in a row: frames that differ hide the mark least. Time: 30 ms
    for 256 x 256, two seconds for 1280 x 720 the first time (templates are kept), and 1 ms for each frame of 256 x 256.
    Raises ValueError where there is no frame, or frames differ in size.
    """
    residual, num_frames = _mean_residual(frames)
    best = (0.0, 1.0, (0.0, 0.0))
    if min(residual.shape) >= MIN_SIDE_PX // 2:
        for x0, y0, block in _blocks(_evened(residual)):
            score, scale, (x, y) = _search(block, key)
            best = max(best, (score, scale, (x0 + x, y0 + y)))
    # The highest of n scores of chance grows with the root of 2 ln n.
    places = max(1.0, residual.size / PERIOD_PX**2)
    return Detection(*best, num_frames=num_frames, threshold=float(np.sqrt(THRESHOLD**2 + 2 * np.log(places))))


def _checked(image: Frame) -> Frame:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return np.ascontiguousarray(image)


# The pattern


@lru_cache(maxsize=4)
def _pattern(key: bytes) -> _Floats:
    """Return (256, 256), mean 0, variance nearly 1, periodic: equally loud in its band, phases from the key's hash."""
    frequencies = np.hypot(fft.fftfreq(PERIOD_PX)[:, None], fft.rfftfreq(PERIOD_PX)[None])
    band = (frequencies >= 1 / _WAVELENGTHS_PX[1]) & (frequencies <= 1 / _WAVELENGTHS_PX[0])
    drawn = np.frombuffer(hashlib.shake_256(key).digest(4 * band.size), "<u4").reshape(band.shape)
    pattern = fft.irfft2(np.where(band, np.exp(2j * np.pi * drawn / 2**32), 0), (PERIOD_PX, PERIOD_PX))
    return (pattern / pattern.std()).clip(-2.5, 2.5).astype(np.float32)  # no grain stands out


@lru_cache(maxsize=16)
def _tiled(key: bytes, height: int, width: int) -> _Floats:
    return np.tile(_pattern(key), (-(-height // PERIOD_PX), -(-width // PERIOD_PX)))[:height, :width].copy()


# What of a frame is kept: its fine structure, each place as loud as any other


def _mean_residual(frames: Iterable[Frame]) -> tuple[_Floats, int]:
    total, num_frames = np.zeros((0, 0), np.float32), 0
    for frame in frames:
        residual = _residual(_checked(frame))
        if num_frames and residual.shape != total.shape:
            raise ValueError(f"frames of one size, not {total.shape} and then {residual.shape}")
        total = total + residual if num_frames else residual
        num_frames += 1
    if not num_frames:
        raise ValueError("no frame to look at")
    return total / num_frames, num_frames


def _residual(frame: Frame) -> _Floats:
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), 4.0)
    return np.clip(fine / np.sqrt(cv2.blur(fine * fine, (8, 8)) + 1), -3, 3)


def _evened(residual: _Floats) -> _Floats:
    """Divide by the local deviation once more: what stays in the mean of all frames is loud where nothing moved."""
    return residual / np.sqrt(cv2.blur(residual * residual, (16, 16)) + 1e-3)


def _blocks(residual: _Floats) -> Iterator[tuple[int, int, _Floats]]:
    """Yield x, y and the block that begins there; all are of one size, so that they share templates."""
    last_y, last_x = (max(0, side - _BLOCK_PX) for side in residual.shape)
    for y in range(0, last_y + _STRIDE_PX, _STRIDE_PX):
        for x in range(0, last_x + _STRIDE_PX, _STRIDE_PX):
            y0, x0 = min(y, last_y), min(x, last_x)
            yield x0, y0, residual[y0 : y0 + _BLOCK_PX, x0 : x0 + _BLOCK_PX]


# The search. Spectra are (2 K + 1, L + 1) complex: rows of -K to K, columns of 0 to L cycles per canvas


@dataclass(frozen=True)
class _Template:
    scale: float
    size: tuple[int, int]
    """Of the coarse map of offsets."""
    spectrum: NDArray[np.complex64]
    """The pattern's at that scale, conjugate."""
    band: NDArray[np.bool_]
    """Where in it the pattern is."""
    power: float
    """Mean square of its correlation with white noise of power 1 per frequency."""


def _search(block: _Floats, key: bytes) -> tuple[float, float, tuple[float, float]]:
    """Return the highest score, its scale and its offset x, y."""
    canvas = _canvas(block)
    whitened, (height, width) = _whitened(canvas), canvas.shape
    peaks = []
    for template in _templates(key, canvas.shape):
        found = _correlate(whitened, template, canvas.shape)
        score, row, column = found.peak()
        y, x = row * height / template.size[0], column * width / template.size[1]
        peaks.append((score, template.scale, y, x, float(found.deviation[row, column])))
    best = sorted(peaks, reverse=True)[:_REFINED_SCALES]
    score, scale, (y, x) = max(_refine(whitened, canvas.shape, key, *peak[1:]) for peak in best)
    reach = PERIOD_PX * scale  # offsets wrap around: what does not fit at the end begins before the start
    return score, scale, (x - width if x + reach / 2 > width else x, y - height if y + reach / 2 > height else y)


def _canvas(block: _Floats) -> _Floats:
    sides = [max(PERIOD_PX, -(-side // _CANVAS_STEP_PX) * _CANVAS_STEP_PX) for side in block.shape]
    canvas = np.zeros(sides, np.float32)
    canvas[: block.shape[0], : block.shape[1]] = block
    return canvas


def _band(side_px: int, scale: float) -> int:
    """Return the pattern's highest frequency at that scale, in cycles per side."""
    return min(side_px // 2 - 1, int(np.ceil(side_px * 1.05 / (_WAVELENGTHS_PX[0] * scale))) + 2)


def _spectrum(canvas: _Floats, scale: float) -> NDArray[np.complex64]:
    rows, columns = (_band(side, scale) for side in canvas.shape)
    half = fft.rfft2(canvas)[:, : columns + 1]
    return np.concatenate([half[-rows:], half[: rows + 1]])


def _part(spectrum: NDArray, rows: int, columns: int) -> NDArray:
    middle = spectrum.shape[0] // 2
    return spectrum[middle - rows : middle + rows + 1, : columns + 1]


def _whitened(canvas: _Floats) -> NDArray[np.complex64]:
    """Return the canvas's spectrum with every neighbourhood of frequencies equally loud."""
    spectrum = _spectrum(canvas, SCALES[0] * 0.99)
    reach = tuple(max(3, side // 50 | 1) for side in canvas.shape[::-1])  # 5 of 256
    power = cv2.blur(np.abs(spectrum) ** 2, reach)
    return spectrum / np.sqrt(power + 2e-4 * canvas.size)  # nothing stays nothing


@lru_cache(maxsize=2)
def _templates(key: bytes, shape: tuple[int, int]) -> tuple[_Template, ...]:
    count = int(np.ceil(np.log(SCALES[1] / SCALES[0]) / np.log(_SCALE_STEP)))
    return tuple(_template(key, shape, SCALES[0] * _SCALE_STEP**step) for step in range(count + 1))


@lru_cache(maxsize=256)  # at most 85 MB, and those of _templates 25 MB a shape
def _template(key: bytes, shape: tuple[int, int], scale: float) -> _Template:
    side = int(np.ceil(PERIOD_PX * scale))
    zoom = np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5]])  # pixels are squares, not points
    drawn = cv2.warpAffine(_pattern(key), zoom, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    canvas = np.zeros(shape, np.float32)
    for y, x in itertools.product(range(0, side, shape[0]), range(0, side, shape[1])):
        part = drawn[y : y + shape[0], x : x + shape[1]]
        canvas[: part.shape[0], : part.shape[1]] += part
    size = [fft.next_fast_len(int(2 * _band(length, scale) * _OVERSAMPLING), real=True) for length in shape]
    spectrum = _spectrum(canvas, scale).conj()
    rows, columns = spectrum.shape[0] // 2, spectrum.shape[1]
    frequencies = np.hypot(np.arange(-rows, rows + 1)[:, None] / shape[0], np.arange(columns)[None] / shape[1]) * scale
    band = (frequencies >= 1 / _WAVELENGTHS_PX[1]) & (frequencies <= 1 / _WAVELENGTHS_PX[0])
    power = 2 * float(np.vdot(spectrum, spectrum).real)
    return _Template(scale, (size[0], size[1]), spectrum, band, power)


@dataclass(frozen=True)
class _Map:
    """Correlation with one template over the coarse grid of offsets, (h, w) each."""

    correlation: _Floats
    deviation: _Floats
    """Of the noise, by what the picture holds in the pattern's band where the pattern would lie."""

    def peak(self) -> tuple[float, int, int]:
        """Return the highest score, and its row and column."""
        scores = self.correlation / self.deviation
        row, column = divmod(int(scores.argmax()), scores.shape[1])
        return float(scores[row, column]), row, column


def _correlate(whitened: NDArray, template: _Template, shape: tuple[int, int]) -> _Map:
    heard = _part(whitened, template.spectrum.shape[0] // 2, template.spectrum.shape[1] - 1)
    correlation = _on_grid(heard * template.spectrum, template.size)
    loudness = _on_grid(heard * template.band, template.size) ** 2
    sides = [round(PERIOD_PX * template.scale * n / side) for n, side in zip(template.size, shape, strict=True)]
    energy = _window_sums(loudness, sides[0], sides[1])
    energy += 0.05 * energy.mean() + 1e-20  # nearly empty windows shall not count for much
    power = float(np.vdot(correlation, correlation)) + 0.05 * template.power * correlation.size
    return _Map(correlation, np.sqrt(energy * (power / energy.sum())))


def _on_grid(spectrum: NDArray, size: tuple[int, int]) -> _Floats:
    rows, columns = spectrum.shape[0] // 2, spectrum.shape[1]
    grid = np.zeros((size[0], size[1] // 2 + 1), np.complex64)
    grid[: rows + 1, :columns], grid[-rows:, :columns] = spectrum[rows:], spectrum[:rows]
    return fft.irfft2(grid, size, norm="forward")


def _window_sums(values: _Floats, rows: int, columns: int) -> _Floats:
    """Return the sum over the window that begins at each place of a plane which wraps around."""
    sums = cv2.integral(np.pad(values, ((0, rows), (0, columns)), mode="wrap"))
    window = sums[rows:, columns:] - sums[rows:, :-columns] - sums[:-rows, columns:] + sums[:-rows, :-columns]
    return window[:-1, :-1].astype(np.float32).clip(0)


def _refine(
    whitened: NDArray, shape: tuple[int, int], key: bytes, scale: float, y: float, x: float, deviation: float
) -> tuple[float, float, tuple[float, float]]:
    """Return the highest score near a peak of the coarse search, its scale and its offset y, x."""
    best = (0.0, scale, (y, x))
    for nearby in (scale * (1 + step) for step in _FINE_STEPS):
        template = _template(key, shape, nearby)
        rows, columns = template.spectrum.shape[0] // 2, template.spectrum.shape[1]
        product = template.spectrum * _part(whitened, rows, columns - 1)
        product[:, 1:] *= 2  # the other half of the spectrum
        ys, xs = (
            centre + np.linspace(-1, 1, 9) * (side / n)
            for centre, side, n in zip((y, x), shape, template.size, strict=True)
        )
        waves_y = np.exp(2j * np.pi / shape[0] * np.outer(ys, np.arange(-rows, rows + 1)))
        waves_x = np.exp(2j * np.pi / shape[1] * np.outer(np.arange(columns), xs))
        scores = (waves_y.astype(np.complex64) @ product @ waves_x.astype(np.complex64)).real / deviation
        row, column = divmod(int(scores.argmax()), len(xs))
        best = max(best, (float(scores[row, column]), nearby, (float(ys[row]), float(xs[column]))))
    return best

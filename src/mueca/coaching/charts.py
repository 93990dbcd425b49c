"""The coach's pictures: what a clip covers, and where a driver goes beyond a subject. No face is in them.

Blue is there, orange is missing (Okabe and Ito's, which colour-blind people tell apart), and words say it as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mueca.coaching.comparison import Comparison, clock
from mueca.coaching.coverage import HISTOGRAM_RANGES, TARGETS, Coverage, Target, advice, is_covered

Array = np.ndarray
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""
Colour = tuple[int, int, int]

CHART_PX = (1200, 800)
"""Width and height."""

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)
PALE_BLUE, PALE_ORANGE = (222, 237, 247), (253, 232, 214)
INK, FAINT, RULE, PAPER = (32, 32, 32), (110, 110, 110), (205, 205, 205), (255, 255, 255)
TEXT_PX, SMALL_PX, TITLE_PX = 17, 15, 27

_MAP: Box = (76, 132, 600, 552)
_ROWS_LEFT, _ROWS_RIGHT, _ROWS_TOP, _ROW_PX, _STRIP_PX = 650, 1160, 112, 74, 34
_ADVICE_TOP = 622
_STRIPS = (
    ("mouth", "mouth"),
    ("lips", "lips"),
    ("eyes", "eyes"),
    ("brows", "brows"),
    ("gaze_x", "gaze"),
    ("roll", "head tilted"),
)
"""Movements that get a strip, and their titles."""
_MIRRORED = ("yaw", "roll", "gaze_x")
"""Drawn with the person's left on the left, as in a mirror."""


def draw_coverage(coverage: Coverage) -> Array:
    """Return the chart, RGB uint8 (800, 1200, 3): a map of the head's turns, a strip for each movement, the advice."""
    picture = Image.new("RGB", CHART_PX, PAPER)
    pen = ImageDraw.Draw(picture)
    _write(pen, (40, 22), "What the clip covers", TITLE_PX)
    blinks = f"{coverage.num_blinks} blink{'s' * (coverage.num_blinks != 1)}"
    about = (
        f"{coverage.seconds:.1f} s to learn from, {coverage.num_frames} frames, {blinks}. Left and right are your own."
    )
    _write(pen, (40, 60), about, TEXT_PX, FAINT)
    _legend(pen, (650, 60))
    _draw_map(pen, coverage)
    for row, (movement, title) in enumerate(_STRIPS):
        _draw_strip(pen, coverage, movement, title, _ROWS_TOP + row * _ROW_PX)
    _draw_advice(pen, advice(coverage))
    return np.array(picture)


def draw_comparison(comparison: Comparison) -> Array:
    """Return the chart, RGB uint8 (800, 1200, 3): both people's ranges, and when the driver leaves the subject's."""
    picture = Image.new("RGB", CHART_PX, PAPER)
    pen = ImageDraw.Draw(picture)
    _write(pen, (40, 22), "The driver beside the subject", TITLE_PX)
    share = f"{100 * comparison.share_outside:.0f} % of the driver's {comparison.num_frames} frames"
    _write(pen, (40, 60), f"{share} go beyond what the subject showed. Left and right are their own.", TEXT_PX, FAINT)
    _write(pen, (170, 98), "grey: the subject's range; line: the driver's", SMALL_PX, FAINT)
    _write(pen, (650, 98), "when the driver goes beyond it", SMALL_PX, FAINT)
    for row, (movement, title, low_end, high_end) in enumerate(_COMPARED):
        _draw_ranges(pen, comparison, movement, title, (low_end, high_end), 124 + row * 56)
    _draw_clock(pen, comparison, 124 + len(_COMPARED) * 56 - 12)
    _draw_sentences(pen, comparison.lines(), "The driver stays within what the subject showed.", top=620)
    return np.array(picture)


_COMPARED = (
    ("yaw", "head turned", "left", "right"),
    ("pitch", "chin", "up", "down"),
    ("roll", "head tilted", "left", "right"),
    ("mouth", "mouth", "shut", "open"),
    ("lips", "lips", "pout", "smile"),
    ("eyes", "eyes", "closed", "open"),
    ("brows", "brows", "low", "high"),
    ("gaze_x", "gaze", "left", "right"),
)
"""Movement, title, and what its left and right end on the chart mean."""


def _draw_map(pen: ImageDraw.ImageDraw, coverage: Coverage) -> None:
    """Draw the head's turns: left on the left, up at the top, the darker the longer."""
    x0, y0, x1, y1 = _MAP
    _write(pen, (40, y0 - 32), "head", TEXT_PX)
    for target in _targets("yaw", "pitch"):
        pen.rectangle(_zone_on_map(target), fill=_pale(coverage, target))
    cells = np.array(coverage.pose_map)[:, ::-1]  # yaw's left comes first
    step_y, step_x = (y1 - y0) / cells.shape[0], (x1 - x0) / cells.shape[1]
    for row, column in np.argwhere(cells > 0):
        corner = (x0 + column * step_x, y0 + row * step_y)
        shade = _shade(cells[row, column] / cells.max())
        pen.rectangle((corner[0], corner[1], corner[0] + step_x - 1, corner[1] + step_y - 1), fill=shade)
    pen.rectangle(_MAP, outline=RULE)
    for degrees in (-30, -15, 0, 15, 30):
        x = _across("yaw", degrees, x0, x1)
        pen.line((x, y1, x, y1 + 5), fill=FAINT)
        _write(pen, (x, y1 + 8), f"{abs(degrees)}°", SMALL_PX, FAINT, anchor="ma")
    for degrees in (-18, -6, 6, 18):
        y = _across("pitch", degrees, y0, y1)
        pen.line((x0 - 5, y, x0, y), fill=FAINT)
        _write(pen, (x0 - 9, y), f"{abs(degrees)}°", SMALL_PX, FAINT, anchor="rm")
    _label_map(pen, coverage)


def _label_map(pen: ImageDraw.ImageDraw, coverage: Coverage) -> None:
    x0, y0, x1, y1 = _MAP
    middle_x = (x0 + x1) / 2
    places = {
        "head_left": (x0 + 8, y1 - 8, "ld"),
        "head_right": (x1 - 8, y1 - 8, "rd"),
        "head_up": (middle_x, y0 + 8, "ma"),
        "head_down": (middle_x, y1 - 8, "md"),
        "straight": (middle_x, y0 - 14, "md"),
    }
    for target in _targets("yaw", "pitch"):
        x, y, anchor = places[target.name]
        _label(pen, (x, y), coverage, target, anchor=anchor, plate=True)


def _zone_on_map(target: Target) -> Box:
    """Return where a target of yaw or pitch lies on the map; bands of pitch lie between the columns of yaw."""
    left_column, right_column = _targets("yaw")[0].low, _targets("yaw")[1].high
    band_up, band_down = _targets("pitch")[0].high, _targets("pitch")[1].low
    yaw = (target.low, target.high) if target.movement == "yaw" else (right_column, left_column)
    pitch = (target.low, target.high) if target.movement == "pitch" else (-math.inf, math.inf)
    pitch = (band_up, band_down) if target.name == "straight" else pitch
    left, right = sorted(_across("yaw", value, _MAP[0], _MAP[2]) for value in yaw)
    top, bottom = sorted(_across("pitch", value, _MAP[1], _MAP[3]) for value in pitch)
    return left, top, right, bottom


def _draw_strip(pen: ImageDraw.ImageDraw, coverage: Coverage, movement: str, title: str, top: float) -> None:
    """Draw how long the movement had which value, over the zones that are asked for."""
    left, right, bottom = _ROWS_LEFT + 100, _ROWS_RIGHT, top + _STRIP_PX
    _write(pen, (_ROWS_LEFT, top + _STRIP_PX / 2), title, TEXT_PX, anchor="lm")
    for target in _targets(movement):
        x0, x1 = sorted(_across(movement, value, left, right) for value in (target.low, target.high))
        pen.rectangle((x0, top, x1, bottom), fill=_pale(coverage, target))
        at_left = (x0 + x1) / 2 < (left + right) / 2
        place = (left, bottom + 4) if at_left else (right, bottom + 4)
        _label(pen, place, coverage, target, anchor="la" if at_left else "ra")
    seconds = np.sqrt(coverage.histograms[movement])  # a second is seen beside a minute
    seconds = seconds[::-1] if movement in _MIRRORED else seconds
    step = (right - left) / len(seconds)
    for k, share in enumerate(seconds / max(seconds.max(), 1e-9)):
        if share > 0:
            x = left + k * step
            pen.rectangle((x + 1, bottom - max(2.0, share * (_STRIP_PX - 4)), x + step - 1, bottom), fill=BLUE)
    pen.line((left, bottom, right, bottom), fill=RULE)


def _draw_advice(pen: ImageDraw.ImageDraw, lines: Sequence[str]) -> None:
    _draw_sentences(pen, lines, "The clip covers all that mueca asks for.", top=_ADVICE_TOP)


def _draw_sentences(pen: ImageDraw.ImageDraw, lines: Sequence[str], none: str, *, top: float) -> None:
    if not lines:
        pen.rectangle((40, top + 8, 52, top + 20), fill=BLUE)
        _write(pen, (64, top + 14), none, TEXT_PX, anchor="lm")
    for k, line in enumerate(lines[:5]):
        y = top + 14 + 32 * k
        pen.ellipse((40, y - 11, 62, y + 11), fill=ORANGE)
        _write(pen, (51, y), str(k + 1), SMALL_PX, PAPER, anchor="mm")
        _write(pen, (74, y), line, TEXT_PX, anchor="lm")


def _draw_ranges(
    pen: ImageDraw.ImageDraw, comparison: Comparison, movement: str, title: str, ends: tuple[str, str], top: float
) -> None:
    """Draw one movement: on the left both ranges, on the right the driver's time with what lies outside."""
    if movement not in comparison.subject_ranges:
        return
    left, right, middle = 170, 600, top + 12
    _write(pen, (40, middle), title, TEXT_PX, anchor="lm")
    pen.line((left, middle, right, middle), fill=RULE)
    low, _, high = comparison.subject_ranges[movement]
    x0, x1 = sorted(_across(movement, value, left, right) for value in (low, high))
    pen.rectangle((x0, middle - 9, x1, middle + 9), fill=RULE)
    driver_low, _, driver_high = comparison.driver_ranges[movement]
    a, b = sorted(_across(movement, value, left, right) for value in (driver_low, driver_high))
    pen.rectangle((a, middle - 3, b, middle + 3), fill=BLUE)
    excesses = [excess for excess in comparison.excesses if excess.movement == movement]
    for excess in excesses:
        mirrored = movement in _MIRRORED
        edge = (max(a, min(x1, b)), b) if excess.above != mirrored else (a, min(b, max(x0, a)))
        if edge[1] > edge[0]:
            pen.rectangle((edge[0], middle - 3, edge[1], middle + 3), fill=ORANGE)
    _write(pen, (left, middle + 12), ends[0], SMALL_PX - 2, FAINT)
    _write(pen, (right, middle + 12), ends[1], SMALL_PX - 2, FAINT, anchor="ra")
    pen.rectangle((650, middle - 9, 1080, middle + 9), fill=PALE_BLUE)
    for start, end in (span for excess in excesses for span in excess.spans_s):
        xs = [650 + 430 * min(second / comparison.duration_s, 1.0) for second in (start, end)]
        pen.rectangle((xs[0], middle - 9, max(xs[1], xs[0] + 2), middle + 9), fill=ORANGE)
    share = sum(excess.share for excess in excesses)
    _write(pen, (1160, middle), f"{100 * share:.0f} %", TEXT_PX, ORANGE if share >= 0.01 else FAINT, anchor="rm")


def _draw_clock(pen: ImageDraw.ImageDraw, comparison: Comparison, top: float) -> None:
    for share in (0.0, 0.5, 1.0):
        second = share * comparison.duration_s
        _write(
            pen, (650 + 430 * share, top), clock(second), SMALL_PX, FAINT, anchor=("la", "ma", "ra")[round(2 * share)]
        )


def _legend(pen: ImageDraw.ImageDraw, place: tuple[float, float]) -> None:
    x, y = place
    for colour, words in ((PALE_BLUE, "enough of it"), (PALE_ORANGE, "film more of it")):
        pen.rectangle((x, y + 2, x + 26, y + 18), fill=colour, outline=RULE)
        _write(pen, (x + 34, y + 10), words, SMALL_PX, FAINT, anchor="lm")
        x += 170


def _label(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    coverage: Coverage,
    target: Target,
    *,
    anchor: str,
    plate: bool = False,
) -> None:
    """Write a target's name and seconds, with how many are wanted where they aren't there."""
    seconds = coverage.seconds_in[target.name]
    enough = is_covered(coverage, target)
    words = f"{target.label} {seconds:.1f} s" + ("" if enough else f" of {target.seconds:.1f}")
    if plate:
        x0, y0, x1, y1 = pen.textbbox(place, words, font=ImageFont.load_default(SMALL_PX), anchor=anchor)
        pen.rectangle((x0 - 4, y0 - 3, x1 + 4, y1 + 3), fill=PAPER)
    _write(pen, place, words, SMALL_PX, INK if enough else ORANGE, anchor=anchor)


def _targets(*movements: str) -> list[Target]:
    return [target for target in TARGETS if target.movement in movements]


def _pale(coverage: Coverage, target: Target) -> Colour:
    return PALE_BLUE if is_covered(coverage, target) else PALE_ORANGE


def _shade(share: float) -> Colour:
    """Return a blue that is darker the larger the share of the longest cell, 0 to 1."""
    darkness = 0.3 + 0.7 * math.sqrt(share)
    return tuple(round(255 + (full - 255) * darkness) for full in BLUE)


def _across(movement: str, value: float, start: float, end: float) -> float:
    """Return the place of a value of the movement between two pixels, at an end where it lies beyond."""
    low, high = HISTOGRAM_RANGES[movement]
    share = (min(max(value, low), high) - low) / (high - low)
    return start + (end - start) * (1.0 - share if movement in _MIRRORED else share)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    words: str,
    size_px: int,
    colour: Colour = INK,
    anchor: str = "la",
) -> None:
    pen.text(place, words, fill=colour, font=ImageFont.load_default(size_px), anchor=anchor)

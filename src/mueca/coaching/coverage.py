"""What a clip covers, and what to film next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mueca.face.movements import movements_of, ranges_of
from mueca.face.track import Track

Array = np.ndarray

WANTED_S = 20.0
"""Length of what is learned from: half a minute of video, less the fifth held out and the gap, and some to spare."""

MOST_LINES = 5
"""Of advice: more than that nobody keeps in mind in front of a camera."""

TAKE_S = 5
"""The shortest take worth asking for; the longer ones are whole multiples."""
TAKE_FACTOR = 3.0
"""Of a take so much is spent on the way to what is asked for and back."""

LONGEST_BLINK_S = 0.5


@dataclass(frozen=True)
class Target:
    """Something that a good clip shows: a movement between two values, for some seconds."""

    name: str
    movement: str
    """One of ``mueca.face.movements``."""
    low: float
    high: float
    seconds: float
    label: str
    film: str
    """Ends the sentence "film 5 s more ..."; ``{border}`` is the value nearer to rest, ``{side}`` what follows."""
    side: str = ""
    """Where there is a target like it on the other side: which one this is."""


_ANY = math.inf
_TURN = "with your head turned by {border:.0f} degrees or more to your own {side}"
_TILT = "with your head tilted by {border:.0f} degrees or more to your own {side}"
_NOD = "with your chin moved {side} by {border:.0f} degrees or more"
_LOOK = "with your eyes turned to your own {side}, the head still"
TARGETS: tuple[Target, ...] = (
    Target("mouth_open", "mouth", 0.16, _ANY, 1.0, "wide open", "with your mouth wide open"),
    Target("head_left", "yaw", 15.0, _ANY, 1.5, "left", _TURN, "left"),
    Target("head_right", "yaw", -_ANY, -15.0, 1.5, "right", _TURN, "right"),
    Target("straight", "yaw", -10.0, 10.0, 3.0, "straight", "looking straight into the camera"),
    Target("eyes_closed", "eyes", -_ANY, 0.65, 0.3, "closed", "blinking slowly"),
    Target("mouth_shut", "mouth", -_ANY, 0.03, 1.0, "shut", "with your mouth shut"),
    Target("smile", "lips", 1.12, _ANY, 1.0, "smile", "smiling broadly"),
    Target("pout", "lips", -_ANY, 0.88, 0.7, "pout", "with your lips pouted, as for a kiss"),
    Target("head_up", "pitch", -_ANY, -6.0, 0.7, "up", _NOD, "up"),
    Target("head_down", "pitch", 6.0, _ANY, 0.7, "down", _NOD, "down"),
    Target("gaze_left", "gaze_x", 0.2, _ANY, 0.5, "left", _LOOK, "left"),
    Target("gaze_right", "gaze_x", -_ANY, -0.2, 0.5, "right", _LOOK, "right"),
    Target("brows_up", "brows", 1.1, _ANY, 0.7, "raised", "with your eyebrows raised"),
    Target("tilt_left", "roll", 8.0, _ANY, 0.5, "left", _TILT, "left"),
    Target("tilt_right", "roll", -_ANY, -8.0, 0.5, "right", _TILT, "right"),
)
"""In order of what a driver does most and what is missed most.

The values lie between rest and the most, as far as dlib's landmarks tell them apart on six real clips and the actors:
a mouth wide open measures .2 to .41 of the eyes' distance and speech .1 to .2; lips .75 to .87 of their usual width in
a pout and 1.2 to 1.34 in a smile; closed eyes .3 to .6 of open ones, for the predictor is loath to close them; raised
brows 1.1 to 1.3. The heads turn by up to 28 degrees and tilt by up to 14; a nod of 10 degrees measures 8. A frown and
a gaze up or down are not asked for: they measure little more than their error. The seconds are enough for 25 to 45
pairs of a movement that is held, 15 of one that passes, and for three blinks.
"""

HISTOGRAM_RANGES: dict[str, tuple[float, float]] = {
    "yaw": (-40.0, 40.0),
    "pitch": (-25.0, 25.0),
    "roll": (-25.0, 25.0),
    "mouth": (0.0, 0.4),
    "lips": (0.6, 1.5),
    "eyes": (0.0, 1.4),
    "brows": (0.7, 1.4),
    "gaze_x": (-0.8, 0.8),
    "gaze_y": (-0.5, 0.5),
}
"""What the charts show; what lies beyond counts into the outermost bin."""
HISTOGRAM_BINS = 32
POSE_CELL_DEGREES = 2.5


@dataclass(frozen=True)
class Coverage:
    """What the frames of one person show, as plain numbers; ``config.to_json`` makes JSON of it."""

    num_frames: int
    seconds: float
    num_blinks: int
    seconds_in: dict[str, float]
    """Seconds of each target, by its name."""
    ranges: dict[str, list[float]]
    """``mueca.face.movements.ranges_of``"""
    histograms: dict[str, list[float]]
    """Seconds in each of HISTOGRAM_BINS over HISTOGRAM_RANGES."""
    pose_map: list[list[float]]
    """Seconds in cells of POSE_CELL_DEGREES, rows of pitch and columns of yaw, over HISTOGRAM_RANGES."""


def coverage_of(track: Track, rows: Array | None = None) -> Coverage:
    """Return what a track's frames show, all of those that are no problem or the ``rows`` named; at least one.

    ``extract`` names the rows before the held-out part: what the generator will not see doesn't help it.
    """
    rows = np.flatnonzero(track.problem == "") if rows is None else rows
    movements = movements_of(track.landmarks[rows], track.gaze[rows])
    frame_s = 1.0 / track.fps
    pose_bins = [_edges(name, POSE_CELL_DEGREES) for name in ("pitch", "yaw")]
    clipped = {name: np.clip(values, *_inside(name)) for name, values in movements.items()}
    bins = {"bins": HISTOGRAM_BINS}
    return Coverage(
        num_frames=len(rows),
        seconds=round(len(rows) * frame_s, 3),
        num_blinks=_count_blinks(movements["eyes"] < _target("eyes_closed").high, track.frame_index[rows], track.fps),
        seconds_in={t.name: _seconds(movements[t.movement], t, frame_s) for t in TARGETS},
        ranges=ranges_of(movements),
        histograms={
            name: (np.histogram(clipped[name], range=HISTOGRAM_RANGES[name], **bins)[0] * frame_s).round(3).tolist()
            for name in movements
        },
        pose_map=(np.histogram2d(clipped["pitch"], clipped["yaw"], bins=pose_bins)[0] * frame_s).round(3).tolist(),
    )


def is_covered(coverage: Coverage, target: Target) -> bool:
    """Tell whether the clip shows the target for as long as wanted, to a tenth of a second."""
    return round(coverage.seconds_in[target.name], 1) >= target.seconds


def advice(coverage: Coverage) -> list[str]:
    """Return what to film next, the most useful first, at most MOST_LINES lines; none: it covers all that is asked for.

    Left and right are the person's own.
    """
    missing: dict[str, list[Target]] = {}  # both sides of a movement make one line
    for target in TARGETS:
        if not is_covered(coverage, target):
            missing.setdefault(target.film, []).append(target)
    takes = [_take(targets, coverage) for targets in missing.values()][:MOST_LINES]
    lines = [line for line, _ in takes]
    length = coverage.seconds + sum(seconds for _, seconds in takes)
    if length < WANTED_S:
        more = TAKE_S * math.ceil((WANTED_S - length) / TAKE_S)
        so_far = f"so far {coverage.seconds:.0f} s to learn from, wanted {WANTED_S:.0f} s"
        lines = [*lines[: MOST_LINES - 1], f"film {more} s more of anything ({so_far})"]
    return lines


def _take(targets: list[Target], coverage: Coverage) -> tuple[str, int]:
    """Return the line that asks for one target, or for both sides of a movement, and the seconds that it asks for."""
    so_far = [coverage.seconds_in[target.name] for target in targets]
    each = TAKE_S * math.ceil(TAKE_FACTOR * (targets[0].seconds - min(so_far)) / TAKE_S)
    film = targets[0].film.format(border=abs(_border(targets[0])), side=" and ".join(t.side for t in targets))
    counted = " and ".join(f"{seconds:.1f}" for seconds in so_far)
    both = " each" if len(targets) > 1 else ""
    line = f"film {each} s more{both} {film} (so far {counted} s, wanted {targets[0].seconds:.1f} s{both})"
    return line, each * len(targets)


def _border(target: Target) -> float:
    return target.low if math.isfinite(target.low) else target.high


def _target(name: str) -> Target:
    return next(target for target in TARGETS if target.name == name)


def _seconds(values: Array, target: Target, frame_s: float) -> float:
    return round(float(((values >= target.low) & (values <= target.high)).sum() * frame_s), 3)


def _inside(name: str) -> tuple[float, float]:
    low, high = HISTOGRAM_RANGES[name]
    return low + 1e-9, high - 1e-9


def _edges(name: str, step: float) -> Array:
    low, high = HISTOGRAM_RANGES[name]
    return np.linspace(low, high, round((high - low) / step) + 1)


def _count_blinks(closed: Array, frame_index: Array, fps: float) -> int:
    """Return how often the eyes were closed (N,) and soon open again."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(int), [0]])))
    starts, ends = edge[::2], edge[1::2]
    lasted = frame_index[ends - 1] - frame_index[starts] + 1
    return int((lasted <= LONGEST_BLINK_S * fps).sum())

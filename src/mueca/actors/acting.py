"""What the actors perform: smooth, lively tracks of expression and pose, the same for the same seed."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from mueca.actors.people import Expression

_TEST_SHARE = 0.2
"""The end of a clip that extraction holds out: it gets its own extremes, so that the test isn't easier."""
_MOUTH_SLOT_S = 1.3
_BLINKS = ((0.7, 1.0, 0.6), (0.5, 1.0, 1.0, 0.45), (0.35, 0.9, 1.0, 0.8, 0.3), (0.3, 0.8, 1.0, 1.0, 0.6, 0.25))
"""Closing of the lids frame by frame; a human blink takes 0.1 to 0.25 s."""

Act = tuple[float, float]
"""Start and end in seconds."""


def performance(seed: int, num_frames: int, fps: float = 25) -> list[Expression]:
    """Return one expression per frame: speech, laughter, pouts, blinks and a head that looks about.

    In a clip of ten seconds each act (the first 80 % and the last 20 %) has both ends of the head's turns, a wide
    open mouth, a smile, a pout, raised brows and a blink; in clips much shorter not all of them find room.
    """
    random = np.random.default_rng(seed)
    time_s = np.arange(num_frames) / fps
    cut, end = num_frames * (1.0 - _TEST_SHARE) / fps, num_frames / fps
    acts = ((0.0, cut), (cut, end))
    tracks = {
        name: _wander(random, acts, time_s, *spec)
        for name, spec in {
            "yaw": (-28.5, 28.5, 1.0),
            "pitch": (-13.0, 14.0, 1.1),
            "roll": (-14.0, 14.0, 1.3),
            "x": (-24.0, 24.0, 1.6),
            "y": (-12.0, 12.0, 1.5),
            "scale": (0.93, 1.06, 1.8),
            "width": (-0.6, 1.0, 0.7),
        }.items()
    }
    tracks |= _mouth(random, acts, time_s)
    tracks |= _brows(random, acts, time_s)
    tracks |= _eyes(random, acts, time_s, tracks["yaw"])
    tracks |= _calmed(tracks)
    return [Expression(**{name: float(track[k]) for name, track in tracks.items()}) for k in range(num_frames)]


def _wander(
    random: np.random.Generator, acts: tuple[Act, ...], time_s: np.ndarray, low: float, high: float, pace_s: float
) -> np.ndarray:
    """Return a smooth track (N,) that visits ``low`` and ``high`` in every act long enough for both."""
    times, values = [-pace_s], [random.uniform(0.3, 0.7)]
    for start, end in acts:
        num = max(1, round((end - start) / pace_s))
        num = max(num, 2 if end - start > 1.2 else 1)
        at = start + (end - start) * (np.arange(num) + 0.5 + random.uniform(-0.18, 0.18, num)) / num
        share = _alternating(random, num)
        times += list(at)
        values += list(share)
    times.append(max(times[-1], acts[-1][1]) + pace_s)
    values.append(0.5)
    return low + (high - low) * PchipInterpolator(times, values)(time_s)


def _alternating(random: np.random.Generator, num: int) -> np.ndarray:
    """Return ``num`` shares, 0 to 1, that swing from side to side; one is 0 and another 1 where there are two."""
    first = int(random.integers(2))
    swing = np.where((np.arange(num) + first) % 2, random.uniform(0.0, 0.38, num), random.uniform(0.62, 1.0, num))
    pair = int(random.integers(max(1, num - 1)))
    for k in range(pair, min(pair + 2, num)):
        swing[k] = np.round(swing[k])
    return swing


def _bump(time_s: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return 0 outside start to end, 1 in the middle third, smooth between."""
    rise = np.clip(np.minimum(time_s - start, end - time_s) / max((end - start) / 3.0, 1e-6), 0.0, 1.0)
    return rise * rise * (3.0 - 2.0 * rise)


def _mouth(random: np.random.Generator, acts: tuple[Act, ...], time_s: np.ndarray) -> dict[str, np.ndarray]:
    zero = np.zeros_like(time_s)
    shapes = {"jaw": zero.copy(), "smile": zero.copy(), "pucker": zero.copy()}
    held = zero.copy()
    for start, end in acts:
        num = max(3, round((end - start) / _MOUTH_SLOT_S))
        kinds = ["open", "smile", "pucker", *random.choice(["talk", "talk", "laugh", "rest", "smile"], num - 3)]
        edges = np.linspace(start, end, num + 1)
        for kind, left, right in zip(random.permutation(kinds), edges[:-1], edges[1:], strict=True):
            shape = _bump(time_s, left, right)
            for name, amount in _MOUTHS[kind].items():
                shapes[name] = np.maximum(shapes[name], amount * shape)
            held = np.maximum(held, shape * (kind != "talk"))
    syllables = _syllables(random, time_s)
    shapes["jaw"] = np.maximum(shapes["jaw"], syllables * (1.0 - 0.9 * held))
    shapes["smile"] = shapes["smile"] * (1.0 - 0.8 * shapes["pucker"])
    return shapes


_MOUTHS: dict[str, dict[str, float]] = {
    "open": {"jaw": 0.92},
    "smile": {"smile": 1.0, "jaw": 0.16},
    "laugh": {"smile": 0.9, "jaw": 0.55},
    "pucker": {"pucker": 1.0},
    "rest": {},
    "talk": {},
}


def _syllables(random: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Return the jaw of running speech (N,): about four syllables a second, stressed unevenly, closed between words."""
    num = int(4.2 * (time_s[-1] if len(time_s) else 0.0)) + 4
    at = np.cumsum(random.uniform(0.16, 0.34, num + 8)) - 0.3
    stress = random.uniform(0.15, 0.55, len(at)) * (random.uniform(size=len(at)) > 0.15)
    return np.clip(sum(s * np.exp(-(((time_s - a) / 0.085) ** 2)) for a, s in zip(at, stress, strict=True)), 0.0, 0.6)


def _brows(random: np.random.Generator, acts: tuple[Act, ...], time_s: np.ndarray) -> dict[str, np.ndarray]:
    raised, frowned = np.zeros_like(time_s), np.zeros_like(time_s)
    for start, end in acts:
        num = max(2, round((end - start) / 1.4))
        edges = np.linspace(start, end, num + 1)
        first = int(random.integers(2))
        for k in range(num):
            track = raised if (k + first) % 2 else frowned
            track += (1.0 if k < 2 else random.uniform(0.2, 1.0)) * _bump(time_s, edges[k], edges[k + 1])
    return {"brow_raise": raised, "brow_frown": 0.9 * frowned}


def _eyes(
    random: np.random.Generator, acts: tuple[Act, ...], time_s: np.ndarray, yaw: np.ndarray
) -> dict[str, np.ndarray]:
    """Return blinks and gaze; the eyes tend to stay on the camera while the head turns."""
    gaze = {}
    for name, reach in (("gaze_x", 0.95), ("gaze_y", 0.8)):
        at = np.cumsum(random.uniform(0.35, 1.1, int(time_s.max(initial=0.0) / 0.5) + 6)) - 0.5
        to = random.uniform(-reach, reach, len(at) + 1)
        jumps = sum(
            (to[k + 1] - to[k]) * np.clip((time_s - moment) / 0.08 + 0.5, 0.0, 1.0) for k, moment in enumerate(at)
        )
        gaze[name] = to[0] + jumps
    gaze["gaze_x"] = np.clip(0.8 * gaze["gaze_x"] - 0.45 * yaw / 28.5, -1.0, 1.0)
    left, right = np.zeros_like(time_s), np.zeros_like(time_s)
    for start, end in acts:
        moment = start + random.uniform(0.15, 0.5) * min(end - start, 2.0)
        while moment < end:
            _close(random, (left, right), int(np.searchsorted(time_s, moment)))
            moment += random.uniform(1.2, 3.0)
    _wink(random, acts[0], time_s, left)
    return {"blink_left": left, "blink_right": right, **gaze}


def _close(random: np.random.Generator, lids: tuple[np.ndarray, ...], first: int) -> None:
    profile = _BLINKS[int(random.integers(len(_BLINKS)))]
    for lid in lids:
        part = lid[first : first + len(profile)]
        part[:] = np.maximum(part, profile[: len(part)])


def _wink(random: np.random.Generator, act: Act, time_s: np.ndarray, lid: np.ndarray) -> None:
    start = random.uniform(act[0], max(act[0], act[1] - 0.5))
    np.maximum(lid, _bump(time_s, start, start + 0.4), out=lid)


def _calmed(tracks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return pitch and roll held back where the head already turns far, as necks do."""
    spare = np.sqrt(np.clip(1.15 - np.square(tracks["yaw"] / 34.0), 0.1, 1.0))
    return {name: tracks[name] * spare for name in ("pitch", "roll")}

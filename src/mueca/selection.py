"""Choosing among a clip's usable frames: which are learned from, which are held out, and what lies between.

Where there are more than fit, both sides are taken evenly. A set that covers pose, mouth and eyes best was tried and
dropped: farthest points in landmark space (mouth and eyes weighted, gaze added), half of them even, and k-medoids.

======================  ===============  ==============================  ==============================
preset small,           even: SSIM,      farthest points: SSIM, PSNR,    the far quarter of the test
1,500 steps             PSNR, akd        akd                             frames, SSIM: even, farthest
======================  ===============  ==============================  ==============================
d9, 60 of 440 frames    .738 20.5 .0174  .738 20.5 .0178                 .733 .727
d9, 30 of 440           .716 19.7 .0180  .717 19.8 .0181                 .728 .715
d19, 20 of 175          .831 28.3 .0280  .833 28.3 .0275                 .820 .824
actor a, 30 of 175      .700 18.4 .0323  .698 18.4 .0286                 .693 .696
actor b, 30 of 175      .730 20.9 .0693  .729 21.0 .0677                 .711 .706
======================  ===============  ==============================  ==============================

One seed each. All 440 of d9 score .738, 20.6 dB and .0167: there is little to win. A deterministic regression from
landmarks to pictures, on six real clips and both actors, 15, 30 and 60 frames, says the same: farthest points lose .27,
0 and .10 dB on average, k-medoids lose .31, win .04 and lose .08. Only where the training clip was cut down to calm
frames and one stretch of a lively one did farthest points win .07 dB, .17 on the lively half of the test, less than
clips differ (.31 and .34).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mueca.face.track import Track

Array = np.ndarray

GAP_S = 1.0
"""Between training and test: neighbours in a video are all but the same picture."""
LARGEST_GAP_SHARE = 0.1
"""Of the clip, so that one of less than ten seconds isn't spent on the gap."""


@dataclass(frozen=True)
class Choice:
    """Rows of a track, rising and in no two of the three."""

    train: Array
    """(A,) int64"""
    test: Array
    """(B,) int64; all of them later than any of ``train``, by the gap at least."""
    gap: Array
    """(C,) int64: usable, and neither's: they lie between the two."""


def choose(track: Track, *, every: int, max_frames: int, train_share: float) -> Choice:
    """Return the rows to learn from and the rows to hold out: usable ones whose frame number ``every`` divides.

    The last ``1 - train_share`` of the time from the first usable frame to the last is held out, and a second before
    it (a tenth of the clip where that is less) is nobody's. Where all the rest is at most ``max_frames``, all of it is
    taken; otherwise the test keeps at most its share of ``max_frames`` and training gets the remainder, both evenly.
    Both sides have a row where two or more usable frames differ in time.
    """
    rows = np.flatnonzero((track.problem == "") & (track.frame_index % every == 0))
    train, gap, test = (rows[part] for part in _split_by_time(track.timestamp_s[rows], track.fps, train_share))
    if len(train) + len(test) > max_frames:
        test = spread_evenly(test, max(1, round((1.0 - train_share) * max_frames)))
        train = spread_evenly(train, max_frames - len(test))
    return Choice(train=train, test=test, gap=gap)


def spread_evenly(rows: Array, number: int) -> Array:
    """Return ``number`` of the rows, evenly, the first and the last among them; all where there are no more."""
    if len(rows) <= number:
        return rows
    return rows[np.linspace(0, len(rows) - 1, number).round().astype(np.int64)]


def _split_by_time(timestamp_s: Array, fps: float, train_share: float) -> tuple[Array, Array, Array]:
    """Return which of the rising times (N,) are training's, the gap's and the test's: three masks (N,)."""
    if not len(timestamp_s):
        return (np.zeros(0, bool),) * 3
    first, last = timestamp_s[0], timestamp_s[-1]
    length = last - first + 1.0 / fps
    # The test gets the last frame and training the first, however short the clip and small the share.
    test_from = min(first + train_share * length, last)
    gap_from = test_from - min(GAP_S, LARGEST_GAP_SHARE * length, (test_from - first) / 2)
    just_below = 1e-6 / fps  # times are sums of fractions: a frame on the border belongs behind it
    train, test = timestamp_s < gap_from - just_below, timestamp_s >= test_from - just_below
    return train, ~train & ~test, test

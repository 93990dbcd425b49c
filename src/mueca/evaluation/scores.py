"""What evaluation returns: the numbers, what they mean, and the report made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mueca.curve import Point
from mueca.face.movements import Movements
from mueca.runs import Run

Array = np.ndarray


@dataclass(frozen=True)
class Score:
    """A metric over the held-out frames, beside what trivial answers score."""

    value: float
    ci: tuple[float, float] | None = None
    """95 % interval of ``value`` over blocks: see ``mueca.evaluation.intervals``. None: they are too few."""
    mean_face: float | None = None
    """What the mean of the training targets scores in every frame."""
    nearest_frame: float | None = None
    """What the target scores whose condition is the nearest among the training ones."""
    real: float | None = None
    """What the real clip itself has, where the metric tells of one clip and not of two."""


@dataclass(frozen=True)
class Measure:
    """How a metric is shown: its name in words, its unit, which way is better, and what it means in a sentence."""

    label: str
    unit: str
    digits: int
    """Behind the point, once the number was multiplied by ``scale``."""
    better: Literal["higher", "lower", "like real"]
    meaning: str
    scale: float = 1.0
    """Shown number over stored number: 100 where a share is shown in %."""


@dataclass(frozen=True)
class FrameScores:
    """One held-out frame's numbers; the units are those of ``Metrics``."""

    name: str
    """Of the pair."""
    frame_index: int
    ssim: float
    psnr: float
    l1: float
    akd: float | None
    """None where the real picture shows no face, or the fake none."""


@dataclass(frozen=True)
class DrivenBy:
    """What tells one driving from another."""

    driver_sha256: str
    truth_sha256: str | None
    driver_face: str
    """Which face of the video drives, as ``--driver-face`` names it."""


@dataclass(frozen=True)
class Driven:
    """How well a run follows a driver's video."""

    by: DrivenBy
    driver_name: str
    truth_name: str | None
    """The video of the subject doing exactly that, if there is one."""
    num_frames: int
    """Painted and measured, of ``num_followed`` in which the driver's face was found."""
    num_followed: int
    identity: Score | None
    """Distance of the fakes to the mean of the subject's real frames, in dlib's 128 numbers; ``real`` is that of other
    real frames."""
    identity_driver: float | None
    """The driver's own distance to the subject: what the fakes must stay clear of."""
    followed: dict[str, float | None]
    """By movement (see ``mueca.face.movements``): correlation along time of the driver's and of what is found again in
    the fakes; 1 is best, None where the driver keeps still."""
    leak: float | None
    """How much of the driver's face shape shows, 0 to 1: see ``mueca.metrics.shape_leak``."""
    flicker: Score | None
    """As in ``Metrics``; ``real`` is the truth's own, or without one the driver's."""
    undetected: Score
    ssim: Score | None
    """This and the next three against the truth; None without one. The trivial answers beside them are the mean
    training face and the training frame whose condition is nearest to the one painted."""
    psnr: Score | None
    akd: Score | None
    expression: Score | None
    """As ``akd``, less each landmark's mean departure, which is shape and place: see ``mueca.metrics``."""
    left_out: dict[str, str] = field(default_factory=dict)
    num_unmeasured: int = 0
    """Fakes without a face: they enter ``identity``, ``akd`` and ``expression`` with the mean face's."""
    reach: dict[str, float | None] = field(default_factory=dict)
    """As ``followed``, but the slope of what is found again over what the driver does: 1 goes as far, .5 half as far;
    None where the driver keeps still."""


@dataclass(frozen=True)
class Metrics:
    """What ``RUN/metrics.json`` holds. Of what is None, ``left_out`` says why."""

    l1: Score
    """Mean absolute difference, as a share of the range."""
    psnr: Score
    """dB, scikit-image's, on RGB uint8; equal pictures count as ``mueca.metrics.PSNR_OF_EQUALS_DB``."""
    ssim: Score
    """scikit-image's, on RGB uint8, default window."""
    ms_ssim: Score
    """Multi-scale SSIM, five scales."""
    l1_face: Score | None
    """This and the next two inside the widened hull of the real face's landmarks: see ``mueca.metrics.face_mask``."""
    psnr_face: Score | None
    ssim_face: Score | None
    akd: Score | None
    """Mean landmark distance over the real face's outer eye distance; None: nobody's landmarks are known."""
    identity: Score | None
    """Euclidean distance of dlib's 128 numbers, fake to real; ``real`` is that of two real pictures of the subject."""
    sharpness_mouth: Score | None
    """Root mean square of the luma's gradient around the mouth, in levels per pixel; ``real`` is the real pictures'."""
    sharpness_eyes: Score | None
    flicker: Score | None
    """Mean absolute change from one frame to the next, as a share of the range; ``real`` is the real clip's."""
    undetected: Score
    """Share of the fakes in which no face is found."""
    lpips: Score | None
    fid: Score | None
    kid: Score | None
    left_out: dict[str, str]
    """By the metric's name: why it is None, and the way to have it."""
    trained: bool
    """Better than the mean face in SSIM and PSNR, and ``akd`` at most ``TRAINED_AKD``."""
    num_frames: int
    num_undetected: int
    """Fakes in which no face was found: they enter ``akd`` with the mean face's error."""
    num_unmeasured: int
    """Real frames in which the ruler finds no face: they are left out of ``akd``."""
    detector: str
    pairs_sha256: str
    generator_sha256: str | None
    """Of ``RUN/generator.safetensors`` as measured; None: something else stood in for it."""
    mueca_version: str
    driver: Driven | None = None
    frames: tuple[FrameScores, ...] = ()
    """Every held-out frame, in order of time."""
    num_blocks: int = 0
    """That the intervals were drawn from."""
    min_score: float | None = None
    """Of the detector, where the settings named it."""
    blocks: str = "seconds"
    """What a block is: "30 frames" where nobody knows the frames' times."""


TRAINED_AKD = 0.03

HELD_OUT_METRICS = (
    "l1", "psnr", "ssim", "ms_ssim", "l1_face", "psnr_face", "ssim_face", "akd", "identity",
    "sharpness_mouth", "sharpness_eyes", "flicker", "undetected", "lpips", "fid", "kid",
)  # fmt: skip
"""Names of the fields of ``Metrics`` that are scores, in the order in which they are shown."""

DRIVEN_METRICS = ("identity", "flicker", "undetected", "ssim", "psnr", "akd", "expression")
"""Names of the fields of ``Driven`` that are scores, in the order in which they are shown."""

MEASURES: dict[str, Measure] = {
    "l1": Measure("L1", "%", 2, "lower", "mean difference of the pictures' values, as a share of their range", 100.0),
    "psnr": Measure("PSNR", "dB", 1, "higher", "peak signal-to-noise ratio: 3 dB more is half the squared error"),
    "ssim": Measure("SSIM", "", 3, "higher", "structural similarity: 1 is the same picture"),
    "ms_ssim": Measure("MS-SSIM", "", 3, "higher", "structural similarity over five scales: 1 is the same picture"),
    "l1_face": Measure("L1, face alone", "%", 2, "lower", "L1 where the face is, without the background", 100.0),
    "psnr_face": Measure("PSNR, face alone", "dB", 1, "higher", "PSNR where the face is, without the background"),
    "ssim_face": Measure("SSIM, face alone", "", 3, "higher", "SSIM where the face is, without the background"),
    "akd": Measure(
        "Landmark error", "%", 2, "lower", "how far landmarks found again lie off, over the distance of the eyes", 100.0
    ),
    "identity": Measure(
        "Identity distance",
        "",
        3,
        "lower",
        "distance of a face recogniser's numbers, fake to real; from .45 on it can be a stranger",
    ),
    "sharpness_mouth": Measure("Mouth sharpness", "", 1, "like real", "how strong the edges around the mouth are"),
    "sharpness_eyes": Measure("Eye sharpness", "", 1, "like real", "how strong the edges around the eyes are"),
    "flicker": Measure(
        "Flicker", "%", 2, "like real", "mean change from one frame to the next, which movement has too", 100.0
    ),
    "undetected": Measure("Fakes without a face", "%", 1, "lower", "share in which the detector finds no face", 100.0),
    "lpips": Measure("LPIPS", "", 3, "lower", "distance of a network's impressions of fake and real"),
    "fid": Measure("FID", "", 1, "lower", "distance of the sets of fakes and reals in a network's numbers"),
    "kid": Measure("KID", "", 4, "lower", "the same, without bias for few pictures"),
    "expression": Measure(
        "Expression error", "%", 2, "lower", "the landmark error less its mean, which is the face's shape", 100.0
    ),
}


@dataclass(frozen=True)
class Tile:
    """One frame's pictures, each RGB uint8 (SIZE_PX, SIZE_PX, 3)."""

    condition: Array
    real: Array | None
    """The true picture; None for a driven frame without a truth."""
    fake: Array
    driver: Array | None = None
    """The driver's crop; None for a held-out frame."""


@dataclass(frozen=True)
class Poses:
    """What the frames of both splits show: see ``mueca.face.movements.movements_of``."""

    train: Movements
    test: Movements


@dataclass(frozen=True)
class Report:
    """All that ``report.html`` is made of."""

    run: Path
    record: Run
    metrics: Metrics
    curve: tuple[Point, ...]
    """Held-out numbers over training; empty where they were not kept."""
    tiles: Mapping[str, Tile]
    """By the pair's name: those of the frames that are shown."""
    poses: Poses | None
    """None where the pairs' landmarks are not known."""
    driven_tiles: tuple[Tile, ...] = ()
    """Some of the driven frames, in order of time, with ``driver``; ``real`` where there is a truth."""

    @property
    def frames(self) -> tuple[FrameScores, ...]:
        """Every held-out frame's numbers, in order of time."""
        return self.metrics.frames


def same_driving(reports: Sequence[Report]) -> list[Driven]:
    """Return how each run follows the driver's video that drove all of them; none where there is no such video."""
    driven = [report.metrics.driver for report in reports]
    first = driven[0]
    return [each for each in driven if each] if first and all(each and each.by == first.by for each in driven) else []

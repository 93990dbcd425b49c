"""Who the pictures of a driven run show: how far the face recogniser's numbers lie from the subject's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mueca.evaluation.measuring import FAKE, REAL, FaceReader, evenly

Array = np.ndarray

MOST_FACES = 40
"""Of each kind, whose identity is looked at: 120 ms each."""


def mean_face(training: Sequence[Array]) -> Array:
    """Return the mean of pictures, RGB uint8 (H, W, 3) each, as one."""
    return np.mean(training, axis=0).round().astype(np.uint8)


def identity_distances(
    fakes: Sequence[Array], training: Sequence[Array], held_out: Sequence[Array], reader: FaceReader
) -> dict[str, Array]:
    """Return how far the fakes lie from the subject's mean face numbers, and how far other real pictures do.

    A fake without a face lies as far as the mean face does.
    """
    who, of_mean = _who(training, reader), reader.numbers(mean_face(training))
    distances = np.full(len(fakes), np.nan)
    for place in evenly(len(fakes), MOST_FACES):
        numbers = reader.numbers(fakes[place])
        numbers = of_mean if numbers is None else numbers
        if numbers is not None and who is not None:
            distances[place] = np.linalg.norm(numbers - who)
    own = mean_distance(held_out, training, reader)
    return {FAKE: distances} | ({} if own is None else {REAL: np.array([own])})


def mean_distance(pictures: Sequence[Array], training: Sequence[Array], reader: FaceReader) -> float | None:
    """Return the mean distance of some pictures' faces to the subject's; None where no face is found."""
    who = _who(training, reader)
    numbers = [reader.numbers(pictures[place]) for place in evenly(len(pictures), MOST_FACES)]
    found = [each for each in numbers if each is not None]
    return float(np.linalg.norm(np.array(found) - who, axis=1).mean()) if found and who is not None else None


def _who(pictures: Sequence[Array], reader: FaceReader) -> Array | None:
    """Return the mean of the numbers (128,) of some of a person's pictures; None where no face is found."""
    numbers = [reader.numbers(pictures[place]) for place in evenly(len(pictures), MOST_FACES)]
    found = [each for each in numbers if each is not None]
    return np.mean(found, axis=0) if found else None

"""Frames to follow faces in: drawn actors in one picture, and scripted faces that need no net to be found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mueca.actors import ACTORS, performance, render
from mueca.face.detection import Detection

FPS = 25.0


@dataclass(frozen=True)
class Picture:
    """A frame to follow faces in."""

    index: int
    timestamp_s: float
    image: np.ndarray


def clip_of(images: Sequence[np.ndarray], fps: float = FPS) -> list[Picture]:
    """Return the pictures as frames, one after the other."""
    return [Picture(i, i / fps, image) for i, image in enumerate(images)]


@lru_cache(maxsize=4)
def acted(name: str, num_frames: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return an actor's pictures and true landmarks (N, 68, 2): change none of them."""
    drawn = [render(ACTORS[name], expression) for expression in performance(3, num_frames)]
    return [image for image, _ in drawn], np.array([landmarks for _, landmarks in drawn])


def crossing(behind: str, before: str, num_frames: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return pictures in which two actors change places, one passing before the other, and their true landmarks.

    The one ``behind`` goes from left to right.
    """
    images = [np.full((480, 1100, 3), (90, 110, 120), np.uint8) for _ in range(num_frames)]
    truth = {}
    for name, start, end in ((behind, 0, 600), (before, 600, 0)):
        heads, landmarks = acted(name, num_frames)
        left = np.linspace(start, end, num_frames).round().astype(int)
        for image, head, points, x in zip(images, heads, landmarks, left, strict=True):
            cover = _head_cover(points)
            image[:, x : x + 480][cover] = head[cover]
        truth[name] = landmarks + np.stack([left, 0 * left], -1)[:, None]
    return images, truth


def _head_cover(landmarks: np.ndarray) -> np.ndarray:
    """Return where (480, 480) the head is: an ellipse about the landmarks."""
    (x, y), width = landmarks.mean(axis=0), np.ptp(landmarks[:, 0])
    cover = np.zeros((480, 480), np.uint8)
    axes = (int(0.72 * width), int(0.98 * width))
    cv2.ellipse(cover, (int(x), int(y - 0.21 * width)), axes, 0, 0, 360, 1, -1)
    return cover.astype(bool)


@dataclass(frozen=True)
class Face:
    """A scripted face: whose it is (1 to 9), where its square's left edge is, how large it is, and the score."""

    person: int
    x: float
    size: float = 100.0
    score: float = 0.9

    @property
    def box(self) -> tuple[float, float, float, float]:
        return (self.x, 60.0, self.x + self.size, 60.0 + self.size)


class Script:
    """A detector and an embedder for scripted faces: what is in a frame stands in the script, not in the picture."""

    name = "yunet"
    search_face_px = 1e9  # never shrink the picture

    def __init__(self, faces: Sequence[Sequence[Face]]):
        self._faces = faces
        self.looked_at: list[int] = []
        self.num_embedded = 0

    def frames(self) -> list[Picture]:
        """Return pictures (240, 900, 3) that carry their number and, hardly visible, who is where."""
        images = []
        for number, faces in enumerate(self._faces):
            image = np.full((240, 900, 3), 128, np.uint8)
            for face in faces:
                x0, y0, x1, y1 = (max(round(v), 0) for v in face.box)
                image[y0:y1, x0:x1] += face.person
            image[0, 0] = (number // 256, number % 256, 0)
            images.append(image)
        return clip_of(images)

    def detect(self, image: np.ndarray) -> list[Detection]:
        number = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        self.looked_at.append(number)
        return [Detection(face.box, face.score) for face in self._faces[number]]

    def predictor_box(self, detection: Detection) -> tuple[float, float, float, float]:
        return detection.box

    def embed(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Return 128 numbers that are 1 apart for any two persons."""
        self.num_embedded += 1
        x, y = round((box[0] + box[2]) / 2), round((box[1] + box[3]) / 2)
        numbers = np.zeros(128)
        numbers[int(image[y, x, 0]) - 128] = 0.5**0.5
        return numbers

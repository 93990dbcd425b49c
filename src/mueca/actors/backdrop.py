"""What stands still behind and below the face: the wall and the clothes, painted once per actor."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from mueca.actors.head import FRAME_PX, bell, smoothstep
from mueca.actors.people import Colour, Identity

CLOTHES_PX = (720, 300)
"""Width and height of the painted clothes; their collar's middle is at (360, 60)."""
COLLAR_PX = np.array([360.0, 60.0])


def linear(colour: Colour) -> np.ndarray:
    """Return a colour's light (3,) float32, 0 to 1: squares stand for the display's gamma."""
    return np.square(np.array(colour, np.float32) / 255.0)


@lru_cache(maxsize=8)
def wall(identity: Identity) -> np.ndarray:
    """Return the background's light (S, S, 3) float32: lit from one side, out of focus, no mirror image of itself."""
    y, x = np.mgrid[0:FRAME_PX, 0:FRAME_PX].astype(np.float32) / FRAME_PX
    toward = x if identity.light_x > 0 else 1.0 - x
    light = 0.55 + 0.5 * np.exp(-((toward - 0.95) ** 2 + (y - 0.2) ** 2) / 0.5)
    plain, accent = linear(identity.wall), linear(identity.wall_accent)
    shapes = _window(x, y) if identity.hair_style == "bob" else _shelf(x, y)
    shapes = cv2.GaussianBlur(shapes, (0, 0), 7.0)[..., None]
    picture = (plain * (1.0 - shapes) + accent * shapes) * light[..., None]
    return np.ascontiguousarray(picture, np.float32)


@lru_cache(maxsize=8)
def clothes(identity: Identity) -> np.ndarray:
    """Return light and cover (H, W, 4) float32 of the shoulders; the neck comes out of the collar."""
    width, height = CLOTHES_PX
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x - COLLAR_PX[0], y - COLLAR_PX[1]
    broad = 215.0 if identity.hair_style == "short" else 188.0
    beside = np.abs(x)
    shoulder_y = -34.0 + 62.0 * smoothstep(40.0, broad, beside) + 260.0 * smoothstep(broad - 30.0, broad + 55.0, beside)
    neckline_y = _neckline(identity, x)
    cover = smoothstep(-1.2, 1.2, y - np.maximum(shoulder_y, neckline_y))
    slope = np.gradient(shoulder_y, axis=1) * np.exp(-(y - shoulder_y) / 60.0)
    facing = np.clip(0.62 + identity.light_x * (0.0022 * x + 0.25 * np.tanh(slope)), 0.15, 1.2)
    folds = _folds(identity, x.shape)
    shade = facing * (1.0 + folds) * (0.75 + 0.25 * smoothstep(0.0, 50.0, y - shoulder_y))
    colour = linear(identity.cloth) * np.ones((*x.shape, 1), np.float32)
    trim = _trim(identity, x, y, neckline_y)[..., None]
    colour = colour * (1.0 - trim) + linear(identity.cloth_accent) * trim
    edge = 1.0 - 0.5 * bell(y - neckline_y - 15.0, 3.0) * (beside < 80)
    return np.dstack((colour * (shade * edge)[..., None], cover)).astype(np.float32)


def _window(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return cover of a lit window with a bar on the picture's left and a plant's leaves on its right."""
    pane = ((x > 0.02) & (x < 0.24) & (y > 0.05) & (y < 0.55) & (np.abs(x - 0.13) > 0.012)).astype(np.float32)
    frame = 0.35 * ((x > 0.86) & (y > 0.5)).astype(np.float32)
    return pane + frame


def _shelf(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return cover of shelves on the picture's right and a picture frame on its left."""
    boards = ((x > 0.72) & (np.abs((y + 0.06) % 0.24 - 0.12) < 0.018)).astype(np.float32)
    books = ((x > 0.76) & ((x * 31).astype(int) % 3 > 0) & ((y + 0.06) % 0.24 < 0.1)).astype(np.float32)
    frame = ((np.abs(x - 0.11) < 0.09) & (np.abs(y - 0.26) < 0.13)).astype(np.float32)
    return np.clip(boards + 0.6 * books + 0.75 * frame, 0.0, 1.0)


def _neckline(identity: Identity, x: np.ndarray) -> np.ndarray:
    """Return the collar's y at each x: a round neck, or an open V that leans to one side."""
    if identity.hair_style == "short":
        return 18.0 - 52.0 * (np.abs(x) / 82.0) ** 2.4
    lean = x - 7.0
    return 66.0 - 1.42 * np.abs(lean) - 0.002 * lean**2


def _trim(identity: Identity, x: np.ndarray, y: np.ndarray, neckline_y: np.ndarray) -> np.ndarray:
    """Return cover of the second colour: a knitted collar, or a scarf's edge with a button row off the middle."""
    below = y - neckline_y
    if identity.hair_style == "short":
        ribs = 0.75 + 0.25 * np.sin(x * 1.1)
        return smoothstep(15.0, 13.0, below) * ribs
    buttons = sum(smoothstep(6.0, 4.5, np.hypot(x - 14.0, y - at)) for at in (92.0, 132.0, 172.0))
    return np.clip(smoothstep(10.0, 8.0, below * 0.62) * (np.abs(x) < 90) + buttons, 0.0, 1.0)


def _folds(identity: Identity, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(identity.seed).standard_normal(shape).astype(np.float32)
    broad = cv2.GaussianBlur(noise, (0, 0), sigmaX=14.0, sigmaY=34.0)
    weave = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.8, sigmaY=1.4)
    return 0.13 * broad / broad.std() + 0.05 * weave / weave.std()

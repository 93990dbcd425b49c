"""Who the two actors are, and what a face can do: everything that a picture of them follows from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""


@dataclass(frozen=True)
class Identity:
    """Proportions and colours of one drawn person. Lengths are factors of the mean face (see head.py)."""

    name: str
    eye_distance: float
    eye_size: float
    """Width of one eye, apart from how far it stands from the other."""
    eye_opening: float
    jaw_width: float
    mouth_width: float
    lip_fullness: float
    nose_width: float
    nose_height: float
    """How far the nose stands out of the face."""
    brow_height_cm: float
    """How much higher than the mean the brows sit."""
    brow_thickness: float
    lash_length: float
    skin: Colour
    blush: Colour
    lips: Colour
    hair: Colour
    hair_shine: Colour
    hair_style: Literal["bob", "short"]
    iris: Colour
    cloth: Colour
    cloth_accent: Colour
    wall: Colour
    wall_accent: Colour
    freckles: float
    """Strength of the freckles, 0 to 1."""
    stubble: float
    """Strength of the shaven beard's shadow, 0 to 1."""
    mole_cm: tuple[float, float]
    """Place of the mole on the face, x to the picture's right and y down from between the eyes."""
    light_x: float
    """Where the main light stands: -1 on the picture's left, 1 on its right."""
    seed: int
    """Of everything that is scattered: strands, freckles, the cloth's weave."""


@dataclass(frozen=True)
class Expression:
    """What the face does in one frame; the default looks straight ahead, mouth closed.

    Left and right are the picture's. Unless said otherwise 0 is rest and 1 the most.
    """

    jaw: float = 0.0
    smile: float = 0.0
    width: float = 0.0
    """Mouth drawn wide; negative: made narrow."""
    pucker: float = 0.0
    brow_raise: float = 0.0
    brow_frown: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0
    gaze_x: float = 0.0
    """-1 to the picture's left, 1 to its right."""
    gaze_y: float = 0.0
    """-1 up, 1 down."""
    yaw: float = 0.0
    """Degrees; positive turns the nose to the picture's right."""
    pitch: float = 0.0
    """Degrees; positive lowers the nose."""
    roll: float = 0.0
    """Degrees; positive tilts the crown to the picture's right."""
    x: float = 0.0
    """Pixels that the head is off its middle place, to the right."""
    y: float = 0.0
    """Pixels, downwards."""
    scale: float = 1.0


ACTOR_A = Identity(
    name="a",
    eye_distance=1.105,
    eye_size=1.045,
    eye_opening=1.14,
    jaw_width=0.9,
    mouth_width=0.895,
    lip_fullness=1.12,
    nose_width=0.9,
    nose_height=0.92,
    brow_height_cm=0.15,
    brow_thickness=0.75,
    lash_length=1.0,
    skin=(236, 190, 163),
    blush=(214, 112, 98),
    lips=(190, 78, 80),
    hair=(112, 50, 26),
    hair_shine=(255, 176, 112),
    hair_style="bob",
    iris=(84, 118, 92),
    cloth=(36, 74, 104),
    cloth_accent=(226, 214, 190),
    wall=(138, 154, 166),
    wall_accent=(232, 196, 140),
    freckles=0.7,
    stubble=0.0,
    mole_cm=(3.3, 5.9),
    light_x=-1.0,
    seed=11,
)

ACTOR_B = Identity(
    name="b",
    eye_distance=0.935,
    eye_size=0.945,
    eye_opening=1.0,
    jaw_width=1.055,
    mouth_width=1.05,
    lip_fullness=1.0,
    nose_width=1.12,
    nose_height=1.06,
    brow_height_cm=-0.1,
    brow_thickness=1.25,
    lash_length=0.35,
    skin=(174, 118, 84),
    blush=(150, 74, 54),
    lips=(128, 60, 56),
    hair=(34, 26, 24),
    hair_shine=(150, 138, 132),
    hair_style="short",
    iris=(92, 58, 30),
    cloth=(196, 142, 44),
    cloth_accent=(92, 40, 34),
    wall=(92, 130, 116),
    wall_accent=(34, 58, 66),
    freckles=0.0,
    stubble=0.4,
    mole_cm=(-4.2, 4.6),
    light_x=1.0,
    seed=23,
)

ACTORS: dict[str, Identity] = {actor.name: actor for actor in (ACTOR_A, ACTOR_B)}

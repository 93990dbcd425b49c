"""Two drawn actors, nobody's likeness, with exact ground truth: the true landmarks, and the true cross-reenactment.

``people`` says who they are and what a face can do; ``head`` and ``features`` are the geometry; ``skin``, ``hair``
and ``backdrop`` are painted once per actor; ``drawing`` puts a frame together; ``acting`` moves, ``filming`` writes.
"""

from mueca.actors.acting import performance
from mueca.actors.drawing import render
from mueca.actors.features import landmarks_of
from mueca.actors.filming import CLIP_FPS, actor_clip, standard_performance, write_clip
from mueca.actors.people import ACTOR_A, ACTOR_B, ACTORS, Expression, Identity

__all__ = [
    "ACTORS",
    "ACTOR_A",
    "ACTOR_B",
    "CLIP_FPS",
    "Expression",
    "Identity",
    "actor_clip",
    "landmarks_of",
    "performance",
    "render",
    "standard_performance",
    "write_clip",
]

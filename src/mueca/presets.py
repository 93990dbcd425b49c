"""The recipes of training: networks, losses, schedule. One table, one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mueca.config import LONGEST, SIZE_PX, LengthKind
from mueca.errors import SettingsError


@dataclass(frozen=True)
class Preset:
    """A recipe of networks, losses and schedule. Images are in [-1, 1]; rates are Adam's."""

    generator: Literal["unet", "compact"]
    """unet: pix2pix's U-Net (transposed convolutions, batch norm); compact: see mueca.nets.compact."""
    width_generator: int
    """Channels of the generator's first block: pix2pix's ngf."""
    width_discriminator: int
    textures: int
    """Channels of the textures that the generator learns on each chart of the face, see ``mueca.face.charts``; 0: none.
    Pairs that don't know their charts have none either."""
    norm_discriminator: Literal["batch", "instance"]
    learning_rate_generator: float
    learning_rate_discriminator: float
    rate_falls_from: float
    """Share of the run after which both rates fall linearly to zero; 1.0: never."""
    average_decay: float
    """Decay per step of the running average of the generator's weights that is saved; 0: the last weights."""
    lambda_l1: float
    face_weight: float
    """How much more than elsewhere the L1 counts where the condition draws the face; 0: as much."""
    lambda_ssim: float
    """Weight of 1 - SSIM, see mueca.losses; 0: none."""
    dropout: float
    jitter_size_px: int
    """Pairs are resized to this and a random 256 x 256 crop is taken; 256: no jitter."""
    zoom: float
    """Pairs are stretched or squeezed at random by up to this share, height and width each by itself; 0: not."""
    shift_px: float
    """And shifted by up to so many pixels, up or down and left or right; 0: not."""
    mirror: bool
    """Half of the pairs are mirrored: right for faces in general, wrong for one person's parting."""
    discriminator_window_px: int
    """Side of the random window that the discriminator sees at each step; 256: the whole picture."""
    bfloat16_on_cpu: bool
    """Whether a CPU that is made for bfloat16 computes in it, where the settings leave the precision open."""
    length_kind: LengthKind
    length: float
    """What is trained for when the settings name no length; a budget is in seconds."""
    batch: int = 1
    """Pairs a step, over all processes."""

    def __post_init__(self) -> None:
        # A preset also comes from a run folder someone sent: it must not ask for a net as big as a house.
        for name, (least, most) in _PRESET_RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise SettingsError(f"preset's {name} {value}: must be from {least} to {most}")


_PRESET_RANGES: dict[str, tuple[float, float]] = {
    "width_generator": (1, 512),
    "width_discriminator": (1, 512),
    "textures": (0, 64),
    "learning_rate_generator": (1e-9, 1.0),
    "learning_rate_discriminator": (1e-9, 1.0),
    "rate_falls_from": (0.0, 1.0),
    "average_decay": (0.0, 0.99999),
    "lambda_l1": (0.0, 1e6),
    "face_weight": (0.0, 1e3),
    "lambda_ssim": (0.0, 1e6),
    "zoom": (0.0, 0.5),
    "shift_px": (0.0, SIZE_PX / 2),
    "dropout": (0.0, 0.99),
    "jitter_size_px": (SIZE_PX, 4 * SIZE_PX),
    "discriminator_window_px": (24, SIZE_PX),  # below 24 the PatchGAN has no logit left
    "length": (1e-3, LONGEST),
    "batch": (1, 1024),
}

PRESETS: dict[str, Preset] = {
    # Isola et al., CVPR 2017, as their PyTorch code builds it; 50 epochs is the report's.
    "paper": Preset(
        generator="unet",
        width_generator=64,
        width_discriminator=64,
        textures=0,
        norm_discriminator="batch",
        learning_rate_generator=2e-4,
        learning_rate_discriminator=2e-4,
        rate_falls_from=1.0,
        average_decay=0.0,
        lambda_l1=100.0,
        face_weight=0.0,
        lambda_ssim=0.0,
        dropout=0.5,
        jitter_size_px=286,
        zoom=0.0,
        shift_px=0.0,
        mirror=True,
        discriminator_window_px=256,
        bfloat16_on_cpu=False,
        length_kind="epochs",
        length=50,
    ),
    # For 2 CPU cores; docs/experiments.md tells what each departure from the paper brought.
    "small": Preset(
        generator="compact",
        width_generator=48,
        width_discriminator=32,
        textures=8,
        norm_discriminator="instance",
        learning_rate_generator=1e-3,
        learning_rate_discriminator=2e-4,
        rate_falls_from=0.5,
        average_decay=0.998,
        lambda_l1=150.0,
        face_weight=3.0,
        lambda_ssim=200.0,
        dropout=0.0,
        jitter_size_px=256,
        zoom=0.03,
        shift_px=8.0,
        mirror=False,
        discriminator_window_px=128,
        bfloat16_on_cpu=True,
        length_kind="budget",
        length=600,
    ),
}
PRESETS["live"] = replace(PRESETS["small"], width_generator=32)
"""For a camera: half of the work of ``small`` for each picture; docs/experiments.md tells what that costs."""

"""Learned pictures that lie on the charts of ``mueca.face.charts``: what is where in the scene, and on the face.

Source: Thies, Zollhöfer, Nießner, "Deferred neural rendering", SIGGRAPH 2019, whose textures lie on a mesh.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mueca.face.charts import NUM_CHARTS

_REACH = 1.5
"""A texture spans its chart from minus this to this; beyond, its border goes on."""


class Textures(nn.Module):
    """Return what lies at each pixel by the charts: (N, 2 NUM_CHARTS, G, G) to (N, NUM_CHARTS channels, size, size).

    A texture has as many pixels to the subject's usual crop as the picture that it is looked up for, ``size_px``. It
    starts as zeros, so that what training never showed is nothing: noise would stay noise.
    """

    def __init__(self, *, channels: int, size_px: int) -> None:
        super().__init__()
        side = round(_REACH * size_px)
        self.size_px = size_px
        self.values = nn.Parameter(torch.zeros(NUM_CHARTS, channels, side, side))

    def forward(self, charts: Tensor) -> Tensor:
        charts = charts.to(self.values.dtype)
        num, device = charts.shape[0], charts.device
        centres = (2 * torch.arange(self.size_px, device=device, dtype=charts.dtype) + 1) / self.size_px - 1
        pixels = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).expand(num, -1, -1, -1)
        places = functional.grid_sample(charts, pixels, "bilinear", "border", align_corners=True) / _REACH
        found = [
            functional.grid_sample(
                texture.expand(num, -1, -1, -1), place.permute(0, 2, 3, 1), "bilinear", "border", align_corners=False
            )
            for texture, place in zip(self.values, places.chunk(NUM_CHARTS, dim=1), strict=True)
        ]
        return torch.cat(found, dim=1)

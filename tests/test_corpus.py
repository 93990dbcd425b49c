"""Every file of the corpus is read as far as it goes, or refused in one line that says why."""

from __future__ import annotations

import re

import numpy as np
import pytest
from corpus import CORPUS

from mueca.errors import InputError
from mueca.video import VideoReader


@pytest.mark.parametrize("name", CORPUS)
def test_each_file_of_the_corpus_is_read_or_refused_as_it_says(tmp_path, name):
    odd, path = CORPUS[name], tmp_path / name
    odd.make(path)
    if isinstance(odd.expected, str):
        with pytest.raises(InputError, match=odd.expected.replace("(", r"\(").replace(")", r"\)")) as caught:
            list(VideoReader(path))
        assert re.fullmatch(rf"{re.escape(str(path))}: [^\n]*", str(caught.value))
        return
    reader = VideoReader(path)
    frames = list(reader)
    times = [frame.timestamp_s for frame in frames]
    assert (np.diff(times) > 0).all()
    assert len({frame.image.shape for frame in frames}) == 1
    if odd.shortfall:
        assert odd.expected <= len(frames) < 120
        assert odd.shortfall in reader.shortfall
    else:
        assert len(frames) == odd.expected
        assert reader.shortfall is None

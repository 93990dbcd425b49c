"""Sound beside a film: copied packet by packet from a file where mp4 can hold it, else encoded to AAC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Discard
from numpy.typing import NDArray

from mueca.errors import InputError
from mueca.video.opening import SOUND_DECODERS, check_decoder, moving_pictures, opened
from mueca.video.reading import VideoReader

Waves = NDArray[np.float32]
"""(channels, N) samples in [-1, 1]."""

COPIED_CODECS = frozenset(("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"))
"""What mp4 holds and players know."""
_AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_RATE_HZ = 48_000
_JITTER_S = 0.04
"""Smaller steps between the clock and the samples are the container's rounding, not a gap in the sound."""
_CHUNK = 4096


@dataclass(frozen=True)
class Sound:
    """Sound held in memory."""

    samples: NDArray[np.float32]
    """(N,), one channel, in [-1, 1]; the first sample stands at the film's zero."""
    rate_hz: int


@contextmanager
def sound_packets(sound: Path | Sound | None, film: OutputContainer) -> Iterator[Iterator[av.Packet]]:
    """Give the packets of ``sound`` for a new stream of ``film``, on the film's clock, in their order.

    There are none when ``sound`` is None or a file without audio. Raises InputError when the file can't be read.
    """
    if sound is None:
        yield iter(())
    elif isinstance(sound, Sound):
        stream = _add_aac(film, sound.rate_hz, channels=1)
        yield _encoded(stream, _chunks(sound.samples[None]), sound.rate_hz)
    else:
        with opened(sound) as container:
            yield _packets_of_file(sound, container, film)


def _packets_of_file(path: Path, container: InputContainer, film: OutputContainer) -> Iterator[av.Packet]:
    if not container.streams.audio:
        return iter(())
    source = container.streams.audio[0]
    check_decoder(path, source, SOUND_DECODERS, "convert its sound to AAC first")
    if not source.rate or not source.channels:
        raise InputError(f"{path}: its sound says no sample rate or no channels; convert its sound to AAC first")
    for stream in container.streams:
        stream.discard = Discard.default if stream is source else Discard.all
    zero_s = _zero_s(path, container)
    if source.codec_context.codec.canonical_name in COPIED_CODECS:
        return _copied(film.add_stream_from_template(source), container, source, zero_s)
    rate_hz = source.rate if source.rate in _AAC_RATES_HZ else _AAC_RATE_HZ
    stream = _add_aac(film, rate_hz, channels=min(source.channels, 2))
    return _encoded(stream, aligned(_decoded(container, source, stream), rate_hz, zero_s), rate_hz)


def _zero_s(path: Path, container: InputContainer) -> float:
    """Return the time on the file's own clock that is the film's zero: its first frame's, or its sound's start."""
    if moving_pictures(container):
        return VideoReader(path).info.start_s
    return (container.start_time or 0) / av.time_base


def _packets(container: InputContainer, source: AudioStream) -> Iterator[av.Packet]:
    """Yield the packets up to the first break in the file, which ``VideoReader.shortfall`` tells of."""
    with suppress(av.FFmpegError):
        yield from container.demux(source)


def _copied(target: AudioStream, container: InputContainer, source: AudioStream, zero_s: float) -> Iterator[av.Packet]:
    zero, last_dts = round(zero_s / source.time_base), None
    for packet in _packets(container, source):
        if packet.dts is None or packet.pts is None or (last_dts is not None and packet.dts <= last_dts):
            continue
        last_dts = packet.dts
        packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
        # One packet before zero is kept: AAC and Opus decode each packet with the help of the one before.
        if packet.pts + 2 * (packet.duration or 0) > 0:
            packet.stream = target
            yield packet


def _decoded(
    container: InputContainer, source: AudioStream, target: AudioStream
) -> Iterator[tuple[float | None, Waves]]:
    """Yield (start in seconds on the file's clock, samples) at the target's rate and channels."""
    resampler = av.AudioResampler("fltp", target.layout, target.rate)
    for packet in _packets(container, source):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue  # a damaged packet: the gap is filled with silence
        for part in (part for frame in frames for part in resampler.resample(frame)):
            yield None if part.pts is None else float(part.pts * part.time_base), part.to_ndarray()
    yield from ((None, part.to_ndarray()) for part in resampler.resample(None))


def aligned(parts: Iterator[tuple[float | None, Waves]], rate_hz: int, zero_s: float) -> Iterator[Waves]:
    """Yield samples without gaps from ``zero_s`` on: what lies before is cut, gaps are filled with silence.

    ``parts`` are (start in seconds or None: right after the last, samples (channels, N) at ``rate_hz``).
    """
    head, expected = 0, None  # in samples after zero: where the output has come to, where the next part belongs
    for start_s, waves in parts:
        start = expected or 0 if start_s is None else round((start_s - zero_s) * rate_hz)
        if expected is not None and abs(start - expected) < _JITTER_S * rate_hz:
            start = expected
        while start > head:
            silence = min(start - head, _CHUNK)
            yield np.zeros((len(waves), silence), np.float32)
            head += silence
        expected = start + waves.shape[1]
        if expected > head:
            yield waves[:, head - start :]
            head = expected


def _chunks(waves: Waves) -> Iterator[Waves]:
    for start in range(0, waves.shape[1], _CHUNK):
        yield waves[:, start : start + _CHUNK]


def _add_aac(film: OutputContainer, rate_hz: int, *, channels: int) -> AudioStream:
    rate_hz = rate_hz if rate_hz in _AAC_RATES_HZ else _AAC_RATE_HZ
    return film.add_stream(
        "aac", rate=rate_hz, layout="mono" if channels == 1 else "stereo", bit_rate=96_000 * channels
    )


def _encoded(stream: AudioStream, waves: Iterator[Waves], rate_hz: int) -> Iterator[av.Packet]:
    position = 0
    for samples in waves:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.clip(-1, 1), np.float32), format="fltp", layout=stream.layout.name
        )
        frame.rate, frame.pts = rate_hz, position
        position += samples.shape[1]
        yield from stream.encode(frame)
    yield from stream.encode(None)

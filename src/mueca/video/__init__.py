"""Read and write video: every frame's own timestamp, upright pictures, sound, and a mark on every file."""

from mueca.video.reading import Frame, VideoInfo, VideoReader
from mueca.video.sound import Sound
from mueca.video.writing import VideoWriter

__all__ = ["Frame", "Sound", "VideoInfo", "VideoReader", "VideoWriter"]

"""How fast extract() is, beside the report's way, written plainly, on the same clips in the same run.

    python benchmarks/extract.py --out benchmarks/results/extract.json [--quick] [--clips FOLDER] [--frames N]

Both ways get the whole clip as it is, or, with --frames (--quick: 40), its first frames in a file of their own. The
report's way, for every frame that is kept: the frame is written as a PNG and read back, the SSD finds the face, the
widened box is cut out and stretched to 256 x 256, dlib's HOG finds the face again in the crop, the predictor places
the landmarks, mask and crop are written. Frames in which the SSD or the HOG finds nothing are lost. mueca follows
every frame and writes all that are usable but those of the second between training and test. Both decode with PyAV,
and both load their models anew each time, mueca in every process that it starts: this counts, and tells on short
clips. The ratio is of pairs written per second.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import dlib
import numpy as np
from measuring import find_clips, make_parser, print_table, write_result

from mueca.config import SIZE_PX, ExtractSettings
from mueca.extraction import extract
from mueca.face.condition import draw_condition
from mueca.face.detection import HogDetector, SsdDetector
from mueca.face.model_files import LANDMARKS_68, packaged
from mueca.marks import UNMARKED
from mueca.pictures import read_picture, write_picture
from mueca.video import VideoReader, VideoWriter

CLIPS = ("d3", "d9", "d13", "d18", "d19", "s18")


def cut_clip(video: Path, folder: Path, *, num_frames: int) -> Path:
    """Write the clip's first frames under its own name in the folder, without sound; return the new file."""
    clip = VideoReader(video)
    path = folder / f"{video.stem}.mp4"
    with VideoWriter(path, size_px=(clip.info.width, clip.info.height), mark=UNMARKED) as film:
        for frame in itertools.islice(clip, num_frames):
            film.write(frame.image, frame.timestamp_s)
    return path


def reports_way(video: Path, folder: Path, *, models: Path | None) -> tuple[int, int]:
    """Write the report's pairs; return how many frames there were and how many it kept."""
    ssd, hog = SsdDetector(models), HogDetector()
    predictor = dlib.shape_predictor(str(packaged(LANDMARKS_68)))
    num_frames = kept = 0
    for frame in VideoReader(video):
        num_frames += 1
        write_picture(folder / "frame.png", frame.image, mark=UNMARKED)
        image = read_picture(folder / "frame.png")
        faces = ssd.detect(image)
        if not faces:
            continue
        crop = widened_crop(image, faces[0].box)
        found = hog.detect(crop)
        if not found:
            continue
        rectangle = dlib.rectangle(*(round(v) for v in found[0].box))
        landmarks = np.array([(p.x, p.y) for p in predictor(crop, rectangle).parts()], dtype=float)
        write_picture(folder / f"{frame.index:06d}_condition.png", reports_mask(landmarks, crop), mark=UNMARKED)
        write_picture(folder / f"{frame.index:06d}_target.png", crop, mark=UNMARKED)
        kept += 1
    return num_frames, kept


def reports_mask(landmarks: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Return the landmarks drawn, and white what of the eyes is brighter than 100 in the picture."""
    mask = draw_condition(landmarks)
    eyes = cv2.inRange(mask, (0, 255, 255), (0, 255, 255)) > 0
    mask[eyes & (cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) > 100)] = 255
    return mask


def widened_crop(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return the box, 20 % higher, 10 % lower and 50 % wider on either side, stretched to a square."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    left, right = max(round(x0 - 0.5 * width), 0), round(x1 + 0.5 * width)
    top, bottom = max(round(y0 - 0.2 * height), 0), round(y1 + 0.1 * height)
    return cv2.resize(image[top:bottom, left:right], (SIZE_PX, SIZE_PX))


def measure(video: Path, *, rounds: int, models: Path | None) -> dict[str, object]:
    """Return both ways' medians over the rounds, in which they take turns on the same clip."""
    ours, theirs, num_frames, kept = [], [], 0, 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            manifest = extract(video, Path(folder) / "pairs", ExtractSettings(models=models))
            ours.append(manifest.kept / (time.perf_counter() - start))
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            num_frames, kept = reports_way(video, Path(folder), models=models)
            theirs.append(kept / (time.perf_counter() - start))
    dropped = sum(entry["count"] for entry in manifest.dropped.values())
    return {
        "clip": video.stem,
        "size": f"{manifest.source_size_px[0]}x{manifest.source_size_px[1]}",
        "frames": manifest.num_frames,
        "mueca_pairs_per_s": statistics.median(ours),
        "report_pairs_per_s": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "mueca_pairs": manifest.kept,
        "mueca_usable_share": 1 - dropped / manifest.num_frames,
        "report_frames": num_frames,
        "report_kept_share": kept / num_frames,
    }


def measure_first(video: Path, *, num_frames: int | None, rounds: int, models: Path | None) -> dict[str, object]:
    """Return ``measure`` of the clip's first frames; None: of the file as it is."""
    if num_frames is None:
        return measure(video, rounds=rounds, models=models)
    with tempfile.TemporaryDirectory() as folder:
        return measure(cut_clip(video, Path(folder), num_frames=num_frames), rounds=rounds, models=models)


def main() -> None:
    parser = make_parser(__doc__ or "", clips=True)
    parser.add_argument("--frames", type=int, metavar="N", help="of each clip (default: all; with --quick 40)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="in which both take turns (default: 1)")
    arguments = parser.parse_args()
    options = {"num_frames": arguments.frames or (40 if arguments.quick else None), "rounds": arguments.rounds}
    clips = find_clips(arguments.clips, CLIPS)
    rows = [measure_first(clip, **options, models=arguments.models) for clip in clips]
    print_table(rows)
    numbers = {"throughput_ratio": statistics.median(row["ratio"] for row in rows), **options, "clips": rows}
    write_result(arguments.out, numbers, quick=arguments.quick)


if __name__ == "__main__":
    main()

"""What the imperceptible mark survives, how often clean pictures are taken for marked ones, and what it costs.

    python benchmarks/marks.py --out benchmarks/results/marks.json [--quick] [--clips FOLDER] [--clean N] [--workers N]

The faces that ``mueca extract`` cuts out of the clips, the two drawn actors' and with ``--clips`` (or $MUECA_CLIPS)
real people's, stand for fakes. They are marked, written as mueca writes videos (H.264, CRF 18), and then changed; each
change is one row, by the number of frames that the detector saw, one after the other from several places of the clip,
or spread over all of it.
Pictures are marked and then saved as JPEG. In the JSON:

- survival: for each change and number of frames, the trials, the share in which the mark was found, the median and
  the lowest score;
- sizes: the same for fakes of other sizes than 256, marked at that size, each alone in a picture saved as JPEG 90;
- false_alarms: for each kind of clean picture or video, how many, how many were taken for marked, the median score and
  that which came nearest to its threshold, and how many came near;
- psnr_db: marked against unmarked, for each clip; ms: medians of one call on one thread.

The whole search, over scales and offsets, is in every number.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from clean_pictures import CLEAN_KINDS, Film, Picture, clean_films, jpeg, screenshot
from measuring import actor_clips, find_clips, make_parser, print_table, write_result

from mueca.config import ExtractSettings
from mueca.extraction import extract
from mueca.metrics import psnr
from mueca.pictures import read_picture
from mueca.watermark import THRESHOLD, Detection, detect, embed

REAL_CLIPS = ("d9", "d3", "d13", "d18", "d19", "s18")
FRAMES_SEEN = (1, 5, 25, 100)
LONGEST = 125
"""Frames of a clip that are marked."""
TRIALS = {1: 12, 5: 10, 25: 5, 100: 2}
"""Places in a clip from which so many frames are seen."""
SPREAD = 25
"""Frames seen that are spread over the whole clip, not one after the other."""
_SEEN = (*map(str, FRAMES_SEEN), f"{SPREAD} spread")
SIDES_PX = (64, 96, 128, 192, 256, 384, 512)
WRITTEN_CRF = 18
"""As mueca's VideoWriter has it."""


@dataclass(frozen=True)
class Change:
    """What happens to a marked video or picture."""

    name: str
    apply: Callable[[Film, np.random.Generator], Film]
    of_pictures: bool = False
    """It begins with the marked pictures, and each is looked at alone; else with the video that mueca wrote."""


def encode(film: Sequence[Picture], crf: int, codec: str = "libx264") -> Film:
    """Return the frames as that codec leaves them, RGB uint8 (H, W, 3), odd sides cut to even ones."""
    height, width = (side // 2 * 2 for side in film[0].shape[:2])
    buffer = io.BytesIO()
    options = {"crf": str(crf), "preset": "medium"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in film:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def resize(picture: Picture, scale: float) -> Picture:
    """Return it larger, or smaller by areas."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how)


def crop(film: Film, share: float, rng: np.random.Generator) -> Film:
    """Return the film without that share of width and height, cut off at any sides."""
    height, width = film[0].shape[:2]
    y, x = (int(rng.integers(round(side * share) + 1)) for side in (height, width))
    rows, columns = (side - round(side * share) for side in (height, width))
    return [picture[y : y + rows, x : x + columns] for picture in film]


def beside_others(film: Film) -> Film:
    """Return the film as the third of three pictures, as in ``drive --view compare``; the others are unmarked."""
    flipped = [picture[:, ::-1] for picture in film[::-1]]
    return [np.hstack([other, other[::-1], picture]) for other, picture in zip(flipped, film, strict=True)]


def blended_rate(film: Film, factor: float) -> Film:
    """Return the film at ``factor`` times its frame rate, new frames mixed from their neighbours."""
    places = np.arange(0, len(film) - 1, 1 / factor)
    return [cv2.addWeighted(film[int(p)], 1 - p % 1, film[int(p) + 1], p % 1, 0) for p in places]


def changes() -> list[Change]:
    """Return all of them, in the order of the table."""

    def video(name: str, edit: Callable[[Film, np.random.Generator], Film]) -> Change:
        return Change(name, edit)

    def each(name: str, edit: Callable[[Picture, np.random.Generator], Picture]) -> Change:
        return Change(name, lambda film, rng: [edit(picture, rng) for picture in film], of_pictures=True)

    coded = [video(f"H.264 CRF {crf}", lambda film, _, crf=crf: encode(film, crf)) for crf in (18, 23, 28, 33, 40)] + [
        video(f"H.265 CRF {crf}", lambda film, _, crf=crf: encode(film, crf, "libx265"))
        for crf in (23, 28, 33)
        if "libx265" in av.codecs_available
    ]
    scaled = [
        video(f"{scale:g} x size, CRF 23", lambda film, _, s=scale: encode([resize(p, s) for p in film], 23))
        for scale in (0.5, 0.75, 1.5, 2.0)
    ]
    cropped = [
        video(f"{share:.0%} cropped, CRF 23", lambda film, rng, s=share: encode(crop(film, s, rng), 23))
        for share in (0.05, 0.1, 0.2)
    ]
    pictures = [each(f"JPEG {quality}", lambda p, _, q=quality: jpeg(p, q)) for quality in (95, 90, 75, 50)]
    return [
        video("as written", lambda film, _: film),
        *coded,
        *scaled,
        *cropped,
        video(
            "20% cropped, back to full size, CRF 28",
            lambda film, rng: encode([resize(p, 1.25) for p in crop(film, 0.2, rng)], 28),
        ),
        video("every second frame, CRF 23", lambda film, _: encode(film[::2], 23)),
        video("6/5 frame rate, blended, CRF 23", lambda film, _: encode(blended_rate(film, 1.2), 23)),
        video("third of three pictures, CRF 28", lambda film, _: encode(beside_others(film), 28)),
        *pictures,
        each("screenshot at 1.25, PNG", lambda p, rng: screenshot(p, 1.25, rng)),
        each("screenshot at 1.1, JPEG 80", lambda p, rng: jpeg(screenshot(p, 1.1, rng), 80)),
        each("screenshot at 0.8, JPEG 80", lambda p, rng: jpeg(screenshot(p, 0.8, rng), 80)),
    ]


def faces_in(clip: Path, work: Path, num_frames: int, models: Path | None) -> Film:
    """Return the first faces that ``extract`` cuts out of a clip, RGB uint8 (256, 256, 3)."""
    extract(clip, work, ExtractSettings(models=models), show_progress=False)
    paths = [path for split in ("train", "test") for path in sorted((work / split / "target").glob("*.png"))]
    return [read_picture(path) for path in paths[:num_frames]]


def trial_scores(film: Film, change_name: str, quick: bool) -> list[tuple[str, Detection]]:
    """Mark a clip, change it, and return what the detector finds in so many of its frames, by which they are."""
    change = next(one for one in changes() if one.name == change_name)
    rng = np.random.default_rng([len(film), sum(map(ord, change_name))])
    marked = [embed(picture) for picture in film]
    if change.of_pictures:
        places = np.linspace(0, len(marked) - 1, 2 if quick else TRIALS[1]).astype(int)
        return [("1", detect(change.apply([marked[place]], rng))) for place in places]
    changed = change.apply(encode(marked, WRITTEN_CRF), rng)
    in_a_row = [
        (str(num_frames), detect(changed[place : place + num_frames]))
        for num_frames in FRAMES_SEEN
        if num_frames <= len(changed)
        for place in places_in(len(changed), num_frames, 2 if quick else TRIALS[num_frames])
    ]
    step = -(-len(changed) // SPREAD)
    spread = [(f"{SPREAD} spread", detect(changed[first::step])) for first in sorted({0, step // 2})]
    return in_a_row + spread


def places_in(length: int, num_frames: int, most: int) -> list[int]:
    """Return so many first frames, evenly spread, from which ``num_frames`` are left."""
    return sorted({int(place) for place in np.linspace(0, length - num_frames, most)})


def survival(films: dict[str, Film], pool: ProcessPoolExecutor, *, quick: bool) -> list[dict[str, Any]]:
    """Return a row for each change and number of frames seen."""
    rows = []
    names = [change.name for change in changes()]
    runs = {name: [pool.submit(trial_scores, film, name, quick) for film in films.values()] for name in names}
    for name in names:
        trials = [trial for run in runs[name] for trial in run.result()]
        for frames in dict.fromkeys(seen for seen, _ in trials):
            found = [detection for seen, detection in trials if seen == frames]
            rows.append({"change": name, "frames": frames} | _summary(found))
    return rows


def _summary(found: Sequence[Detection]) -> dict[str, Any]:
    scores = [detection.score for detection in found]
    return {
        "trials": len(found),
        "found": sum(detection.found for detection in found) / len(found),
        "median": _two(statistics.median(scores)),
        "lowest": _two(min(scores)),
    }


# False alarms


def clean_scores(kind: str, clip: Path, count: int, seed: int) -> list[Detection]:
    """Return what the detector finds in clean pictures or videos of that kind."""
    return [detect(film) for film in clean_films(kind, clip, count, seed)]


def false_alarms(clips: Sequence[Path], count: int, pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Return a row for each kind of clean picture and video, ``count`` pictures in all."""
    runs = {
        kind: [pool.submit(clean_scores, kind, clip, -(-round(count * share) // len(clips)), seed)
               for seed, clip in enumerate(clips)]
        for kind, share in CLEAN_KINDS.items()
    }  # fmt: skip
    rows = []
    for kind, parts in runs.items():
        found = [detection for part in parts for detection in part.result()]
        alarms = {"kind": kind, "number": len(found), "alarms": sum(detection.found for detection in found)}
        median = _two(statistics.median(detection.score for detection in found))
        highest = max(found, key=lambda detection: detection.score - detection.threshold)
        numbers = {"median": median, "highest": _two(highest.score), "threshold": _two(highest.threshold)}
        rows.append(alarms | numbers | tail(found))
    return rows


def tail(found: Sequence[Detection]) -> dict[str, int]:
    """Return how many scores come within so much of their thresholds: how fast alarms get rare."""
    return {
        f"within {gap}": sum(detection.score > detection.threshold - gap for detection in found)
        for gap in (1.0, 0.75, 0.5, 0.25)
    }


def _two(number: float) -> float:
    return round(number, 2)


# Cost


def cost(film: Film) -> dict[str, float]:
    """Return medians in milliseconds of one call on one thread."""
    picture = film[0]
    marked = embed(picture)
    row = np.hstack([picture, picture, marked])
    page = screenshot(marked, 1.25, np.random.default_rng(0))
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "embed 256x256": (lambda: embed(picture), 200),
        "detect 256x256": (lambda: detect([marked]), 15),
        "detect 768x256": (lambda: detect([row]), 7),
        "detect 1125x750": (lambda: detect([page]), 3),
        "detect 25 frames of 256x256": (lambda: detect((film * 25)[:25]), 7),
    }
    return {name: round(_median_ms(call, rounds), 3) for name, (call, rounds) in calls.items()}


def _median_ms(call: Callable[[], Any], rounds: int) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def psnr_of(film: Film) -> dict[str, float]:
    """Return mean and least PSNR of the marked pictures, in dB."""
    each = [float(psnr(embed(picture), picture)) for picture in film]
    return {"mean": _two(statistics.fmean(each)), "least": _two(min(each))}


def survival_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return one row for each change, with found share and median score by frames seen."""
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        line = table.setdefault(row["change"], {"change": row["change"]} | {f"{n} seen": "" for n in _SEEN})
        line[f"{row['frames']} seen"] = f"{row['found']:.0%} ({row['median']:.1f})"
    return list(table.values())


def fakes_of_any_size(films: Sequence[Film]) -> list[dict[str, Any]]:
    """Return a row for each side of a fake, marked at that size and saved as JPEG 90, alone in its picture."""
    rows = []
    for side in SIDES_PX:
        pictures = [picture for film in films for picture in film[:: -(-len(film) // 5)]]
        found = [detect([jpeg(embed(resize(picture, side / len(picture))), 90)]) for picture in pictures]
        rows.append({"side_px": side} | _summary(found))
    return rows


def clips_of(folder: Path | None, *, quick: bool) -> dict[str, Path]:
    """Return the actors' clips and the folder's, by name; briefly: one clip of the folder, or one actor's."""
    named = {path.stem: path for path in find_clips(folder, REAL_CLIPS)} if folder else {}
    if quick:
        return dict(list((named or actor_clips()).items())[:1])
    return {f"actor {name}": path for name, path in actor_clips().items()} | named


def measure(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Return all numbers; the faces lie in ``work`` meanwhile."""
    quick: bool = arguments.quick
    clips = clips_of(arguments.clips, quick=quick)
    films = {
        name: faces_in(clip, work / name, 30 if quick else LONGEST, arguments.models) for name, clip in clips.items()
    }
    numbers: dict[str, Any] = {"threshold": THRESHOLD, "ms": cost(next(iter(films.values())))}
    numbers["psnr_db"] = {name: psnr_of(film) for name, film in films.items()}
    numbers["sizes"] = fakes_of_any_size(list(films.values()))
    print_table([numbers["ms"]])
    print_table([{"clip": name} | level for name, level in numbers["psnr_db"].items()])
    print_table(numbers["sizes"])
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, spawn, _one_thread) as pool:
        numbers["survival"] = survival(films, pool, quick=quick)
        print_table(survival_table(numbers["survival"]))
        numbers["false_alarms"] = false_alarms(list(clips.values()), 40 if quick else arguments.clean, pool)
        print_table(numbers["false_alarms"])
    return numbers


def _one_thread() -> None:
    cv2.setNumThreads(1)


def main() -> None:
    parser = make_parser(__doc__ or "", clips=True)
    parser.add_argument("--clean", type=int, default=10_000, metavar="N", help="clean pictures (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: cores)")
    arguments = parser.parse_args()
    _one_thread()
    with tempfile.TemporaryDirectory() as folder:
        numbers = measure(arguments, Path(folder))
    write_result(arguments.out, numbers, quick=arguments.quick)


if __name__ == "__main__":
    main()

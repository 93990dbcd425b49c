"""What works on this machine: ``doctor()`` tries each thing that mueca needs or can use, and says what to do.

A check that loads other people's native code runs in a process of its own: what kills or stops that process costs this
one line. Nothing is downloaded or sent, and no result names the machine or its user.
"""

from __future__ import annotations

import importlib.util
import json
import locale
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pooch
from cryptography import x509

from mueca.config import from_json, to_json
from mueca.errors import MuecaError
from mueca.keys import KEY_FILE, config_folder, data_folder, user_key
from mueca.licensing import homeless, licenses
from mueca.spreading import available_cores, worker_command
from mueca.version import VERSION

State = Literal["ok", "missing", "broken"]

PATIENCE_S = 20.0
"""So long a process may take for its check: importing PyTorch takes 2 s here, and some ten from a cold disk."""
LEAST_FREE_BYTES = 1 << 30
"""Half a minute of pairs, a run and a driven video take some hundred megabytes."""
_SOON_DAYS = 30
_CGROUP = Path("/sys/fs/cgroup")
_TRAIN = "install it with: pip install 'mueca[train]'"
_LIVE = "install it with: pip install 'mueca[live]'"


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    state: State
    """missing: something optional, or what is made or downloaded when it is needed, isn't there."""
    told: str
    way_out: str | None = None
    """What to do where it isn't ok."""
    is_needed: bool = False
    """Whether mueca's base package can't work without it."""


@dataclass(frozen=True)
class Diagnosis:
    """What works on this machine."""

    findings: tuple[Finding, ...]
    seconds: float

    @property
    def failing(self) -> list[str]:
        """The checks that failed of what the base package needs."""
        return [finding.check for finding in self.findings if finding.is_needed and finding.state != "ok"]


@dataclass(frozen=True)
class Check:
    """Something to look at."""

    name: str
    look: Callable[[], Iterator[Finding]]
    is_needed: bool = False
    """Whether the base package needs it: told where the check itself fails."""
    package: str | None = None
    """It runs in a process of its own, unless this package is not installed."""


def doctor(models: Path | None = None) -> Diagnosis:
    """Return what works on this machine and what doesn't, in some seconds; ``models`` as in ``ExtractSettings``.

    It raises nothing for what it finds: a check that fails is a finding.
    """
    start = time.monotonic()
    checks = checks_of(models)
    with ThreadPoolExecutor(available_cores()) as pool:
        apart = {
            check.name: pool.submit(look_apart, check, _command(check.name, models))
            for check in checks
            if check.package and _is_installed(check.package)
        }
        found = [apart[check.name].result() if check.name in apart else look_at(check) for check in checks]
    return Diagnosis(tuple(finding for findings in found for finding in findings), round(time.monotonic() - start, 2))


def checks_of(models: Path | None = None) -> list[Check]:
    """Return everything that is looked at, in the order in which it is told."""
    return [
        Check("mueca", mueca_itself, is_needed=True),
        Check("system", system),
        Check("processor", processor),
        Check("memory", memory),
        Check("names of files", names_of_files, is_needed=True),
        Check("folders", folders, is_needed=True),
        Check("disk", disk, is_needed=True),
        Check("video", video, is_needed=True, package="av"),
        Check("model files", lambda: model_files(models), is_needed=True),
        Check("landmarks", landmarks, is_needed=True, package="dlib"),
        Check("signing key", lambda: signing_key(config_folder()), is_needed=True),
        Check("c2pa", c2pa_library, is_needed=True, package="c2pa"),
        Check("onnxruntime", onnx_runtime, is_needed=True, package="onnxruntime"),
        Check("openvino", openvino, package="openvino"),
        Check("pytorch", pytorch, package="torch"),
        Check("live", live_page),
        Check("port", port),
        Check("cameras", lambda: cameras(Path("/dev"))),
        Check("window", window, package="tkinter"),
        Check("virtual camera", virtual_camera),
    ]


def look_at(check: Check) -> list[Finding]:
    """Return what a check finds; where it fails in a way it did not foresee, that."""
    try:
        if check.package and not _is_installed(check.package):
            return [_not_installed(check)]
        return list(check.look())
    except Exception as error:  # noqa: BLE001 - whatever breaks one check is its finding, and the others go on
        reason = " ".join(str(error).split()) or type(error).__name__
        told = homeless(f"{type(error).__name__}: {reason:.200}")
        way_out = "install mueca anew; if that doesn't help, report it with this line"
        return [Finding(check.name, "broken", told, way_out, check.is_needed)]


def look_apart(check: Check, command: Sequence[str]) -> list[Finding]:
    """Return what a check finds that ``command`` runs, as ``answer`` does: a process that dies or hangs is a finding."""

    def broken(told: str) -> list[Finding]:
        way_out = f"install anew what it uses ({check.package}); if that doesn't help, report it with this line"
        return [Finding(check.name, "broken", told, way_out, check.is_needed)]

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return broken(f"gave no answer in {PATIENCE_S:.0f} s")
    if done.returncode < 0:
        return broken(f"died of signal {-done.returncode}")
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode or not answers:
        reason = (done.stderr.strip().splitlines() or ["no word why"])[-1]
        return broken(homeless(f"ended with exit code {done.returncode} ({reason:.200})"))
    return [from_json(Finding, values) for values in json.loads(answers[-1].removeprefix(_ANSWER))]


def answer(name: str, models: str | None) -> None:
    """Look at the check of that name and write what it finds to standard output: what ``doctor``'s processes do."""
    (check,) = (check for check in checks_of(None if models is None else Path(models)) if check.name == name)
    findings = look_at(check)
    sys.stdout.write("\n" + _ANSWER + json.dumps([to_json(finding) for finding in findings]) + "\n")


_ANSWER = "mueca doctor: "
"""Before the answer's line: the libraries may write to standard output too."""


def _command(name: str, models: Path | None) -> list[str]:
    given = None if models is None else str(models)
    return worker_command(f"from mueca.diagnosis import answer; answer({name!r}, {given!r})")


# --- the checks


def mueca_itself() -> Iterator[Finding]:
    try:
        distribution = metadata.distribution("mueca")
    except metadata.PackageNotFoundError:
        yield Finding("mueca", "ok", f"{VERSION}, run from its source", is_needed=True)
        return
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    is_editable = origin.get("dir_info", {}).get("editable", False)
    how = "installed from a folder, editable" if is_editable else "installed from a folder or file"
    installer = (distribution.read_text("INSTALLER") or "an unknown installer").strip()
    told = f"{VERSION}, {how if origin else 'installed from an index'} by {installer}"
    yield Finding("mueca", "ok", told, is_needed=True)


def system() -> Iterator[Finding]:
    yield Finding("system", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}{_distribution()}")
    kind = "in a virtual environment" if sys.prefix != sys.base_prefix else "the system's own"
    yield Finding("python", "ok", f"{platform.python_implementation()} {platform.python_version()}, {kind}")


def processor() -> Iterator[Finding]:
    names = [value for key, value in _pairs_of(Path("/proc/cpuinfo")) if key == "model name"]
    flags = next((value.split() for key, value in _pairs_of(Path("/proc/cpuinfo")) if key == "flags"), [])
    limit = cores_allowed(_CGROUP)
    told = f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} threads"
    told += f", {available_cores()} of them for this process"
    told += f", {limit:g} cores by the container's limit" if limit else ""
    made_for = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    yield Finding("processor", "ok", told + (f"; {', '.join(made_for)}" if made_for else ""))


def memory() -> Iterator[Finding]:
    sizes = {key: int(value.split()[0]) * 1024 for key, value in _pairs_of(Path("/proc/meminfo")) if "kB" in value}
    if "MemTotal" not in sizes:
        yield Finding("memory", "ok", "this system doesn't tell its size")
        return
    told = f"{_gib(sizes['MemTotal'])}, {_gib(sizes.get('MemAvailable', 0))} of it free"
    limit = memory_allowed(_CGROUP)
    yield Finding("memory", "ok", told + (f", {_gib(limit)} by the container's limit" if limit else ""))


def names_of_files() -> Iterator[Finding]:
    told = f"locale {locale.getlocale()[0]}, names of files in {sys.getfilesystemencoding()}, text in "
    told += locale.getpreferredencoding(False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = Path(folder, "ñandú 面.txt")
            path.write_bytes(b"")
            is_kept = [found.name for found in Path(folder).iterdir()] == [path.name]
        except (OSError, UnicodeError) as error:
            told, is_kept = f"{told} ({error})", False
    if is_kept:
        yield Finding("names of files", "ok", told, is_needed=True)
    else:
        way_out = "names beyond ASCII don't work; set a UTF-8 locale (export LC_ALL=C.UTF-8)"
        yield Finding("names of files", "broken", told, way_out, is_needed=False)


def folders() -> Iterator[Finding]:
    kinds = {"configuration": config_folder(), "data": data_folder(), "cache": Path(pooch.os_cache("mueca"))}
    for kind, folder in kinds.items():
        yield folder_for(f"folder for {kind}", folder)
    yield folder_for("temporary folder", Path(tempfile.gettempdir()))


def folder_for(check: str, folder: Path) -> Finding:
    """Return whether a folder can be written, or made where it does not exist yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    shown = homeless(str(folder)) + ("" if there == folder else ", not made yet")
    try:
        with tempfile.TemporaryFile(dir=there):
            return Finding(check, "ok", shown, is_needed=True)
    except OSError as error:
        way_out = f"let this user write to {homeless(str(there))}"
        return Finding(check, "broken", f"{shown}: can't be written ({error.strerror})", way_out, is_needed=True)


def disk() -> Iterator[Finding]:
    for kind, folder in (("this folder", Path.cwd()), ("temporary folder", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        is_enough = free >= LEAST_FREE_BYTES
        way_out = None if is_enough else "free some: pairs, a run and a video take some hundred megabytes"
        yield Finding(f"disk, {kind}", "ok" if is_enough else "broken", f"{_gib(free)} free", way_out, is_needed=True)


def video() -> Iterator[Finding]:
    import av

    from mueca.video.opening import PICTURE_DECODERS, SOUND_DECODERS

    versions = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavcodec",))
    yield Finding("video", "ok", f"PyAV {av.__version__}, FFmpeg {_ffmpeg_version()}, {versions}", is_needed=True)
    yield mp4_with_sound()
    for encoder in ("libx264", "libx265", "aac", "libopus"):
        yield round_trip(encoder)
    known = (*PICTURE_DECODERS, *SOUND_DECODERS)
    lacking = [name for name in known if name not in av.codecs_available]
    if lacking:
        way_out = "videos coded with these can't be read; install PyAV's own wheel: pip install --force-reinstall av"
        yield Finding("decoders", "missing", f"without {', '.join(lacking)}", way_out)
    else:
        yield Finding("decoders", "ok", f"all {len(known)} that mueca reads")


def mp4_with_sound() -> Finding:
    """Return whether mueca's own writer makes an mp4 with sound that its own reader reads."""
    from mueca.marks import UNMARKED
    from mueca.video import Sound, VideoReader, VideoWriter

    check, frames = "mp4 with sound", _trial_frames()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trial.mp4")
        try:
            sound = Sound(np.zeros(16_000, np.float32), 16_000)
            with VideoWriter(path, size_px=_TRIAL_SIZE_PX, mark=UNMARKED, sound=sound) as writer:
                for number, frame in enumerate(frames):
                    writer.write(frame, number / 25)
            read = list(VideoReader(path))
        except MuecaError as error:
            told = str(error).replace(f"{path.resolve()}", path.name).replace(f"{path}", path.name)
            return Finding(check, "broken", told, _AV_ANEW, is_needed=True)
    if len(read) != len(frames):
        return Finding(check, "broken", f"{len(read)} of {len(frames)} frames came back", _AV_ANEW, is_needed=True)
    return Finding(check, "ok", f"{len(frames)} frames written and read back", is_needed=True)


_AV_ANEW = "install PyAV's own wheel: pip install --force-reinstall av"
_TRIAL_SIZE_PX = (64, 64)
_NEEDED_ENCODERS = ("libx264", "aac")
_USED_FOR = {"libx264": "writes every video", "aac": "writes sound", "libx265": "tests alone", "libopus": "tests alone"}


def round_trip(encoder: str) -> Finding:
    """Return whether FFmpeg's encoder of that name writes something that a decoder here reads."""
    import av

    check, is_needed = f"encoder {encoder}", encoder in _NEEDED_ENCODERS
    try:
        num_written, num_read = _write_and_read(encoder)
    except av.codec.codec.UnknownCodecError:
        told = f"this FFmpeg lacks it; it {_USED_FOR[encoder]}" if is_needed else "this FFmpeg lacks it; it is no need"
        return Finding(check, "missing", told, _AV_ANEW if is_needed else None, is_needed)
    except (av.FFmpegError, ValueError, OSError) as error:
        told = f"does not work ({' '.join(str(error).split()):.120})"
        return Finding(check, "broken", told.replace(tempfile.gettempdir(), "TEMP"), _AV_ANEW, is_needed)
    if num_read < num_written:
        return Finding(check, "broken", f"{num_read} of {num_written} frames came back", _AV_ANEW, is_needed)
    return Finding(check, "ok", f"{num_written} frames written and read back", None, is_needed)


def model_files(models: Path | None) -> Iterator[Finding]:
    for file in licenses(models):
        if file.is_optional and file.state == "absent":
            continue
        is_needed = file.package is not None and not file.is_optional
        where = f" in {file.path}" if file.path else ""
        if file.state == "whole":
            yield Finding(file.name, "ok", f"its hash holds; {file.purpose}", is_needed=is_needed)
        elif file.state == "changed" and file.package:
            way_out = f"install it anew: pip install --force-reinstall {file.package}"
            yield Finding(file.name, "broken", f"is not the file it should be{where}", way_out, is_needed)
        elif file.state == "changed":
            way_out = "remove it, to have it downloaded again"
            yield Finding(file.name, "broken", f"is not the file it should be{where}", way_out)
        elif file.package:
            yield Finding(file.name, "missing", file.purpose, f"pip install {file.package}", is_needed)
        else:
            told = f"{file.purpose}; downloaded at its first use, or put it into a folder named with --models"
            yield Finding(file.name, "missing", told)


def landmarks() -> Iterator[Finding]:
    import cv2
    import dlib

    from mueca.face.detection import HogDetector
    from mueca.face.prediction import LandmarkPredictor

    picture = np.zeros((128, 128, 3), np.uint8)
    HogDetector().detect(picture)
    found = LandmarkPredictor().predict(picture, (32, 32, 96, 96))
    if found.shape != (68, 2) or not np.isfinite(found).all():
        raise MuecaError(f"the predictor answers with {found.shape}")
    told = f"the predictor loads and answers; dlib {dlib.__version__}, OpenCV {cv2.__version__}"
    yield Finding("landmarks", "ok", told, is_needed=True)


def signing_key(folder: Path) -> Iterator[Finding]:
    """Tell of the key in ``folder``, without making one."""
    path = folder / KEY_FILE
    if not path.exists():
        yield Finding("signing key", "ok", "none yet; it is made at the first use", is_needed=True)
        return
    try:
        key = user_key(folder)
        ends = x509.load_pem_x509_certificates(key.chain_pem)[0].not_valid_after_utc
    except MuecaError as error:
        yield Finding("signing key", "broken", homeless(str(error)), is_needed=True)
        return
    shown = homeless(str(path))
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        way_out = f"chmod 600 {shown}; if others may have copied it, move it away, and a new one is made"
        yield Finding("signing key", "broken", f"{shown}: others than its owner may use it", way_out, is_needed=True)
    elif (ends - datetime.now(UTC)).days < _SOON_DAYS:
        way_out = f"move {shown} away, and a new one is made; what was signed with it stays signed, by an expired one"
        yield Finding("signing key", "broken", f"its certificate ends on {ends:%Y-%m-%d}", way_out, is_needed=True)
    else:
        yield Finding("signing key", "ok", f"whole, private, its certificate lasts until {ends:%Y}", is_needed=True)


def c2pa_library() -> Iterator[Finding]:
    import c2pa

    told = f"c2pa-python {metadata.version('c2pa-python')}, library {c2pa.sdk_version()}"
    yield Finding("c2pa", "ok", told, is_needed=True)


def onnx_runtime() -> Iterator[Finding]:
    import onnxruntime

    session = onnxruntime.InferenceSession(_doubling_model(), providers=["CPUExecutionProvider"])
    _require_doubled(session.run(None, {"x": _ONES})[0])
    told = f"{onnxruntime.__version__} computes; {', '.join(onnxruntime.get_available_providers())}"
    yield Finding("onnxruntime", "ok", told, is_needed=True)


def openvino() -> Iterator[Finding]:
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(core.read_model(_doubling_model(), b""), "CPU")
    _require_doubled(compiled([_ONES])[0])
    yield Finding("openvino", "ok", f"{ov.__version__.split('-')[0]} computes; {', '.join(core.available_devices)}")


def pytorch() -> Iterator[Finding]:
    import torch

    able = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.13 may not tell
    has_it = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    told = f"{torch.__version__}, {torch.get_num_threads()} threads"
    told += f"; bfloat16 on this processor {'in hardware' if has_it else 'not in hardware, so float32'}"
    yield Finding("pytorch", "ok", told)
    for name in ("safetensors", "tensorboard", "onnxscript"):
        yield _version_of(name, "training and exporting need it", _TRAIN)
    if not torch.cuda.is_available():
        yield Finding("gpu", "missing", "PyTorch finds none; the processor does the work")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        torch.ones(8, device=f"cuda:{number}").sum().item()
        yield Finding("gpu", "ok", f"{facts.name}, {_gib(facts.total_memory)}, CUDA {torch.version.cuda}")


def live_page() -> Iterator[Finding]:
    for name in ("starlette", "uvicorn", "websockets"):
        yield _version_of(name, "the page of mueca live needs it", _LIVE)


def port() -> Iterator[Finding]:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            yield Finding("port", "ok", "a port of 127.0.0.1 can be opened, for mueca live")
    except OSError as error:
        way_out = "mueca live needs one for its page: look at the firewall or the sandbox; --camera 0 does without"
        yield Finding("port", "broken", f"none of 127.0.0.1 can be opened ({error.strerror})", way_out)


def cameras(devices: Path) -> Iterator[Finding]:
    """Tell of the cameras among ``devices``, a folder such as /dev, without opening one."""
    if platform.system() != "Linux":
        yield Finding("cameras", "ok", "not looked at on this system; mueca live --camera 0 --window shows the first")
        return
    found = sorted(devices.glob("video*"))
    if not found:
        yield Finding("cameras", "missing", "none on this machine; mueca live --input VIDEO plays a video in its place")
        return
    closed = [path.name for path in found if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        way_out = "add this user to the group video, and log in again"
        yield Finding("cameras", "broken", f"{', '.join(closed)}: this user may not open it", way_out)
    else:
        yield Finding("cameras", "ok", ", ".join(path.name for path in found))


def window() -> Iterator[Finding]:
    import tkinter

    try:
        root = tkinter.Tk()
    except tkinter.TclError:
        yield Finding(
            "window", "missing", "there is no desktop, which --window of mueca live needs; its page needs none"
        )
        return
    root.destroy()
    yield Finding("window", "ok", f"a desktop answers, Tk {tkinter.TkVersion}")


def virtual_camera() -> Iterator[Finding]:
    yield _version_of(
        "pyvirtualcam", "--virtual-camera of mueca live needs it", "install it with: pip install pyvirtualcam"
    )


# --- what they are made of


def cores_allowed(cgroup: Path) -> float | None:
    """Return how many cores the control group at ``cgroup`` (version 2 or 1) may keep busy; None: no limit is told."""
    quota, period = (_words(cgroup / "cpu.max") + ["", ""])[:2]
    if not quota:
        quota, period = ((_words(cgroup / "cpu" / f"cpu.cfs_{k}_us") or [""])[0] for k in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def memory_allowed(cgroup: Path) -> int | None:
    """Return the bytes that the control group at ``cgroup`` (version 2 or 1) may take; None: no limit is told."""
    words = _words(cgroup / "memory.max") or _words(cgroup / "memory" / "memory.limit_in_bytes")
    is_limit = bool(words) and words[0].isdecimal() and int(words[0]) < 1 << 60  # version 1 tells none as 2**63
    return int(words[0]) if is_limit else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # this system has other ways, or tells nothing
        return []


def _pairs_of(path: Path) -> list[tuple[str, str]]:
    """Return the lines ``key: value`` of a file of /proc; none where the system has no such file."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [(key.strip(), value.strip()) for key, mark, value in (line.partition(":") for line in lines) if mark]


def _distribution() -> str:
    try:
        return f", {platform.freedesktop_os_release()['PRETTY_NAME']}"
    except (OSError, KeyError):  # no Linux, or one that doesn't tell
        return ""


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # half installed, or kept away
        return False


_MISSING = {
    "torch": ("training, evaluating and exporting need it; driving and mueca live with an exported file don't", _TRAIN),
    "openvino": (
        "painting with an exported file can be faster with it",
        "install it with: pip install 'mueca[openvino]'",
    ),
    "tkinter": ("--window of mueca live needs Tk", "install it (Debian: apt install python3-tk)"),
}


def _not_installed(check: Check) -> Finding:
    told, way_out = _MISSING.get(
        check.package or "", (f"{check.package} is not installed", "install mueca anew, with all that it needs")
    )
    return Finding(check.name, "missing", told, way_out, check.is_needed)


def _version_of(package: str, told: str, way_out: str) -> Finding:
    if not _is_installed(package):
        return Finding(package, "missing", told, way_out)
    return Finding(package, "ok", metadata.version(package))


def _ffmpeg_version() -> str:
    import av

    return str(getattr(av, "ffmpeg_version_info", "of unknown version"))


def _trial_frames() -> list[np.ndarray]:
    """Return some pictures (64, 64, 3) that move, RGB uint8."""
    ramp = np.arange(64, dtype=np.uint8)[None, :, None] * np.ones((64, 1, 3), np.uint8)
    return [np.roll(ramp, 4 * number, axis=1) for number in range(8)]


def _write_and_read(encoder: str) -> tuple[int, int]:
    """Return how many frames of pictures or blocks of samples were given to an encoder, and how many came back."""
    import av

    is_sound = av.Codec(encoder, "w").type == "audio"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "trial.mkv"))
        with av.open(path, "w") as container:
            if is_sound:
                stream = container.add_stream(encoder, rate=48_000)
                frames = [_silence(number) for number in range(8)]
            else:
                stream = container.add_stream(encoder, rate=25, width=64, height=64, options=_QUIET.get(encoder, {}))
                stream.pix_fmt = "yuv420p"
                frames = [av.VideoFrame.from_ndarray(frame) for frame in _trial_frames()]
            for frame in [*frames, None]:
                container.mux(stream.encode(frame))
        with av.open(path) as container:
            return len(frames), sum(1 for _ in container.decode(container.streams[0]))


_QUIET = {"libx265": {"x265-params": "log-level=none"}}


def _silence(number: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48_000, 1024 * number
    return frame


_ONES = np.ones((1, 4), np.float32)


def _doubling_model() -> bytes:
    """Return an ONNX model that doubles ``x``, float32 (1, 4)."""
    from onnx import TensorProto, helper

    given, taken = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [given], [taken])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def _require_doubled(found: Any) -> None:
    if not np.array_equal(found, 2 * _ONES):
        raise MuecaError(f"computes wrongly: 1 + 1 = {np.asarray(found).ravel()[:1]}")

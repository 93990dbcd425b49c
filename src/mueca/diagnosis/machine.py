"""The machine: system, processor, memory, folders, disk, port, cameras."""

from __future__ import annotations

import json
import locale
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from mueca.diagnosis.checking import Finding, in_gib
from mueca.files import homeless
from mueca.spreading import available_cores
from mueca.version import VERSION

LEAST_FREE_BYTES = 1 << 30
"""Half a minute of pairs, a run and a driven video take some hundred megabytes."""
_CGROUP = Path("/sys/fs/cgroup")


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
    told = f"{in_gib(sizes['MemTotal'])}, {in_gib(sizes.get('MemAvailable', 0))} of it free"
    limit = memory_allowed(_CGROUP)
    yield Finding("memory", "ok", told + (f", {in_gib(limit)} by the container's limit" if limit else ""))


def names_of_files() -> Iterator[Finding]:
    told = f"locale {locale.getlocale()[0] or 'C'}, names of files in {sys.getfilesystemencoding()}, text in "
    told += locale.getpreferredencoding(False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = Path(folder, "ñandú 面.txt")
            path.write_bytes(b"")
            is_kept = [found.name for found in Path(folder).iterdir()] == [path.name]
        except (OSError, UnicodeError) as error:
            told, is_kept = f"{told} ({error})", False
    if is_kept:
        yield Finding("names of files", "ok", told)
    else:
        way_out = "names beyond ASCII don't work; set a UTF-8 locale (export LC_ALL=C.UTF-8)"
        yield Finding("names of files", "broken", told, way_out)


def folders() -> Iterator[Finding]:
    import pooch

    from mueca.keys import config_folder, data_folder

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
        yield Finding(f"disk, {kind}", "ok" if is_enough else "broken", f"{in_gib(free)} free", way_out, is_needed=True)


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

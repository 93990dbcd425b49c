"""doctor(): each thing that works or doesn't is told with a way out; no check brings the others down."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pytest
from test_without_torch import run_alone

from mueca import doctor
from mueca.cli import main
from mueca.config import to_json
from mueca.diagnosis import Diagnosis, Finding, checking, examining, films, machine, software
from mueca.diagnosis.checking import Check, look_apart, look_at
from mueca.face.model_files import SSD_GRAPH, YUNET
from mueca.files import homeless
from mueca.keys import KEY_FILE, user_key

TELL = [sys.executable, "-c"]


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.fixture(scope="module")
def diagnosis(models) -> Diagnosis:
    return doctor(models)


def test_all_that_the_base_package_needs_works_here(diagnosis):
    assert diagnosis.failing == []
    works = {finding.check for finding in diagnosis.findings if finding.state == "ok"}
    needed = {"mueca", "video", "mp4 with sound", "encoder libx264", "encoder aac", "landmarks", "signing key", "c2pa"}
    assert needed | {"onnxruntime", "pytorch", YUNET.name, "port"} <= works


def test_it_is_fast_and_everything_not_ok_has_words(diagnosis):
    assert diagnosis.seconds < 60  # 4 s on two quiet cores
    assert all(finding.told for finding in diagnosis.findings)
    needed = [finding for finding in diagnosis.findings if finding.is_needed and finding.state != "ok"]
    assert all(finding.way_out for finding in needed)


def test_nothing_private_is_told(diagnosis):
    told = json.dumps(to_json(diagnosis))
    assert str(Path.home()) + "/" not in told
    assert socket.gethostname() not in told
    assert "PRIVATE KEY" not in told and "BEGIN" not in told


def test_it_makes_nothing(models, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    doctor()
    assert list(tmp_path.iterdir()) == []


# --- a check that fails does not bring the others down


def test_a_check_that_raises_is_a_finding_of_its_own():
    def look() -> Iterator[Finding]:
        raise RuntimeError(f"a surprise\nin {Path.home()}/secret")

    finding = only(iter(look_at(Check("odd", look, is_needed=True))))
    assert finding.state == "broken" and finding.is_needed
    assert "RuntimeError: a surprise in ~/secret" in finding.told


def test_a_process_that_dies_is_a_finding():
    check = Check("native", lambda: iter(()), is_needed=True, package="av")
    (finding,) = look_apart(check, [*TELL, "import os, signal; os.kill(os.getpid(), signal.SIGILL)"])
    assert (finding.check, finding.state, finding.told) == ("native", "broken", "died of signal 4")


def test_a_process_that_hangs_is_a_finding(monkeypatch):
    monkeypatch.setattr(checking, "PATIENCE_S", 0.5)
    (finding,) = look_apart(Check("slow", lambda: iter(())), [*TELL, "import time; time.sleep(60)"])
    assert finding.state == "broken" and "gave no answer" in finding.told


@pytest.mark.parametrize("code", ["raise SystemExit('no such thing')", "print('something else')"])
def test_a_process_without_an_answer_is_a_finding(code):
    (finding,) = look_apart(Check("mute", lambda: iter(())), [*TELL, code])
    assert finding.state == "broken" and "exit code" in finding.told


def test_a_damaged_answer_is_a_finding_of_doctor_itself(models, monkeypatch):
    monkeypatch.setattr(examining, "worker_command", lambda code: [*TELL, "print('mueca doctor: {')"])
    found = {finding.check: finding for finding in doctor(models).findings}
    assert found["video"].state == "broken" and "JSONDecodeError" in found["video"].told
    assert found["port"].state == "ok"


# --- each state, forced


def test_a_damaged_model_file_is_broken_and_an_absent_one_missing(models, tmp_path):
    shutil.copy(models / YUNET.name, tmp_path)
    (tmp_path / YUNET.name).write_bytes(b"cut off")
    found = {finding.check: finding for finding in software.model_files(tmp_path)}
    assert found[YUNET.name].state == "broken" and "remove it" in (found[YUNET.name].way_out or "")
    assert not found[YUNET.name].is_needed  # HOG takes its place
    assert found[SSD_GRAPH.name].state == "missing" and "downloaded" in found[SSD_GRAPH.name].told


def test_a_folder_that_can_not_be_written_is_broken(tmp_path):
    assert machine.folder_for("data", tmp_path / "not" / "yet").state == "ok"
    assert list(tmp_path.iterdir()) == []
    finding = machine.folder_for("data", Path("/proc/mueca"))
    assert finding.state == "broken" and finding.is_needed and "let this user write" in (finding.way_out or "")


def test_a_full_disk_is_broken(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    assert {finding.state for finding in machine.disk()} == {"broken"}


def test_an_encoder_that_ffmpeg_lacks_is_missing(monkeypatch):
    monkeypatch.setattr(films, "ENCODERS", ("libx264", "no_such_encoder"))
    found = {finding.check: finding for finding in films.encoders()}
    assert found["encoder libx264"].state == "ok"
    assert found["encoder no_such_encoder"].state == "missing" and not found["encoder no_such_encoder"].is_needed


def test_an_encoder_that_fails_is_broken(monkeypatch):
    def fail(encoder: str) -> tuple[int, int]:
        raise av.InvalidDataError(1, "spoilt")

    monkeypatch.setattr(films, "_write_and_read", fail)
    finding = films.round_trip("libx264")
    assert finding.state == "broken" and finding.is_needed and finding.way_out


def test_frames_that_do_not_come_back_are_told(monkeypatch):
    monkeypatch.setattr(films, "_write_and_read", lambda encoder: (8, 7))
    assert films.round_trip("aac").told == "7 of 8 frames came back"


def test_the_signing_key_is_left_as_it_is_and_its_state_told(tmp_path):
    assert "made at the first use" in only(software.signing_key(tmp_path)).told
    assert list(tmp_path.iterdir()) == []
    user_key(tmp_path)
    assert only(software.signing_key(tmp_path)).state == "ok"
    (tmp_path / KEY_FILE).chmod(0o644)
    finding = only(software.signing_key(tmp_path))
    assert finding.state == "broken" and "chmod 600" in (finding.way_out or "") and not finding.is_needed
    (tmp_path / KEY_FILE).write_bytes(b"no key")
    finding = only(software.signing_key(tmp_path))
    assert finding.state == "broken" and finding.is_needed and "move it away" in finding.told
    assert (tmp_path / KEY_FILE).read_text() == "no key"


def test_an_expired_certificate_is_broken(tmp_path, monkeypatch):
    from mueca import keys

    monkeypatch.setattr(keys, "_VALID_FOR", timedelta(hours=-1))
    user_key(tmp_path)
    finding = only(software.signing_key(tmp_path))
    assert finding.state == "broken" and f"ended on {datetime.now(UTC) - timedelta(hours=1):%Y-%m-%d}" in finding.told


def test_no_port_is_told(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    finding = only(machine.port())
    assert finding.state == "broken" and "Permission denied" in finding.told


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /dev")
def test_cameras_are_told(tmp_path, monkeypatch):
    assert only(machine.cameras(tmp_path)).state == "missing"
    (tmp_path / "video0").touch()
    assert only(machine.cameras(tmp_path)).told == "video0"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert only(machine.cameras(tmp_path)).state == "broken"


@pytest.mark.parametrize(
    ("files", "cores", "num_bytes"),
    [
        ({}, None, None),
        ({"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ({"cpu.max": "150000 100000", "memory.max": "1073741824"}, 1.5, 1 << 30),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None, None),
    ],
)
def test_the_container_s_limits_are_read(tmp_path, files, cores, num_bytes):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine.cores_allowed(tmp_path) == cores
    assert machine.memory_allowed(tmp_path) == num_bytes


def test_a_runtime_that_computes_wrongly_is_broken(monkeypatch):
    monkeypatch.setattr(software, "_doubling_model", lambda: b"no model")
    (finding,) = look_at(Check("onnxruntime", software.onnx_runtime, is_needed=True))
    assert finding.state == "broken" and finding.is_needed
    with pytest.raises(Exception, match="computes wrongly"):
        software._require_doubling(lambda ones: ones)


@pytest.mark.slow
def test_it_works_without_torch_and_says_what_that_is_for(models):
    code = "import mueca.cli; sys.exit(mueca.cli.main(sys.argv[1:]))"
    result = run_alone(code, "doctor", "--json", "--models", models)
    assert result.returncode == 0, result.stderr
    found = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert found["pytorch"]["state"] == "missing" and "mueca[train]" in found["pytorch"]["way_out"]
    assert found["openvino"]["state"] == found["starlette"]["state"] == "missing"
    assert found["landmarks"]["state"] == "ok"


def test_openvino_is_kept_from_reporting_that_it_was_imported():
    code = "import sys; from mueca.exported import import_openvino; import_openvino(); "
    code += "print([n for n, m in sys.modules.items() if n.startswith('openvino_telemetry') and m])"
    done = subprocess.run([*TELL, code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="looks where its files would lie")
def test_onnxruntime_is_kept_from_numbering_this_machine(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    code = "from mueca.exported import import_onnxruntime; import_onnxruntime()"
    subprocess.run([*TELL, code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []


# --- the command


def test_the_command_tells_and_exits_0(models, capsys):
    assert main(["doctor", "--models", str(models)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "missing", "broken") for line in lines[:-1])


def test_what_the_base_package_needs_and_lacks_exits_2(monkeypatch, capsys, models):
    def dead() -> Iterator[Finding]:
        raise OSError("no such library")

    monkeypatch.setattr(examining, "checks_of", lambda models: [Check("video", dead, is_needed=True)])
    assert main(["doctor", "--models", str(models)]) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith("broken   video  OSError: no such library; ")
    assert printed.err == "error: mueca can't work here: video; what to do is said above\n"


def test_the_home_folder_and_its_name_are_not_told(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/alice"))
    assert homeless("/home/alice/a and /media/alice/b and malice") == "~/a and /media/~/b and malice"

"""The base package alone: an exported file drives, and what needs more says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mueca.exporting import export
from mueca.video import VideoReader

ABSENT = ("torch", "safetensors", "tensorboard", "onnxscript", "openvino", "starlette", "uvicorn", "websockets")
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def puppet(actor_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(actor_run, tmp_path_factory.mktemp("export") / "puppet.onnx").path


def run_alone(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the code where only the base package's own requirements can be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_drive_paints_from_an_exported_file(puppet, actor_clip, models, tmp_path):
    out = tmp_path / "out.mp4"
    result = run_alone(
        "import mueca.cli; sys.exit(mueca.cli.main(sys.argv[1:]))", "drive", puppet, actor_clip, out, "--models", models
    )
    assert result.returncode == 0, result.stderr
    assert len(list(VideoReader(out))) == 40


@pytest.mark.slow
def test_a_reenactor_steps_from_an_exported_file(puppet, actor_clip, models):
    code = """
import json
from pathlib import Path
from mueca import Reenactor
from mueca.video import VideoReader
reenactor = Reenactor(Path(sys.argv[1]), models=Path(sys.argv[3]))
frames = list(VideoReader(Path(sys.argv[2])))[:8]
fakes = [reenactor.step(frame.image, frame.timestamp_s) for frame in frames]
reenactor.calibrate()
loaded = sorted(set(name.split(".")[0] for name in sys.modules))
print(json.dumps({"shapes": [fake.shape for fake in fakes], "lost": reenactor.is_lost, "loaded": loaded}))
"""
    result = run_alone(code, puppet, actor_clip, models)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["shapes"] == [[256, 256, 3]] * 8
    assert not told["lost"]
    assert not set(told["loaded"]) & set(ABSENT)


@pytest.mark.slow
def test_live_plays_a_video_from_an_exported_file(puppet, actor_clip, models, tmp_path):
    out = tmp_path / "out.mp4"
    given = ("live", puppet, "--input", actor_clip, "--record", out, "--models", models)
    result = run_alone("import mueca.cli; sys.exit(mueca.cli.main(sys.argv[1:]))", *given)
    assert result.returncode == 0, result.stderr
    assert len(list(VideoReader(out))) >= 1
    assert b"trainedAlgorithmicMedia" in out.read_bytes()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("live", "puppet.onnx"), "pip install 'mueca[live]'"),
        (("drive", "puppet.onnx", "clip.mp4", "out.mp4", "--runtime", "openvino"), "pip install 'mueca[openvino]'"),
        (("drive", "run", "clip.mp4", "out.mp4"), "pip install 'mueca[train]'"),
        (("export", "run", "other.onnx"), "pip install 'mueca[train]'"),
    ],
)
@pytest.mark.slow
def test_what_needs_more_says_what_to_install(puppet, actor_run, actor_clip, tmp_path, given, told):
    names = {"puppet.onnx": puppet, "run": actor_run, "clip.mp4": actor_clip, "out.mp4": tmp_path / "out.mp4"}
    result = run_alone(
        "import mueca.cli; sys.exit(mueca.cli.main(sys.argv[1:]))", *[names.get(word, word) for word in given]
    )
    assert result.returncode == 2, result.stderr
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())

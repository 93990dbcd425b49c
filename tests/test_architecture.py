"""The shape of the house: imports point down, torch stays in its rooms, help answers without it."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent


def test_imports_point_down_and_only_the_networks_rooms_import_torch():
    result = subprocess.run([TOOLS / "lint-imports"], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_code_passes_the_linter_and_is_formatted():
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run([TOOLS / "ruff", *command, "."], cwd=REPOSITORY, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


def test_what_a_painter_is_stands_in_one_place():
    sources = (REPOSITORY / "src").rglob("*.py")
    assert [path.name for path in sources if "class Painter(Protocol)" in path.read_text()] == ["painter.py"]


def test_help_and_the_base_package_need_no_torch():
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'safetensors', 'tensorboard'):\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import mueca.extraction, mueca.reenactment, mueca.evaluation, mueca.cli\n"
        "mueca.cli.main(['--help'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "a video becomes pairs" in result.stdout, result.stderr


def test_every_command_is_a_function_of_the_same_name_however_often_it_is_asked_for():
    code = (
        "import mueca\n"
        "for _ in range(2):\n"
        "    for name in ('extract', 'train', 'drive', 'evaluate', 'run', 'demo', 'coach', 'convert', 'extract_all',\n"
        "        'import_reference', 'export', 'live'):\n"
        "        assert type(getattr(mueca, name)).__name__ == 'function', name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_loads_neither_networks_nor_video():
    code = "import sys, mueca.cli\nfor name in ('torch', 'av', 'dlib', 'cv2'): assert name not in sys.modules, name"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Every generated face is marked, visibly and in metadata, and no way of writing pictures passes the mark by."""

import ast
import inspect
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mueca
from mueca.marks import NEWSCODES, SYNTHETIC, UNMARKED, badge_in, composite, stamp, xmp_packet
from mueca.pictures import encode_picture, write_picture
from mueca.version import VERSION
from mueca.video import VideoWriter
from mueca.video.showing import VirtualCamera, Window

SOURCES = sorted(Path(mueca.__file__).parent.rglob("*.py"))
WRITERS = ("pictures.py", "video")
"""The one module and the one package that may write pictures."""

sides = st.integers(8, 400)
edges = st.integers(-100, 500)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_a_stamped_fake_carries_white_letters_on_a_dark_plate_in_its_bottom_left_corner():
    changed = np.any(stamp(grey(256, 256), SYNTHETIC) != 128, axis=2)
    rows, columns = np.nonzero(changed)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (2, 91, 238, 253)
    corner = stamp(grey(256, 256), SYNTHETIC)[238:254, 2:92]
    assert (corner.min(axis=2) > 240).sum() > 70
    assert np.median(corner) < 64


def test_the_badge_grows_with_the_fake():
    def width(side: int) -> int:
        (x0, _, x1, _), _, _ = badge_in((0, 0, side, side), side, side)
        return x1 - x0

    assert width(512) == pytest.approx(2 * width(256), rel=0.05)
    assert width(128) > 80  # readable on a small one


def test_each_fake_of_a_composite_gets_a_badge_and_the_pixels_between_none():
    mark = composite((0, 0, 256, 256), (600, 100, 856, 356))
    changed = np.any(stamp(grey(400, 900), mark) != 128, axis=2)
    assert changed[200:256, :256].any()
    assert changed[300:356, 600:856].any()
    changed[:256, :256] = changed[100:356, 600:856] = False
    assert not changed.any()


@settings(deadline=None)
@given(sides, sides, edges, edges, sides, sides)
def test_a_badge_stands_inside_any_picture_and_changes_nothing_else(height, width, x0, y0, fake_width, fake_height):
    fake = (x0, y0, x0 + fake_width, y0 + fake_height)
    (left, top, right, bottom), _, _ = badge_in(fake, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    stamped = stamp(grey(height, width), composite(fake))
    assert stamped[top:bottom, left:right].min() < 128
    stamped[top:bottom, left:right] = 128
    assert np.array_equal(stamped, grey(height, width))


def test_stamping_leaves_the_callers_picture_as_it_was():
    image = grey(256, 256)
    stamp(image, SYNTHETIC)
    assert (image == 128).all()


def test_an_unmarked_picture_is_returned_unchanged():
    image = grey(64, 64)
    assert stamp(image, UNMARKED) is image


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)])
def test_what_is_no_rgb_picture_is_refused(image):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        stamp(image, SYNTHETIC)


def test_a_composite_without_a_fake_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        composite()


@pytest.mark.parametrize(
    ("mark", "word"),
    [(SYNTHETIC, "trainedAlgorithmicMedia"), (composite((0, 0, 9, 9)), "compositeWithTrainedAlgorithmicMedia")],
)
def test_the_xmp_packet_names_the_source_type_and_the_tool(mark, word):
    root = ElementTree.fromstring(xmp_packet(mark).decode())
    iptc, xmp = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}", "{http://ns.adobe.com/xap/1.0/}"
    assert root.find(f".//{iptc}DigitalSourceType").text == NEWSCODES + word
    assert root.find(f".//{xmp}CreatorTool").text == f"mueca {VERSION}"


def test_an_unmarked_file_has_no_xmp_packet():
    assert xmp_packet(UNMARKED) is None


@pytest.mark.parametrize("writer", [encode_picture, write_picture, VideoWriter, VirtualCamera, Window.show])
def test_no_writer_has_a_default_mark(writer):
    assert inspect.signature(writer).parameters["mark"].default is inspect.Parameter.empty


WRITING_CALLS = {"imwrite", "imwritemulti", "imwriteanimation", "imencode", "imencodemulti", "imsave", "savefig"}
WRITING_CALLS |= {"VideoWriter_fourcc", "mimwrite", "mimsave", "get_writer", "add_video", "add_figure"}
WRITING_CALLS |= {"imshow"}
WRITING_MODULES = {"av", "imageio", "skimage.io", "matplotlib", "moviepy", "png", "tifffile", "turbojpeg"}
WRITING_MODULES |= {"tkinter", "pyvirtualcam", "PIL.ImageTk"}
NOT_PICTURES = {"np", "torch", "safetensors.torch"}
"""Names whose .save() writes no picture."""


def offences(source: str) -> list[str]:
    """Return the calls and imports in ``source`` by which a picture could be written without a mark."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [name for name in imported(node) if any(f"{name}.".startswith(f"{m}.") for m in WRITING_MODULES)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "cv2.VideoWriter":
            found.append("cv2.VideoWriter")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            saves = node.func.attr == "save" and ast.unparse(node.func.value) not in NOT_PICTURES
            if saves or node.func.attr in WRITING_CALLS:
                found.append(ast.unparse(node.func))
        elif isinstance(node, ast.FunctionDef) and not stamps_what_it_logs(node):
            found.append(f"{node.name}: add_image without stamp")
    return found


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def stamps_what_it_logs(function: ast.FunctionDef) -> bool:
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    names = {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}
    return not names & {"add_image", "add_images", "add_image_with_boxes"} or "stamp" in names


@pytest.mark.parametrize(
    "source",
    [
        "cv2.imwrite(path, image)",
        "cv2.imencode('.png', image)",
        "writer = cv2.VideoWriter(path)",
        "Image.fromarray(image).save(path)",
        "picture.save(path)",
        "import av",
        "from av import open as read",
        "import imageio.v3 as iio",
        "from skimage import io",
        "from matplotlib import pyplot as plt",
        "plt.savefig(path)",
        "cv2.imshow('puppet', fake)",
        "import tkinter",
        "from PIL import ImageTk",
        "import pyvirtualcam",
        "def log(board, fake):\n    board.add_image('fake', fake)",
    ],
)
def test_the_gate_sees_a_way_around_the_writers(source):
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "np.save(path, landmarks)",
        "from skimage.metrics import structural_similarity",
        "write_picture(path, image, mark=SYNTHETIC)",
        "def log(board, fake):\n    board.add_image('fake', stamp(fake, SYNTHETIC))",
    ],
)
def test_the_gate_lets_the_right_ways_pass(source):
    assert not offences(source)


TRIALS = {"diagnosis/films.py", "diagnosis/software.py"}
"""What tells whether writing works here: encoders, on frames of its own; a desktop, without a picture."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SOURCES[0].parent)))
def test_only_pictures_and_video_write_pictures(path):
    place = path.relative_to(Path(mueca.__file__).parent)
    if place.parts[0] not in WRITERS and place.as_posix() not in TRIALS:
        assert offences(path.read_text()) == []

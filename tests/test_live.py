"""Live: one visitor of this machine gets marked pictures as frames come, and nobody else gets anything."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from puppets import Grey
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mueca.config import SIZE_PX, LiveSettings
from mueca.errors import MuecaError, OutputError
from mueca.streaming import serving, starting
from mueca.streaming.session import HEADER
from mueca.video import VideoReader, VideoWriter

HOST = "127.0.0.1"


class Server:
    """A live server and what a page does."""

    def __init__(self, address: str, reenactor: Grey, recordings: Path) -> None:
        self.reenactor, self.recordings = reenactor, recordings
        self.port = int(address.split(":")[2].split("/")[0])
        self.token = address.partition("token=")[2].split(" ")[0]

    def visit(
        self, *, token: str | None = None, origin: str | None = None, host: str | None = None
    ) -> ClientConnection:
        return connect(
            f"ws://{HOST}:{self.port}/frames?token={self.token if token is None else token}",
            origin=origin or f"http://{HOST}:{self.port}",
            max_size=None,
        )

    def get(self, path: str, *, host: str | None = None) -> tuple[int, str]:
        with socket.create_connection((HOST, self.port), timeout=10) as connection:
            name = host or f"{HOST}:{self.port}"
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        return int(answer.split()[1]), answer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    reenactor, said, until = Grey(), [], threading.Event()
    monkeypatch.setattr(starting, "Reenactor", lambda *_, **__: reenactor)
    settings = LiveSettings(recordings=tmp_path)
    thread = threading.Thread(
        target=starting.live, args=(tmp_path / "run", settings), kwargs={"say": said.append, "until": until}
    )
    thread.start()
    while not said:
        time.sleep(0.01)
    yield Server(said[0].split()[1], reenactor, tmp_path)
    until.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


def frame(level: int, sent_ms: float = 0.0) -> bytes:
    data = cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()
    return struct.pack("<d", sent_ms) + data


def picture(answer: bytes | str) -> np.ndarray:
    assert isinstance(answer, bytes)
    return np.asarray(Image.open(io.BytesIO(answer[HEADER.size :])))


def told(visitor: ClientConnection, **order: object) -> dict[str, str]:
    visitor.send(json.dumps(order))
    while isinstance(answer := visitor.recv(timeout=10), bytes):
        pass
    return json.loads(answer)


def test_a_frame_is_answered_by_a_marked_picture_that_says_when_it_was_sent(server):
    with server.visit() as visitor:
        visitor.send(frame(200, sent_ms=1234.5))
        answer = visitor.recv(timeout=10)
    sent_ms, decode, follow, retarget, paint, encode, total, is_lost = HEADER.unpack_from(answer)
    assert (sent_ms, follow, retarget, paint, is_lost) == (1234.5, 1.0, 2.0, 3.0, 0)
    assert 0 < decode + encode < total
    assert b"trainedAlgorithmicMedia" in answer
    shown = picture(answer)
    assert shown.shape == (SIZE_PX, SIZE_PX, 3)
    assert abs(int(shown[0, 0, 0]) - 200) < 4
    assert (np.abs(shown[-20:, :90].astype(int) - 200) > 40).mean() > 0.3  # the badge


def test_the_condition_stands_beside_the_puppet_when_asked_for(server):
    with server.visit() as visitor:
        assert told(visitor, do="view", view="condition")["told"] == ""
        visitor.send(frame(200))
        shown = picture(visitor.recv(timeout=10))
    assert shown.shape == (SIZE_PX, 2 * SIZE_PX, 3)
    assert shown[100, 100].max() < 8
    assert (np.abs(shown[-20:, SIZE_PX : SIZE_PX + 90].astype(int) - 200) > 40).mean() > 0.3


def test_the_newest_frame_wins_when_painting_is_slow(server):
    server.reenactor.takes_s = 0.3
    with server.visit() as visitor:
        for level in range(10, 110, 10):
            visitor.send(frame(level))
            time.sleep(0.02)
        answers = [visitor.recv(timeout=10) for _ in range(2)]
    assert len(server.reenactor.painted) == len(answers) == 2
    assert server.reenactor.painted[-1] >= 95


def test_frozen_the_last_picture_stays_until_it_goes_on(server):
    with server.visit() as visitor:
        visitor.send(frame(100))
        first = picture(visitor.recv(timeout=10))
        assert told(visitor, do="freeze", on=True) == {"told": "frozen", "frozen": True, "recording": False}
        visitor.send(frame(200))
        assert np.array_equal(picture(visitor.recv(timeout=10)), first)
        told(visitor, do="freeze", on=False)
        visitor.send(frame(200))
        assert abs(int(picture(visitor.recv(timeout=10))[0, 0, 0]) - 200) < 4


def test_calibrating_without_a_face_says_so(server):
    with server.visit() as visitor:
        assert "neutral" in told(visitor, do="calibrate")["told"]
        assert server.reenactor.calibrations == 1
        server.reenactor.is_lost = True
        assert told(visitor, do="calibrate")["error"] == "calibrate: no face is seen"


def test_only_what_is_recorded_stays_on_disk_and_it_is_marked(server):
    with server.visit() as visitor:
        visitor.send(frame(50))
        visitor.recv(timeout=10)
        assert not list(server.recordings.iterdir())
        name = told(visitor, do="record", on=True)["told"].removeprefix("recording to ")
        for level in (60, 120, 180):
            visitor.send(frame(level))
            visitor.recv(timeout=10)
            time.sleep(0.05)
        assert told(visitor, do="record", on=False)["told"] == f"recorded {name}"
    (path,) = server.recordings.iterdir()
    assert path.name == name
    assert b"trainedAlgorithmicMedia" in path.read_bytes()
    levels = [int(f.image[0, 0].mean()) for f in VideoReader(path)]
    assert np.abs(np.array(levels) - (60, 120, 180)).max() < 6


def test_a_recording_is_kept_when_the_visitor_just_leaves(server):
    with server.visit() as visitor:
        told(visitor, do="record", on=True)
        visitor.send(frame(60))
        visitor.recv(timeout=10)
    deadline = time.monotonic() + 10
    while not list(server.recordings.glob("mueca-live-*.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    (path,) = server.recordings.iterdir()
    assert len(list(VideoReader(path))) == 1


def test_a_recording_without_a_frame_leaves_nothing_and_no_complaint(server):
    with server.visit() as visitor:
        told(visitor, do="record", on=True)
    with server.visit() as again:
        again.send(frame(60))
        again.recv(timeout=10)
    assert not list(server.recordings.iterdir())


def test_a_recording_that_fails_is_told_and_the_puppet_goes_on(server, monkeypatch):
    def full(*_: object) -> None:
        raise OutputError("film.mp4: can't be written (No space left on device)")

    with server.visit() as visitor:
        assert told(visitor, do="record", on=True)["recording"]
        with monkeypatch.context() as patch:
            patch.setattr(VideoWriter, "write", full)
            visitor.send(frame(60))
            answer = json.loads(visitor.recv(timeout=10))
        assert answer["error"].endswith("(No space left on device)")
        assert not answer["recording"]
        visitor.send(frame(70))
        assert abs(int(picture(visitor.recv(timeout=10))[0, 0, 0]) - 70) < 4
        assert told(visitor, do="record", on=True)["recording"]  # once there is room again
        told(visitor, do="record", on=False)


def test_a_visitor_who_reads_slowly_gets_the_newest_picture_and_the_server_keeps_no_others(server):
    server.reenactor.is_noisy = True  # 0.1 MB a picture: the system's own buffers fill soon
    sent = 400
    with server.visit() as visitor:
        for number in range(sent):
            visitor.send(frame(50, sent_ms=float(number)))
            time.sleep(0.005)
        painted = len(server.reenactor.painted)
        assert painted < sent // 2
        newest = max(HEADER.unpack_from(visitor.recv(timeout=10))[0] for _ in range(painted))
        while newest < sent - 1:
            newest = HEADER.unpack_from(visitor.recv(timeout=10))[0]
        assert len(server.reenactor.painted) <= painted + 2


@pytest.mark.parametrize("wrong", [{"token": "guess"}, {"token": ""}, {"origin": "http://evil.example"}])
def test_a_stranger_gets_nothing(server, wrong):
    with server.visit(**wrong) as visitor, pytest.raises(ConnectionClosed) as caught:
        visitor.send(frame(60))
        visitor.recv(timeout=10)
    assert caught.value.rcvd.code == serving.UNWELCOME
    assert not server.reenactor.painted


def test_another_host_name_gets_nothing(server):
    # What a name that was bound anew to 127.0.0.1 sends.
    status, answer = server.get(f"/?token={server.token}", host=f"evil.example:{server.port}")
    assert status == 403
    assert "<video" not in answer


def test_the_page_wants_the_token_and_loads_nothing_from_elsewhere(server):
    assert server.get("/")[0] == 403
    status, answer = server.get(f"/?token={server.token}")
    assert status == 200
    assert "default-src 'none'" in answer
    assert "{{" not in answer
    assert "https://" not in answer


def test_a_second_visitor_is_refused_politely_until_the_first_one_leaves(server):
    with server.visit() as first:
        first.send(frame(60))
        first.recv(timeout=10)
        with server.visit() as second, pytest.raises(ConnectionClosed) as caught:
            second.recv(timeout=10)
        assert caught.value.rcvd.code == serving.BUSY
        assert "taken" in caught.value.rcvd.reason
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with server.visit() as second:
            try:
                second.send(frame(60))
                second.recv(timeout=10)
                return
            except ConnectionClosed:
                time.sleep(0.05)
    pytest.fail("the seat stayed taken")


def test_a_bug_ends_the_connection_and_not_the_server(server, monkeypatch):
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    with server.visit() as visitor, pytest.raises(ConnectionClosed), monkeypatch.context() as patch:
        patch.setattr(server.reenactor, "paint", stumble)
        visitor.send(frame(60))
        visitor.recv(timeout=10)
    with server.visit() as again:
        again.send(frame(70))
        assert picture(again.recv(timeout=10)).shape[0] == SIZE_PX


def test_who_leaves_while_a_picture_is_painted_leaves_a_whole_recording(server):
    with server.visit() as visitor:
        told(visitor, do="record", on=True)
        visitor.send(frame(60))
        visitor.recv(timeout=10)
        server.reenactor.takes_s = 0.5
        visitor.send(frame(90))
        time.sleep(0.1)
    server.reenactor.takes_s = 0.0
    with server.visit() as again:  # only when the other one's session is closed
        again.send(frame(70))
        again.recv(timeout=10)
    (path,) = server.recordings.iterdir()
    levels = [int(one.image[0, 0].mean()) for one in VideoReader(path)]
    assert np.abs(np.array(levels) - (60, 90)).max() < 6


@pytest.mark.parametrize("garbage", [b"", b"12345678", struct.pack("<d", 0.0) + b"\xff\xd8\xff" * 40, frame(9)[:200]])
def test_garbage_is_answered_in_words_and_the_next_frame_by_a_picture(server, garbage):
    with server.visit() as visitor:
        visitor.send(garbage)
        answer = json.loads(visitor.recv(timeout=10))
        assert answer["answers"] == "frame"
        assert answer["error"].startswith("frame: ")
        visitor.send(frame(70))
        assert picture(visitor.recv(timeout=10)).shape[0] == SIZE_PX


def test_a_frame_of_a_hundred_megabytes_ends_the_connection_and_not_the_server(server):
    with server.visit() as visitor, pytest.raises((ConnectionClosed, OSError)):
        visitor.send(bytes(100 << 20))
        visitor.recv(timeout=20)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with server.visit() as again:
            try:
                again.send(frame(70))
                assert picture(again.recv(timeout=10)).shape[0] == SIZE_PX
                return
            except ConnectionClosed:
                time.sleep(0.05)
    pytest.fail("the server did not come back")


@pytest.mark.parametrize("order", ["no json", "[1]", '{"do": "format"}', '{"do": "record", "on": false}', "[" * 100000])
def test_an_unknown_order_is_told(server, order):
    with server.visit() as visitor:
        visitor.send(order)
        assert "not understood" in json.loads(visitor.recv(timeout=10))["error"]


def test_a_port_that_is_taken_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "Reenactor", Grey)
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(MuecaError, match=f"--port {port}: can't be used"):
            starting.live(tmp_path, LiveSettings(port=port))


def test_the_server_listens_to_this_machine_alone(server):
    with socket.socket() as probe:
        probe.settimeout(2)
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {HOST}
        for address in others:
            assert probe.connect_ex((address, server.port)) != 0

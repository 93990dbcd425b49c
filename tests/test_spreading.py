"""Pieces of work side by side: each is done or named, whatever becomes of the workers."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mueca.errors import SettingsError
from mueca.spreading import Died, over_processes, over_ray

DIES = "__import__('os')._exit(3)"
FOREVER = "__import__('time').sleep(10**6)"


def test_every_piece_comes_back_under_its_number():
    assert dict(over_processes(eval, ["1 + 1", "2 * 3", "'x' * 3"], workers=2)) == {0: 2, 1: 6, 2: "xxx"}


def test_a_piece_whose_worker_dies_is_named_and_the_others_are_done():
    results = dict(over_processes(eval, ["1 + 1", DIES, "2 * 3"], workers=1))
    assert (results[0], results[2]) == (2, 6)
    assert isinstance(results[1], Died) and "exit code 3" in results[1].why


def test_a_piece_whose_worker_died_once_is_done_by_the_next(tmp_path):
    path = f"__import__('pathlib').Path({str(tmp_path / 'begun')!r})"
    piece = f"'done' if {path}.exists() else ({path}.touch(), {DIES})"
    assert dict(over_processes(eval, [piece], workers=1)) == {0: "done"}


def test_who_stops_early_stops_the_workers():
    results = over_processes(eval, ["1 + 1", FOREVER, FOREVER], workers=2)
    assert next(results) == (0, 2)
    results.close()


def test_what_a_piece_prints_does_not_come_between_the_answers():
    assert dict(over_processes(eval, ["print('noise') or 5"], workers=1)) == {0: 5}


@pytest.mark.timeout(60)
def test_an_answer_that_cannot_be_read_is_named_though_its_worker_lives_on():
    piece = "type('Odd', (), {'__reduce__': lambda self: (int, ('no number',))})()"
    results = dict(over_processes(eval, [piece, "1 + 1"], workers=1))
    assert "gave an answer that can't be read" in results[0].why and results[1] == 2


def test_workers_of_a_killed_process_end_without_a_word(tmp_path):
    begun = tmp_path / "begun"
    piece = f"(__import__('pathlib').Path({str(begun)!r}).touch(), __import__('time').sleep(1))"
    code = f"from mueca.spreading import over_processes; list(over_processes(eval, [{piece!r}], workers=1))"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        while not begun.exists():
            time.sleep(0.05)
        process.kill()
        assert process.communicate(timeout=60)[1] == ""  # it ends when the last one that holds it has ended


@pytest.mark.parametrize(
    ("address", "said"), [(None, r"^Ray is not installed; .*mueca\[cluster\]"), ("auto", r"^--ray-address needs Ray; ")]
)
def test_who_lacks_ray_is_told_how_to_get_it(address, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=said):
        over_ray(eval, ["1"], workers=1, address=address)


@pytest.mark.slow
def test_ray_leaves_the_handler_of_sigterm():
    pytest.importorskip("ray")
    process_is_told = []
    before = signal.signal(signal.SIGTERM, lambda *_: process_is_told.append(True))
    try:
        results = over_ray(eval, ["1 + 1"], workers=1, address=None)
        os.kill(os.getpid(), signal.SIGTERM)
        assert dict(results) == {0: 2} and process_is_told == [True]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_ray_does_the_same():
    pytest.importorskip("ray")
    results = dict(over_ray(eval, ["1 + 1", DIES, "2 * 3"], workers=2, address=None))
    assert (results[0], results[2]) == (2, 6)
    assert isinstance(results[1], Died)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named():
    pytest.importorskip("ray")
    with pytest.raises(SettingsError, match=r"--ray-address auto: .*ray start --head"):
        list(over_ray(eval, ["1"], workers=None, address="auto"))

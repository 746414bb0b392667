"""Ids are unique and sort by time, within a millisecond and when the clock is set back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hfrouter import places
from hfrouter.cost.ledger import default_path, new_id


def test_an_id_is_a_uuid_of_version_7_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(hex=new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before - 1000 <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1000


def test_ids_of_one_thread_are_unique_and_in_order() -> None:
    ids = [new_id() for _ in range(20_000)]  # several times the 4,096 a counter of 12 bits has
    assert ids == sorted(set(ids))


def test_ids_of_one_millisecond_are_in_order_beyond_the_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr("hfrouter.cost.ledger.time.time_ns", lambda: now)
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_ids_stay_in_order_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    later = new_id()
    hour_ago = time.time_ns() - 3_600 * 10**9
    monkeypatch.setattr("hfrouter.cost.ledger.time.time_ns", lambda: hour_ago)
    assert new_id() > later


def test_ids_of_many_threads_are_unique_and_each_thread_has_its_own_in_order() -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: [new_id() for _ in range(2_000)], range(8)))
    assert all(run == sorted(run) for run in runs)
    assert len({made for run in runs for made in run}) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_makes_an_id_does_not_stop_the_child() -> None:
    script = """
import os
from hfrouter.cost import ledger
with ledger._stamps._lock:
    child = os.fork()
    if child == 0:
        ledger.new_id()
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "7\n"


PATHS = {
    "linux": ({"XDG_STATE_HOME": "/state"}, "/state/hfrouter/ledger.sqlite3"),
    "linux, nothing set": ({}, "~/.local/state/hfrouter/ledger.sqlite3"),
    "darwin": ({}, "~/Library/Application Support/hfrouter/ledger.sqlite3"),
    "win32": ({"LOCALAPPDATA": "/appdata"}, "/appdata/hfrouter/ledger.sqlite3"),
    "win32, nothing set": ({}, "~/AppData/Local/hfrouter/ledger.sqlite3"),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_ledger_is_in_the_users_state_directory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, path = PATHS[name]
    for variable in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(places.sys, "platform", name.partition(",")[0])
    assert default_path() == Path(path).expanduser()


def test_where_there_is_no_home_the_path_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    with pytest.raises(OSError, match=r"Not a directory|cannot find"):
        default_path().parent.mkdir(parents=True)

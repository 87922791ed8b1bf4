"""The state directory: where it is, who may have it, and that one guard holds it."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from corrigible.errors import GuardError
from corrigible.guard.state import (
    StateDirectory,
    create_token,
    found_state,
    guard_holder,
    hold_guard,
    open_state,
    read_token,
    started_at,
    state_directory,
)

ROOT = os.geteuid() == 0


@pytest.fixture
def state(tmp_path):
    return open_state(tmp_path / "state")


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_manifest_has_one_state_by_whatever_name_it_is_reached(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "bot").mkdir()
    (tmp_path / "link").symlink_to("bot")
    one = state_directory(tmp_path / "bot/deployment.yaml")
    assert one == state_directory(tmp_path / "link/../bot/deployment.yaml")
    assert one == state_directory(tmp_path / "link/deployment.yaml")
    assert one.parent == tmp_path / "state/corrigible"
    assert one.name.startswith("bot-")
    assert one != state_directory(tmp_path / "bot/other.yaml")


def test_a_relative_state_home_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory(Path("m.yaml")).is_relative_to(tmp_path / ".local/state/corrigible")


def test_what_is_stated_goes_before_the_usual_place(tmp_path):
    assert state_directory(tmp_path / "m.yaml", tmp_path / "here") == tmp_path / "here"


def test_a_folder_of_a_strange_name_gives_a_plain_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    name = state_directory(tmp_path / ("\x1b[2J\u202e" + "x" * 99) / "m.yaml").name
    assert name.isascii()
    assert name.isprintable()
    assert len(name) < 60


def test_it_is_made_closed_to_others_with_its_parents(tmp_path):
    mask = os.umask(0)
    try:
        made = open_state(tmp_path / "a/b/c")
    finally:
        os.umask(mask)
    assert [mode_of(p) for p in (made.path, made.path.parent)] == [0o700, 0o700]
    assert found_state(made.path) == open_state(made.path) == made


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o770, 0o701])
def test_attack_a_directory_that_others_may_enter_is_refused(state, mode):
    state.path.chmod(mode)
    with pytest.raises(GuardError, match=r"closed to others \(0700\).*chmod 700"):
        open_state(state.path)
    with pytest.raises(GuardError, match="closed to others"):
        found_state(state.path)


def test_attack_a_link_in_its_place_is_refused(state, tmp_path):
    (tmp_path / "link").symlink_to(state.path)
    for look in (open_state, found_state):
        with pytest.raises(GuardError, match="got a link; remove it"):
            look(tmp_path / "link")


def test_attack_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(GuardError, match="got no directory"):
        open_state(tmp_path / "file")


@pytest.mark.skipif(not ROOT, reason="only root can give a directory away")
def test_attack_another_users_directory_is_refused(state):
    os.chown(state.path, 12345, 12345)
    with pytest.raises(GuardError, match="got uid 12345; chown it"):
        open_state(state.path)
    assert found_state(state.path)  # root may speak to any user's guard


def test_attack_a_parent_in_which_others_may_write_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(GuardError, match="mode 0777: others can write there"):
        open_state(tmp_path / "open/state")
    (tmp_path / "open").chmod(0o1777)
    assert open_state(tmp_path / "open/state")


@pytest.mark.skipif(not ROOT, reason="only root can give a directory away")
def test_attack_a_parent_of_another_user_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(GuardError, match="uid 12345: another user owns it"):
        open_state(tmp_path / "theirs/state")


def test_what_cannot_be_created_says_the_way_out(tmp_path):
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(GuardError, match=r"cannot be created: .*; make its parent writable"):
        open_state(tmp_path / "file/state")
    with pytest.raises(GuardError, match="no guard ever ran"):
        found_state(tmp_path / "none")


def test_a_token_is_made_once_for_the_guards_user_alone(state):
    token = create_token(state)
    assert (len(token), mode_of(state.operator_token)) == (64, 0o600)
    assert create_token(state) == read_token(state) == token
    assert [p.name for p in state.path.iterdir()] == ["operator.token"]


def test_guards_that_start_at_once_agree_on_one_token(state):
    found = []
    threads = [threading.Thread(target=lambda: found.append(create_token(state))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_attack_a_token_that_others_may_read_is_refused(state):
    create_token(state)
    state.operator_token.chmod(0o640)
    with pytest.raises(GuardError, match="mode 0640; others may know it"):
        read_token(state)


def test_attack_a_token_that_is_a_link_is_refused(state, tmp_path):
    (tmp_path / "mine").write_text("a" * 64, "ascii")
    state.operator_token.symlink_to(tmp_path / "mine")
    with pytest.raises(GuardError, match="cannot be read"):
        read_token(state)


@pytest.mark.parametrize("text", ["", "a" * 63, "A" * 64, "a" * 5000, "\xff" * 64])
def test_what_is_no_token_is_refused(state, text):
    state.operator_token.write_text(text, "utf-8")
    state.operator_token.chmod(0o600)
    with pytest.raises(GuardError, match="64 hexadecimal digits"):
        read_token(state)


def test_a_missing_token_says_the_way_out(state):
    with pytest.raises(GuardError, match="start the guard once"):
        read_token(state)


def test_one_guard_holds_a_directory_and_says_who_it_is(state):
    assert guard_holder(state) is None
    with hold_guard(state) as holder:
        assert guard_holder(state) == holder
        assert (holder.pid, holder.started) == (os.getpid(), started_at(os.getpid()))
        assert json.loads(state.guard_pid.read_text("utf-8"))["marker"] == holder.marker
        with pytest.raises(GuardError, match=f"process {os.getpid()} does; end it first"):
            hold_guard(state).__enter__()
    assert guard_holder(state) is None


def test_a_removed_lock_file_lets_no_second_guard_share_the_first_ones_lock(state):
    with hold_guard(state) as first:
        state.guard_pid.unlink()
        with hold_guard(state) as second:
            assert guard_holder(state) == second != first


HOLDS = """
import sys, time
from pathlib import Path
from corrigible.guard.state import StateDirectory, hold_guard
with hold_guard(StateDirectory(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_guard_lets_go(state):
    """`kill -9` leaves the file as it was; the lock is gone all the same."""
    command = [sys.executable, "-c", HOLDS, str(state.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert guard_holder(state).pid == process.pid
        process.kill()
    assert guard_holder(state) is None
    with hold_guard(state):
        pass


def test_a_process_that_is_not_there_has_no_start():
    assert started_at(2**22 + 1) == 0
    assert started_at(os.getpid()) > 0


def test_every_file_lies_in_the_directory(tmp_path):
    state = StateDirectory(tmp_path)
    names = [n for n, v in vars(StateDirectory).items() if isinstance(v, property)]
    assert {getattr(state, name).parent for name in names} == {tmp_path}
    assert len({getattr(state, name) for name in names}) == len(names) == 7

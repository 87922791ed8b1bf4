"""The latch holds what was stopped, through restarts, and trusts nothing that it cannot read."""

import fcntl
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_children import script

from corrigible.errors import GuardError
from corrigible.guard.latch import EVERYTHING, Latch, LatchState, Scope, ScopeState

SERVER = Scope("server", "files")


@pytest.fixture
def folder(tmp_path):
    """A state directory."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def latch(folder):
    return Latch.create(folder / "latch.json")


def standing(state, tool="read", *, server="files", call="c1", caller="agent", lineage=()):
    return state.on(server, tool, call, caller, lineage)


def test_a_new_latch_lets_all_run(latch):
    state = latch.state()
    assert (state.epoch, state.held, state.readable) == (0, (), True)
    assert standing(state) == "run"


@pytest.mark.parametrize(
    ("scope", "stopped", "running"),
    [
        (EVERYTHING, {}, None),
        (SERVER, {}, {"server": "mail"}),
        (Scope("tool", "files.read"), {}, {"tool": "write"}),
        (Scope("tool", "files.read"), {}, {"server": "mail"}),
        (Scope("call", "c1"), {}, {"call": "c2"}),
        (Scope("agent", "agent"), {}, {"caller": "other"}),
        (Scope("agent", "eldest"), {"lineage": ("eldest", "mid")}, {"lineage": ("mid",)}),
    ],
)
def test_a_scope_stops_what_it_names_and_nothing_else(latch, scope, stopped, running):
    """An agent's sub-agents are stopped with it."""
    latch.stop(scope, "why", "ann")
    assert standing(latch.state(), **stopped) == "stopped"
    if running is not None:
        assert standing(latch.state(), **running) == "run"


def test_what_is_stopped_stays_so_after_a_restart(latch):
    latch.stop(SERVER, "it deletes", "ann")
    state = Latch.create(latch.path).state()
    held = state.find(SERVER)
    assert (held.mode, held.why, held.by) == ("stopped", "it deletes", "ann")
    assert standing(state) == "stopped"


def test_another_process_stops_a_running_guard(latch):
    """The operator needs no guard that answers."""
    assert standing(latch.state()) == "run"
    program = """
        import sys
        from pathlib import Path
        from corrigible.guard.latch import EVERYTHING, Latch
        Latch(Path(sys.argv[1])).stop(EVERYTHING, "now", "ann")
        """
    subprocess.run([*script(program), str(latch.path)], check=True)
    assert standing(latch.state()) == "stopped"


def test_a_stop_is_the_worst_of_several(latch):
    latch.pause(SERVER, "wait", "ann")
    assert standing(latch.state()) == "paused"
    latch.stop(Scope("tool", "files.read"), "no", "ann")
    assert standing(latch.state()) == "stopped"
    assert standing(latch.state(), "write") == "paused"


def test_a_pause_does_not_soften_a_stop(latch):
    latch.stop(SERVER, "no", "ann")
    latch.pause(SERVER, "wait", "bob")
    assert standing(latch.state()) == "stopped"


def test_resuming_one_scope_leaves_the_others_held(latch):
    latch.stop(SERVER, "no", "ann")
    latch.stop(EVERYTHING, "no", "ann")
    latch.resume(EVERYTHING, "ann")
    assert standing(latch.state()) == "stopped"
    assert standing(latch.state(), server="mail") == "run"
    latch.resume(SERVER, "ann")
    assert standing(latch.state()) == "run"


def test_resuming_what_is_not_held_is_refused(latch):
    latch.stop(SERVER, "no", "ann")
    with pytest.raises(GuardError, match=r"tool files\.read is not held.*held: server files"):
        latch.resume(Scope("tool", "files.read"), "ann")


def test_nobody_stops_without_a_name(latch):
    with pytest.raises(GuardError, match="must name who asks"):
        latch.stop(SERVER, "no", " ")


HELD_AS = (
    '{"version": 1, "epoch": 3, "held": [{"kind": "%s", "name": "x", "mode": "%s",'
    ' "why": "", "by": "", "at": ""}]}'
)


@pytest.mark.parametrize("text", [
    "", "{", "null", "[]", '{"version": 1, "epoch": 3}',
    '{"version": 2, "epoch": 3, "held": []}',
    '{"version": 1, "epoch": true, "held": []}',
    '{"version": 1, "epoch": -1, "held": []}',
    '{"version": 1, "epoch": 3, "held": {}}',
    '{"version": 1, "epoch": 3, "held": [], "more": 1}',
    '{"version": 1, "epoch": 3, "held": [{"kind": "all"}]}',
    HELD_AS % ("world", "stopped"), HELD_AS % ("server", "running"),
    "[" * 100_000,
    '{"version": 1, "epoch": 3, "held": []}' + " " * (1 << 20),
])  # fmt: skip
def test_a_latch_that_makes_no_sense_is_stopped(latch, text):
    latch.state()
    latch.path.write_text(text)
    state = latch.state()
    assert standing(state) == "stopped"
    assert not state.readable
    assert "cannot be trusted" in state.held[0].why


def spoil_missing(path):
    path.unlink()


def spoil_mode(path):
    path.chmod(0o666)


def spoil_group(path):
    path.chmod(0o620)


def spoil_folder(path):
    path.parent.chmod(0o777)
    path.touch()


def spoil_link(path):
    real = path.with_name("real.json")
    path.rename(real)
    path.symlink_to(real)


def spoil_kind(path):
    path.unlink()
    path.mkdir()


def spoil_pipe(path):
    path.unlink()
    os.mkfifo(path)


SPOILS = [spoil_missing, spoil_mode, spoil_group, spoil_folder, spoil_link, spoil_kind, spoil_pipe]


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_latch_that_cannot_be_trusted_is_stopped(latch, spoil):
    """Gone, open to others, a link, no file: whatever it says, it is not believed."""
    assert standing(latch.state()) == "run"
    spoil(latch.path)
    for state in (latch.state(), Latch(latch.path).state()):
        assert standing(state) == "stopped"
        assert not state.readable


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_latch_of_another_user_is_stopped(latch):
    os.chown(latch.path, 12345, 12345)
    assert standing(latch.state()) == "stopped"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_what_root_writes_the_guards_user_can_read(latch):
    """An operator may be root where the guard is not."""
    for path in (latch.path.parent, *latch.path.parent.iterdir()):
        os.chown(path, 12345, 12345)
    Latch(latch.path).stop(SERVER, "no", "root")
    assert latch.path.stat().st_uid == 12345
    assert standing(latch.state()) == "stopped"


def test_deleting_the_latch_does_not_undo_a_stop(latch):
    """Only the first set-up makes a latch that lets all run."""
    latch.stop(EVERYTHING, "no", "ann")
    latch.path.unlink()
    again = Latch.create(latch.path)
    assert standing(again.state()) == "stopped"
    assert not latch.path.exists()


def test_an_unreadable_latch_is_made_anew_by_resuming_all_alone(latch):
    latch.stop(SERVER, "no", "ann")
    before = latch.state().epoch
    latch.path.write_text("{")
    with pytest.raises(GuardError, match="is not held"):
        latch.resume(SERVER, "ann")
    state = latch.resume(EVERYTHING, "ann")
    assert state.held == ()
    assert state.epoch > before
    assert latch.state() == state


def test_a_stop_over_an_unreadable_latch_keeps_all_stopped(latch):
    """What the lost latch had stopped may be anything."""
    latch.path.write_text("{")
    latch.stop(SERVER, "no", "ann")
    assert standing(latch.state(), server="mail") == "stopped"


def test_every_change_raises_the_epoch_also_over_a_lost_file(latch):
    epochs = [latch.state().epoch]

    def note(state):
        epochs.extend((state.epoch, latch.state().epoch))

    note(latch.stop(SERVER, "a", "ann"))
    note(latch.pause(SERVER, "a", "ann"))
    latch.path.unlink()
    note(latch.state())
    note(Latch(latch.path).stop(SERVER, "a", "ann"))
    note(latch.resume(SERVER, "ann"))
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 6


def test_the_same_state_is_not_read_again(latch, monkeypatch):
    """Reading is for what changed: a look costs microseconds."""
    latch.state()
    monkeypatch.setattr(Latch, "_loaded", lambda _: pytest.fail("it was read again"))
    assert latch.state() is latch.state()
    began = time.process_time()
    for _ in range(1000):
        latch.state()
    assert (time.process_time() - began) / 1000 < 50e-6


@pytest.mark.slow
def test_a_change_within_one_tick_of_the_clock_is_seen(latch):
    """A file of the same size, with a number that was used before, is not taken for the old."""
    seen = set()
    for _ in range(100):
        latch.stop(SERVER, "a", "ann")
        seen.add(latch.state().epoch)
    assert len(seen) == 100
    times = [latch.path.stat().st_mtime_ns]
    os.utime(latch.path, ns=(times[0] + 10**12, times[0] + 10**12))  # the clock was set back
    latch.stop(SERVER, "a", "ann")
    assert latch.path.stat().st_mtime_ns > times[0] + 10**12


@pytest.mark.slow
def test_writers_at_the_same_time_lose_nothing(latch):
    """Every change is in the file, and every one has its own epoch."""
    program = """
        import sys
        from pathlib import Path
        from corrigible.guard.latch import Latch, Scope
        latch = Latch(Path(sys.argv[1]))
        for n in range(10):
            print(latch.stop(Scope("call", f"{sys.argv[2]}-{n}"), "why", "ann").epoch)
        """
    writers = [
        subprocess.Popen([*script(program), str(latch.path), str(n)], stdout=subprocess.PIPE)
        for n in range(4)
    ]
    epochs = [int(line) for writer in writers for line in writer.communicate()[0].split()]
    assert sorted(epochs) == list(range(1, 41))
    assert len(latch.state().held) == 40


@pytest.mark.slow
def test_a_reader_never_sees_half_a_latch(latch):
    """Replaced whole: every look is a state that was written."""
    done, bad = threading.Event(), []

    def read():
        mine = Latch(latch.path)
        while not done.is_set():
            state = mine.state()
            if not state.readable:
                bad.append(state)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(60):
        latch.stop(SERVER, "a" * 500, "ann")
        latch.resume(SERVER, "ann")
    done.set()
    reader.join()
    assert bad == []


def test_a_stop_goes_through_where_another_holds_the_lock(latch, monkeypatch):
    """A guard that hung in the middle of a change cannot keep the operator from stopping it."""
    monkeypatch.setattr("corrigible.guard.latch._LOCK_S", 0.05)
    handle = os.open(latch.path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        latch.stop(SERVER, "no", "ann")
        assert standing(latch.state()) == "stopped"
        with pytest.raises(GuardError, match="has held the latch's lock"):
            latch.resume(SERVER, "ann")
    finally:
        os.close(handle)


def test_a_stop_that_cannot_be_written_holds_for_this_guard(latch, monkeypatch):
    """A full disk must not keep the agent going; resuming lifts it once there is room."""

    def full(_self, _state, *, mtime_ns):
        assert mtime_ns
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Latch, "_write", full)
        with pytest.raises(GuardError, match="No space left"):
            latch.stop(SERVER, "no", "ann")
    assert standing(latch.state()) == "stopped"
    assert standing(latch.state(), server="mail") == "run"
    latch.resume(SERVER, "ann")
    assert standing(latch.state()) == "run"


def test_a_stop_is_in_force_before_the_disk_has_it(latch, monkeypatch):
    """Writing takes milliseconds; admission closes before."""
    seen = []
    write = Latch._write
    monkeypatch.setattr(
        Latch,
        "_write",
        lambda self, state, **rest: (
            seen.append(standing(latch.state())),
            write(self, state, **rest),
        ),
    )
    latch.stop(SERVER, "no", "ann")
    assert seen == ["stopped"]


def test_nothing_half_written_is_left_behind(latch):
    latch.stop(SERVER, "no", "ann")
    assert sorted(path.name for path in latch.path.parent.iterdir()) == ["latch.json", "latch.made"]
    assert latch.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("kind", "name"), [("world", "x"), ("server", ""), ("all", "x")])
def test_a_scope_that_means_nothing_is_refused(kind, name):
    with pytest.raises(ValueError, match="scope"):
        Scope(kind, name)


NAMES = st.sampled_from(["a", "b", "a.x", "b.x"])
SCOPES = st.one_of(
    st.just(EVERYTHING),
    st.builds(Scope, st.sampled_from(["server", "tool", "call", "agent"]), NAMES),
)
HELD = st.lists(
    st.builds(
        ScopeState, SCOPES, st.sampled_from(["paused", "stopped"]), st.just(""), st.just("ann"),
        st.just(""),
    ),
    max_size=4,
)  # fmt: skip
CALLS = st.tuples(NAMES, NAMES, NAMES, NAMES, st.lists(NAMES, max_size=2).map(tuple))
ORDER = ("run", "paused", "stopped")


@pytest.mark.slow
@given(HELD, HELD, CALLS)
def test_holding_more_never_lets_more_run(held, more, call):
    """A law of `on`: it is monotone in what is held."""
    before = LatchState(1, tuple(held)).on(*call)
    after = LatchState(2, (*held, *more)).on(*call)
    assert ORDER.index(after) >= ORDER.index(before)


@given(HELD, CALLS)
def test_a_call_is_held_by_the_scopes_that_cover_it_and_no_other(held, call):
    """A law: the quick look agrees with asking every scope by itself."""
    server, tool, call_id, caller, lineage = call
    named = {"server": server, "tool": tool, "call_id": call_id, "caller": caller}
    modes = {one.mode for one in held if one.scope.covers(**named, lineage=lineage)}
    worst = max((*modes, "run"), key=ORDER.index)
    assert LatchState(1, tuple(held)).on(*call) == worst


@settings(max_examples=25)
@given(HELD)
def test_what_is_written_is_what_is_read(tmp_path_factory, held):
    """A law of the file, for any scopes."""
    path = tmp_path_factory.mktemp("state") / "latch.json"
    path.parent.chmod(0o700)
    latch = Latch.create(path)
    latch._write(LatchState(7, tuple(held)), mtime_ns=0)
    assert Latch(path).state() == LatchState(7, tuple(held))
    assert json.loads(path.read_text())["epoch"] == 7


def test_importing_the_latch_stays_light():
    """A hook that asks the latch alone must start fast."""
    code = "import sys, corrigible.guard.latch; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

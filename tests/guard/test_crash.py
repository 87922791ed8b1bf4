"""`kill -9` of a guard at random moments under load: what is on the disk is enough.

Run as a script it is the guard; `python tests/guard/test_crash.py rounds FOLDER N SEED` kills N.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from small_guard import call, manifest

from corrigible.deployment.load import load_deployment
from corrigible.errors import CorrigibleError, DeniedError, WithheldError
from corrigible.guard.latch import EVERYTHING, Latch
from corrigible.guard.ledger_file import rows
from corrigible.guard.session import open_session
from corrigible.guard.state import open_state
from corrigible.guard.verify import verify

LIMITS = {"calls": 400.0, "usd": 40.0, "acquire replicas": 90.0}
BUDGETS = "{calls: 400, usd: 40, 'acquire replicas': 90}"
CALLS = (
    call("files.read_file", path="/srv/a"),
    call("files.write_file", path="/srv/app/a"),
    call("cluster.add", name="web", more=1),
    call("cluster.scale", name="web", replicas=2),
    call("mail.send", to="ann@shop.example"),
    call("mail.send", to="bob@shop.example"),
)


# -- the guard that is killed -----------------------------------------------------------------


def guard(folder: Path, *, new_run: bool) -> None:
    """Serve calls of eight threads until killed; each that leaves writes its id to `sent`."""
    loaded = load_deployment(folder / "deployment.yaml")
    sent = os.open(folder / "sent", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    state = open_state(folder / "state")
    with open_session(loaded, state, live=False, new_run=new_run) as session:
        for seed in range(8):
            threading.Thread(target=agent, args=(session.gate, sent, seed), daemon=True).start()
        threading.Thread(target=operator, args=(session.gate,), daemon=True).start()
        os.write(1, b"open\n")
        time.sleep(60)


def agent(gate, sent, seed):
    draw = random.Random(seed)  # noqa: S311  (a test's own)
    while True:
        admission = gate.admit(draw.choice(CALLS))
        if admission.state != "go":
            time.sleep(0.001)
            continue
        with suppress(DeniedError):
            gate.dispatch(admission, lambda: None)
            os.write(sent, f"{admission.id}\n".encode())
            with suppress(WithheldError):
                gate.release(admission, draw.choice(("completed", "failed", "unknown")), {})


def operator(gate):
    """Says yes to all, twice where it may: one more than was asked is refused."""
    while True:
        gate.approvals.rest()
        for one in gate.approvals.pending():
            with suppress(CorrigibleError):
                gate.answer(one.id, approve=True, by="crash test")
        time.sleep(0.002)


# -- the kills --------------------------------------------------------------------------------


def rounds(folder: Path, count: int, seed: int) -> Counter:
    """Kill a guard so many times, look at what each left, and say how much was looked at."""
    draw = random.Random(seed)  # noqa: S311  (a test's own)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deployment.yaml").write_text(manifest(budgets=BUDGETS), encoding="utf-8")
    (folder / "sent").touch()
    latch = Latch(folder / "state" / "latch.json")
    total: Counter = Counter()
    for number in range(count):
        stopped = number > 0 and draw.random() < 0.2
        if stopped:
            latch.stop(EVERYTHING, "crash test", "test")
        before = len(ids_sent(folder))
        stops = not stopped and draw.random() < 0.3
        killed(folder, new_run=draw.random() < 0.6, after_s=draw.random() * 0.3,
               stop=latch if stops else None)  # fmt: skip
        total += looked_at(folder)
        if stopped:
            assert len(ids_sent(folder)) == before, "a stopped deployment let a call out"
            total["stopped rounds"] += 1
        if stopped or stops:
            assert latch.state().find(EVERYTHING), "a stop was forgotten"
            latch.resume(EVERYTHING, "test")
    return total


def killed(folder, *, new_run, after_s, stop):
    words = [sys.executable, __file__, "guard", str(folder), "new" if new_run else "same"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    time.sleep(after_s)
    if stop is not None:
        stop.stop(EVERYTHING, "crash test", "test")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def ids_sent(folder):
    return (folder / "sent").read_text("ascii").split()


def looked_at(folder):
    """Check the ledger against what was sent; no guard runs meanwhile."""
    path = folder / "state" / "ledger.sqlite"
    assert verify(path).ok, verify(path).text()
    intents, used, approvals = set(), Counter(), Counter()
    for entry in rows(path, kinds={"intent", "note"}):
        body = entry.body
        if entry.kind == "note":
            used = Counter() if "run" in body else used
            continue
        intents.add(body["call_id"])
        for name, use in body["uses"].items():
            used[name] += use
        for name, limit in LIMITS.items():
            assert used[name] <= limit + 1e-9, f"{used[name]} of {name} in one run"
        approvals[body["approval"]] += bool(body["approval"])
        if body["verdict"] == "approve":
            assert body["approval"], "a call that needs approval left without one"
    sent = ids_sent(folder)
    assert set(sent) <= intents, "a call was dispatched whose intent is not in the ledger"
    assert len(set(sent)) == len(sent), "a call was dispatched twice"
    assert max(approvals.values(), default=0) <= 1, "an approval was used twice"
    return Counter(sent=len(sent), intents=len(intents), approvals=len(approvals) - 1)


@pytest.mark.slow
def test_a_killed_guard_leaves_what_is_needed(tmp_path):
    """Twelve kills; the check itself saw calls, approvals and stopped rounds."""
    total = rounds(tmp_path / "crash", 12, seed=3)
    assert min(total["sent"], total["approvals"], total["stopped rounds"]) > 0, total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("unsent", "whose intent is not in the ledger"),
        ("twice", "dispatched twice"),
    ],
)
def test_the_check_sees_what_a_kill_could_do(tmp_path, harm, words):
    """A check that never fails would show nothing."""
    folder = tmp_path / "crash"
    rounds(folder, 1, seed=3)
    sent = ids_sent(folder)
    with (folder / "sent").open("a", encoding="ascii") as file:
        file.write("0123456789abcdef\n" if harm == "unsent" else f"{sent[0]}\n")
    with pytest.raises(AssertionError, match=words):
        looked_at(folder)


if __name__ == "__main__":
    if sys.argv[1] == "guard":
        guard(Path(sys.argv[2]), new_run=sys.argv[3] == "new")
    else:
        began = time.monotonic()
        found = rounds(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        took = time.monotonic() - began
        os.write(1, f"{sys.argv[3]} kills in {took:.0f} s: {dict(found)}\n".encode())

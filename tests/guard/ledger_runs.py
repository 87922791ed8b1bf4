"""What the ledger's tests share: small ledgers, files changed behind its back, killed writers."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from corrigible.guard.ledger import Ledger
from corrigible.guard.ledger_entry import Chain, Entry
from corrigible.guard.verify import verify


def opened(folder, **options):  # noqa: ANN003
    """A ledger in a folder, with its key beside it."""
    return Ledger.open(folder / "ledger.sqlite", folder / "signing.key", **options)


def sealed(folder, count=8, **options):  # noqa: ANN003
    """The path, the last head and the key of a ledger of so many entries that was closed."""
    with opened(folder, **options) as ledger:
        for number in range(count):
            ledger.append("note", {"number": number}).result()
        return ledger.path, ledger.head(), ledger.public_key


def change(path, *statements):  # noqa: ANN002
    """Change rows as somebody does who knows SQLite: triggers dropped, and put back after."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous=OFF")
        file.execute("BEGIN")
        triggers = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = triggers.fetchall()
        for name, _ in triggers:
            file.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            file.execute(*statement)
        for _, sql in triggers:
            file.execute(sql)
        file.execute("COMMIT")


def entries(path):
    """All rows as entries."""
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT seq, at, kind, body, prev, digest FROM entry ORDER BY seq")
        return [Entry(*row) for row in rows]


def rechained(path, upto=None, skip=()):
    """Write all entries anew, chained as the guard would: what a forger without key does."""
    chain = Chain()
    kept = [entry for entry in entries(path)[:upto] if entry.seq not in skip]
    made = [chain.add(entry.kind, entry.text) for entry in kept]
    change(
        path,
        ("DELETE FROM entry",),
        *(("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", entry.row) for entry in made),
    )


def start(*arguments, **options):  # noqa: ANN002, ANN003
    """This file as a script in another process."""
    command = [sys.executable, "-W", "error", __file__, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def crash_rounds(folder, rounds, seed):
    """Kill a writer under load so many times; return how many acknowledged entries were kept.

    After each kill every acknowledged entry must be there as it was acknowledged, and the whole
    must verify; the next writer goes on with the same ledger.
    """
    draw, acknowledged = random.Random(seed), {}  # noqa: S311  (moments, no secrets)
    for _ in range(rounds):
        writer = start("load", folder)
        assert writer.stdout.readline() == "open\n"
        time.sleep(draw.random() * 0.15)
        os.kill(writer.pid, signal.SIGKILL)
        said = writer.communicate()[0]
        lines = said[: said.rfind("\n") + 1].splitlines()  # the last one may be cut
        acknowledged.update((int(seq), digest) for seq, digest in map(str.split, lines))
        path = folder / "ledger.sqlite"
        found = verify(path)
        assert found.ok, found.text()
        assert not found.sealed
        kept = {entry.seq: entry.digest for entry in entries(path)}
        lost = {seq for seq, digest in acknowledged.items() if kept.get(seq) != digest}
        assert not lost
    return len(acknowledged)


def _say(line):
    """Write a line at once, whole, from any thread."""
    os.write(1, f"{line}\n".encode())


def _load(folder):
    """Append from four threads for ever; print what was acknowledged."""
    with opened(Path(folder), checkpoint_entries=40, checkpoint_s=0.02) as ledger:
        _say("open")

        def _append(worker):
            for number in range(10**9):
                body = {"number": number, "text": "x" * (number % 700)}
                entry = ledger.append("intent", body, durable=number % 5 == worker).result()
                _say(f"{entry.seq} {entry.digest}")

        workers = [threading.Thread(target=_append, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def _full(folder):
    """Append until the disk is full; once a line comes in, go on, and say what happened."""
    with opened(Path(folder), checkpoint_s=60) as ledger:
        kept, why = [], ""
        _limit_file_size(Path(folder))
        for _ in range(2000):
            try:
                kept.append(ledger.append("note", {"text": "x" * 2000}, durable=True).result().seq)
            except RuntimeError as error:
                why = str(error)
                break
        _say(json.dumps({"kept": kept[-1], "why": why}))
        sys.stdin.readline()
        _limit_file_size(None)
        _say(ledger.append("note", {"text": "room again"}, durable=True).result().seq)


def _limit_file_size(folder):
    """Let no file grow much beyond the largest in the folder, where the disk has no end."""
    import resource  # noqa: PLC0415  (of this script alone)

    if "--limit" not in sys.argv:
        return
    most = resource.RLIM_INFINITY
    if folder:
        most = max(path.stat().st_size for path in folder.iterdir()) + 200_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def _hold(folder):
    """Hold a ledger till a line comes in."""
    with opened(Path(folder)):
        _say("open")
        sys.stdin.readline()


def _sync(folder):
    """Say when durable entries are written, and when others are."""
    with opened(Path(folder), checkpoint_s=60, checkpoint_entries=10**6) as ledger:
        for durable in (True, False):
            _say(f"durable {durable}")
            for number in range(20):
                try:
                    ledger.append("note", {"number": number}, durable=durable).result()
                except RuntimeError as error:
                    _say(f"failed {error}")
        _say("heads")
    (Path(folder) / "heads").mkdir()
    with opened(Path(folder) / "heads", checkpoint_entries=5) as ledger:
        _say("few")
        for number in range(20):
            ledger.append("note", {"number": number}).result()
        _say("end")


if __name__ == "__main__":
    {"load": _load, "full": _full, "hold": _hold, "sync": _sync}[sys.argv[1]](sys.argv[2])

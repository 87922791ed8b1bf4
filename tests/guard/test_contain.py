"""A contained agent has the guard's ports and its folder, and no way to anything else."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import contained_probe
import pytest
from odd_children import LINUX, alive, gone, script, sleeping, token, until

from corrigible.errors import ContainmentError
from corrigible.guard.contain import NOBODY, Containment
from corrigible.guard.trees import Trees

pytestmark = pytest.mark.slow

ROOT = sys.platform == "linux" and os.geteuid() == 0


def why_not():
    """Why no agent can be contained here; empty: one can."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        return "; ".join(Containment(("true",), Path(folder)).check())


WHY_NOT = why_not()
CONTAINS = pytest.mark.skipif(bool(WHY_NOT), reason=f"containment is not possible: {WHY_NOT}")


def readable_python():
    """A Python that another user may start; None: there is none."""
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        options = {"user": NOBODY, "group": NOBODY} if ROOT else {}
        try:
            if not subprocess.run([path, "-I", "-c", ""], check=False, **options).returncode:
                return path
        except OSError:
            continue
    return None


class Door:
    """A unix socket of the guard's that greets whoever comes."""

    def __init__(self, path, greeting, *, mode=0o777) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        if not path.startswith("\0"):
            os.chmod(path, mode)  # noqa: PTH101
        self.listener.listen()
        self.greeting = greeting
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                caller = self.listener.accept()[0]
            except OSError:
                return
            with caller:
                caller.sendall(self.greeting)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture(scope="module")
def place():
    """A deployment whose rights are lax, so that what holds is the containment alone."""
    base = Path(tempfile.mkdtemp(prefix="contain", dir="/var/lib" if ROOT else None))
    for name in ("", "work", "work/sub", "work/sub/low", "state", "open"):
        (base / name).mkdir(exist_ok=True)
        (base / name).chmod(0o777)
    for name in (
        "state/operator.token",
        "state/ledger.sqlite",
        "state/latch.json",
        "work/m.yaml",
        "work/sub/low/m.yaml",
    ):
        (base / name).write_text("secret")
        (base / name).chmod(0o666)
    shutil.copy(Path(contained_probe.__file__), base / "open" / "probe.py")
    shutil.copy(shutil.which("id"), base / "open" / "suid")
    (base / "open" / "suid").chmod(0o4755)
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def outcome(place):
    """What the probe found inside, and what the host looks like afterwards."""
    python, word = readable_python(), token()
    if python is None:
        pytest.skip("no Python that another user may start")
    abstract = secrets.token_hex(8)
    host = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=greet, args=(host,), daemon=True).start()
    doors = [
        Door(str(place / "state" / f"{name}.sock"), name.encode())
        for name in ("one", "two", "operator")
    ]
    doors.append(Door(f"\0{abstract}", b"abstract"))
    options = {"user": NOBODY, "group": NOBODY} if ROOT else {}
    sleeper = subprocess.Popen(["sleep", word], **options)
    leaked = os.open(place / "state" / "operator.token", os.O_RDONLY)
    os.set_inheritable(leaked, True)  # noqa: FBT003
    at = {
        "word": word, "host_pid": sleeper.pid, "host_port": host.getsockname()[1],
            "abstract": abstract,
        "state": str(place / "state"), "operator": str(place / "state" / "operator.sock"),
        "guard": str(place / "state" / "one.sock"), "manifest": str(place / "work" / "m.yaml"),
        "lower": str(place / "work/sub/low/m.yaml"),
        "open": str(place / "open"), "suid": str(place / "open" / "suid"), "ports": [8101, 8102],
    }  # fmt: skip
    containment = Containment(
        (python, "-I", str(place / "open" / "probe.py"), json.dumps(at)),
        place / "work",
        hidden=(place / "state", place / "work" / "m.yaml", place / "work/sub/low/m.yaml"),
        sockets={8101: place / "state" / "one.sock", 8102: place / "state" / "two.sock"},
        env={"GIVEN": "1"},
    )
    os.environ["CORRIGIBLE_SECRET"] = word
    try:
        agent = containment.start(
            Trees(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with agent.stdout, agent.stderr:
            printed, errors = agent.stdout.read(), agent.stderr.read()
        code = agent.wait(120)
        assert code == 0, errors.decode()
        yield {
            **json.loads(printed),
            "sleeps": sleeper.poll() is None,
            "place": place,
            "word": word,
        }
    finally:
        del os.environ["CORRIGIBLE_SECRET"]
        os.close(leaked)
        sleeper.kill()
        sleeper.wait()
        host.close()
        for door in doors:
            door.close()


def greet(host):
    while True:
        try:
            caller = host.accept()[0]
        except OSError:
            return
        with caller:
            caller.sendall(b"host")


@CONTAINS
@pytest.mark.parametrize("name", contained_probe.TRIES)
def test_a_contained_agent_cannot(outcome, name):
    """Everything that it tried was refused by the kernel, though the host's rights were lax."""
    assert outcome["tries"][name].startswith("refused: ")


@CONTAINS
def test_the_host_is_as_it_was(outcome):
    """Nothing of what it tried left a trace outside its folder."""
    place = outcome["place"]
    assert outcome["sleeps"]
    for name in ("m.yaml", "sub/low/m.yaml"):
        assert (place / "work" / name).read_text() == "secret"
    assert sorted(path.name for path in (place / "state").glob("*.json")) == ["latch.json"]
    assert (place / "state" / "latch.json").read_text() == "secret"
    assert not Path("/tmp", outcome["word"]).exists()  # noqa: S108
    assert not Path("/dev/shm", outcome["word"]).exists()  # noqa: S108


@CONTAINS
def test_a_contained_agent_can_reach_the_guards_ports_and_write_in_its_folder(outcome):
    facts = outcome["facts"]
    assert facts["ports"] == ["one", "two"]
    assert facts["cwd"] == str(outcome["place"] / "work")
    assert (outcome["place"] / "work" / "made").read_text() == "by the agent"


@CONTAINS
def test_a_contained_agent_has_no_right_and_its_own_namespaces(outcome):
    facts = outcome["facts"]
    assert set(facts["capabilities"]) == {"0" * 16}
    assert facts["no_new_privs"] == "1"
    assert facts["pids"] <= 4
    for name, inside in facts["namespaces"].items():
        assert inside != os.readlink(f"/proc/self/ns/{name}")  # noqa: PTH115
    if ROOT:
        assert facts["uid"] == facts["gid"] == [NOBODY] * 3
        assert facts["groups"] == []


@CONTAINS
def test_its_environment_is_what_was_named(outcome):
    named = {"PATH", "HOME", "GIVEN", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "COLORTERM", "TZ"}
    assert {"GIVEN", "HOME"} <= set(outcome["facts"]["environment"]) <= named


@pytest.fixture
def work(tmp_path):
    """A folder that any user may enter and write."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o711)
    path = tmp_path / "work"
    path.mkdir()
    path.chmod(0o777)
    return path


@pytest.fixture
def trees():
    trees = Trees()
    yield trees
    trees.kill(None, 0.0)


@CONTAINS
def test_check_finds_nothing_where_it_works(work):
    assert Containment(("sh",), work).check() == ()


@CONTAINS
def test_the_agents_code_is_ours(work, trees):
    assert Containment(("sh", "-c", "exit 7"), work).start(trees).wait(120) == 7


@CONTAINS
def test_a_kill_ends_all_of_it_and_proves_it(work, trees):
    word = token()
    odd = f"setsid sleep {word} & (env -i setsid sleep {word} &)"
    text = f"{odd} ; trap '' TERM; while :; do sleep {word}; done"
    agent = Containment(("sh", "-c", text), work, sockets={8101: work / "no.sock"}).start(trees)
    until(lambda: len(sleeping(word)) == 3)
    proof = agent.kill(0.05)
    assert alive(word) == []
    assert proof.proven
    assert (proof.name, proof.how) == ("agent:agent", "pid namespace")
    assert agent.pid in proof.pids


@CONTAINS
@pytest.mark.slow
def test_it_dies_with_the_guard(work):
    word = token()
    guard = script(
        f"""
        import time
        from pathlib import Path
        from corrigible.guard.contain import Containment
        from corrigible.guard.trees import Trees
        text = "setsid sleep {word} & sleep {word}"
        made = Containment(("sh", "-c", text), Path({str(work)!r}), sockets={{81: Path("x")}})
        agent = made.start(Trees())
        time.sleep(60)
        """
    )
    with subprocess.Popen(guard) as process:
        until(lambda: len(sleeping(word)) == 2)
        process.kill()
    assert gone(word)
    until(lambda: not alive(f"--guard\0{process.pid}:"))  # the relay, too


@CONTAINS
def test_it_may_end_well_when_asked(work, trees):
    """A signal to what stands above it reaches it, though it is another user's."""
    text = "trap 'exit 3' TERM; touch up; while :; do sleep 0.01; done"
    agent = Containment(("sh", "-c", text), work).start(trees)
    until((work / "up").exists)
    agent.kill(5.0)
    assert agent.wait(120) == 3


@CONTAINS
def test_the_relay_carries_much_both_ways(work, trees):
    """Whole, and with each end seen by the other."""
    path = work.parent / "echo.sock"
    echo = socket.socket(socket.AF_UNIX)
    echo.bind(str(path))
    echo.listen()

    def serve():
        with echo.accept()[0] as caller:
            data = b""
            while chunk := caller.recv(65536):
                data += chunk
            caller.sendall(data[::-1])

    server = threading.Thread(target=serve)
    server.start()
    python = readable_python()
    if python is None:
        pytest.skip("no Python that another user may start")
    text = (
        "import socket\nway = socket.create_connection(('127.0.0.1', 8101))\n"
        "way.sendall(b'ab' * 10**6); way.shutdown(1)\nback = b''\n"
        "while chunk := way.recv(65536): back += chunk\n"
        "raise SystemExit(0 if back == b'ba' * 10**6 else 1)"
    )
    agent = Containment((python, "-I", "-c", text), work, sockets={8101: path}).start(trees)
    assert agent.wait(120) == 0
    server.join()
    echo.close()


@CONTAINS
def test_what_is_made_visible_is_so_and_cannot_be_written(work, trees):
    """A folder below one that the agent has of its own."""
    shown = work.parent / "shown"
    shown.mkdir()
    (shown / "file").write_text("x")
    (shown / "file").chmod(0o666)
    text = f"cat {shown}/file && ! echo y > {shown}/file"
    done = Containment(("sh", "-c", text), work, visible=(shown,)).start(
        trees, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert done.wait(120) == 0
    hides = Containment(("sh", "-c", f"test ! -e {shown}"), work).start(trees)
    assert hides.wait(120) == 0


@CONTAINS
def test_its_limits_hold(work, trees):
    text = 'test "$(ulimit -n)" = 77 && test "$(ulimit -c)" = 0'
    containment = Containment(("sh", "-c", text), work, limits={"NOFILE": 77, "CORE": 0})
    assert containment.start(trees).wait(120) == 0


@CONTAINS
def test_a_command_that_is_not_there_is_an_error_and_nothing_runs(work, trees):
    with pytest.raises(ContainmentError, match="'/no/such' cannot be started"):
        Containment(("/no/such",), work).start(trees)
    assert trees.kill(None, 0.0)[0].empty


@CONTAINS
@pytest.mark.skipif(not ROOT, reason="another user's folder is root's alone to enter")
def test_a_folder_that_the_agents_user_may_not_enter_is_an_error(work, trees):
    work.chmod(0o700)
    with pytest.raises(ContainmentError, match="Permission denied"):
        Containment(("true",), work).start(trees)
    assert "Permission denied" in Containment(("true",), work).check()[0]


@LINUX
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": ()}, "no command"),
        ({"cwd": Path("/no/such")}, "/no/such is not there"),
        ({"hidden": (Path("/no/such"),)}, "/no/such is not there"),
        ({"sockets": {0: Path("x")}}, "port must be between"),
        *([({"uid": 0}, "must not be root"), ({"gid": 0}, "must not be root")] if ROOT else []),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_starts(work, trees, change, message):
    containment = Containment(**{"command": ("true",), "cwd": work, **change})
    assert message in "; ".join(containment.check())
    with pytest.raises(ContainmentError, match=message):
        containment.start(trees)


@LINUX
def test_a_hidden_file_with_a_second_name_is_refused(work):
    """The other name would still show it."""
    (work / "a").write_text("x")
    os.link(work / "a", work / "b")
    assert "a second name" in Containment(("true",), work, hidden=(work / "a",)).check()[0]


def test_other_systems_are_told_so(work, trees, monkeypatch):
    monkeypatch.setattr("corrigible.guard.contain.sys.platform", "darwin")
    with pytest.raises(ContainmentError, match=r"needs Linux namespaces.*'darwin'"):
        Containment(("true",), work).start(trees)


AS_USER = """
import os, sys
from pathlib import Path
from corrigible.guard.contain import Containment
from corrigible.guard.trees import Trees
place = Path(sys.argv[1])
text = "id -u; cat secret/token; ls secret; kill -9 1; cat /proc/1/environ; cat /proc/net/dev"
text += "; touch /usr/x mine"
made = Containment(("sh", "-c", text), place, hidden=(place / "secret",))
print(made.lacks(), made.check())
agent = made.start(Trees())
print(agent.wait(120))
"""


@CONTAINS
@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="the other tests run as this user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user")
def test_without_root_the_user_stays_and_the_rest_holds(work):
    """In a user namespace; what it lacks is said."""
    (work / "secret").mkdir(mode=0o777)
    (work / "secret" / "token").write_text("hidden words")
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # our own files
    command = [
        "setpriv",
        "--reuid=12345",
        "--regid=12345",
        "--clear-groups",
        *may_read,
        sys.executable,
        "-c",
        AS_USER,
    ]
    done = subprocess.run(
        [*command, str(work)], capture_output=True, text=True, check=False, cwd="/"
    )
    if "Operation not permitted" in done.stdout.split("\n")[0]:
        pytest.skip(f"users may make no namespaces here: {done.stdout}")
    assert "the agent runs as the user who started it" in done.stdout, done.stderr
    assert "12345\n" in done.stdout
    assert "hidden words" not in done.stdout
    assert "PATH=" not in done.stdout  # what stands above it is the same user's, and closed to it
    assert set(re.findall(r"(?m)^ *(\w+):", done.stdout)) == {"lo"}
    assert (work / "mine").exists()
    assert not Path("/usr/x").exists()

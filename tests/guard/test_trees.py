"""A server's tree ends whole, whatever its processes do to outlive it, and that is proven."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from odd_children import (
    LINUX,
    ODD_CHILDREN,
    alive,
    gone,
    odd_server,
    refusal_of,
    script,
    sleeping,
    token,
    until,
)

from corrigible.errors import GuardError
from corrigible.guard import processes
from corrigible.guard.trees import Trees, bootstrapped, marked_by

pytestmark = LINUX

NO_NAMESPACE = refusal_of("--pid --fork") and refusal_of("--user --pid --fork")
HOLDS = [
    pytest.param(
        True,
        id="pid namespace",
        marks=pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"no PID namespace: {NO_NAMESPACE}"),
    ),
    pytest.param(False, id="subreaper"),
]


@pytest.fixture
def running():
    """Starts servers, and leaves no pipe open nor process behind."""
    started = []

    def run(trees, name, command, *, env=None, cwd=None):
        started.append(trees.start(name, command, env=env, cwd=cwd))
        return started[-1]

    yield run
    for server in started:
        server.kill()
        server.communicate()


def is_up(word):
    """Whether an odd server has all its children."""
    return lambda: len(sleeping(word)) >= ODD_CHILDREN


@pytest.mark.parametrize("namespaces", HOLDS)
@pytest.mark.parametrize("grace_s", [0.0, 0.2])
def test_every_odd_child_is_dead_and_proven_so(running, namespaces, grace_s):
    """Also those of another session, of no parent, of no mark, and deaf to being asked."""
    word, trees = token(), Trees(namespaces=namespaces)
    running(trees, "files", odd_server(word))
    until(is_up(word))
    (proof,) = trees.kill(["files"], grace_s)
    assert alive(word) == []
    assert proof.proven, proof
    assert proof.left == ()
    assert proof.how == ("pid namespace" if namespaces else "subreaper")
    assert len(proof.pids) >= ODD_CHILDREN
    assert proof.killed > 0 or grace_s  # with a grace, the server's own end may end all


@pytest.mark.parametrize("namespaces", HOLDS)
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.slow
def test_the_trees_die_with_their_guard(namespaces, signum):
    """A guard that is killed leaves no server behind that nobody decides about."""
    word = token()
    guard = script(
        f"""
        import json, sys, time
        from corrigible.guard.trees import Trees
        trees = Trees(namespaces={namespaces})
        servers = [trees.start(str(n), json.loads(sys.argv[1])) for n in range(2)]
        time.sleep(60)
        """
    )
    with subprocess.Popen([*guard, json.dumps(odd_server(word))]) as process:
        until(lambda: len(sleeping(word)) >= 2 * ODD_CHILDREN)
        process.send_signal(signum)
    assert gone(word)


@pytest.mark.parametrize("namespaces", HOLDS)
@pytest.mark.parametrize("whole_group", [False, True])
def test_the_tree_dies_with_its_front(running, namespaces, whole_group):
    """As where an MCP client kills the server's process, or its group."""
    word = token()
    server = running(Trees(namespaces=namespaces), "files", odd_server(word))
    until(is_up(word))
    (os.killpg if whole_group else os.kill)(server.pid, signal.SIGKILL)
    assert gone(word)


@pytest.mark.parametrize("namespaces", HOLDS)
def test_a_server_that_ends_takes_its_children_along_and_gives_its_code(running, namespaces):
    """A server that says goodbye leaves nothing behind."""
    word = token()
    command = ["sh", "-c", "setsid sleep $0 & (sleep $0 &) ; exit 7", word]
    server = running(Trees(namespaces=namespaces), "files", command)
    assert server.wait(120) == 7
    assert gone(word)


@pytest.mark.parametrize("namespaces", HOLDS)
def test_a_signal_reaches_the_server_which_has_a_grace(running, namespaces):
    """A server that ends well when asked is not killed."""
    text = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"
    trees = Trees(namespaces=namespaces)
    server = running(trees, "files", ["sh", "-c", text])
    assert server.stdout.readline() == b"up\n"
    (proof,) = trees.kill(["files"], 2.0)
    assert server.wait(120) == 3
    assert server.stdout.read() == b"bye\n"
    assert (proof.killed, proof.proven) == (0, True)


@pytest.mark.parametrize("namespaces", HOLDS)
def test_a_server_killed_by_a_signal_gives_its_number(running, namespaces):
    """The exit code is that of a shell: 128 and the signal."""
    command = ["sh", "-c", "kill -9 $$"]
    assert running(Trees(namespaces=namespaces), "files", command).wait(120) == 137


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"no PID namespace: {NO_NAMESPACE}")
def test_a_server_in_a_namespace_cannot_see_or_signal_its_guard(running):
    """It runs as the guard's own user: else it could end who decides about it."""
    text = "kill -9 $0 2>/dev/null && echo killed; grep -l $1 /proc/[0-9]*/environ 2>/dev/null"
    word = token()
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "WORD": word}) as other:
        command = ["sh", "-c", f"{text}; echo done", str(other.pid), word]
        server = running(Trees(), "a", command)
        assert server.stdout.read() == b"done\n"
        assert other.poll() is None
        other.kill()


def test_a_server_that_kills_its_keeper_loses_its_children(running):
    """Without a namespace the keeper can be killed; then the front has the orphans."""
    word = token()
    text = "setsid sleep $0 & (env -i setsid sleep $0 &) ; sleep 0.1; kill -9 $PPID; sleep $0"
    running(Trees(namespaces=False), "files", ["sh", "-c", text, word])
    time.sleep(0.3)
    assert gone(word)


def test_what_outlives_both_wardens_is_found_by_its_mark(running):
    """A mark in the environment tells whose it was, when nobody above it is left."""
    word, trees = token(), Trees(namespaces=False)
    server = running(trees, "files", ["sh", "-c", "setsid sleep $0 & sleep $0", word])
    until(lambda: len(sleeping(word)) == 2)
    wardens = [pid for pid in alive(word) if processes.warden_mark(pid, trees.marker)]
    for pid in wardens:
        os.kill(pid, signal.SIGSTOP)
    for pid in wardens:
        os.kill(pid, signal.SIGKILL)
    server.wait(120)
    assert len(alive(word)) >= 2  # nobody else ends them
    (proof,) = Trees.kill(trees, ["files"], 0.0)
    assert alive(word) == []
    assert proof.empty


@pytest.mark.parametrize("namespaces", HOLDS)
def test_a_process_that_hops_from_number_to_number_is_caught(running, namespaces):
    """A list of processes is old when it is read: stopping comes before killing."""
    word, trees = token(), Trees(namespaces=namespaces)
    text = "import os\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()"
    command = ["sh", "-c", f"{sys.executable} -c '{text}' $0 & sleep $0", word]
    running(trees, "files", command)
    time.sleep(0.2)
    (proof,) = trees.kill(["files"], 0.0)
    assert gone(word, 0.5)
    assert proof.empty


def test_only_the_trees_that_are_named_are_killed(running):
    """Stopping one server leaves the others to their work."""
    words, trees = {"a": token(), "b": token()}, Trees()
    for name, word in words.items():
        running(trees, name, ["sleep", word])
    until(lambda: all(sleeping(word) for word in words.values()))
    (proof,) = trees.kill(["a"], 0.0)
    assert (proof.name, proof.empty, alive(words["a"])) == ("a", True, [])
    assert sleeping(words["b"])
    assert [one.name for one in trees.kill(None, 0.0)] == ["a", "b"]
    assert alive(words["b"]) == []


def test_a_server_started_anew_is_of_the_same_tree(running):
    """Both are ended by its name."""
    word, trees = token(), Trees()
    for _ in range(2):
        running(trees, "a", ["sleep", word])
    until(lambda: len(sleeping(word)) == 2)
    trees.kill(["a"], 0.0)
    assert alive(word) == []


def test_what_was_adopted_is_killed_and_not_called_proven():
    """Nobody knows what a process let go of before it was adopted."""
    word, trees = token(), Trees()
    with subprocess.Popen(["sh", "-c", "sleep $0 & sleep $0; :", word]) as process:
        until(lambda: len(sleeping(word)) == 2)
        trees.adopt("other", process.pid)
        (proof,) = trees.kill(["other"], 0.0)
    assert alive(word) == []
    assert proof.empty
    assert not proof.proven


def test_what_was_adopted_is_found_after_it_lost_its_parent():
    """What was seen once is known for good."""
    word, trees = token(), Trees()
    with subprocess.Popen(["sh", "-c", "setsid sleep $0 & sleep $0; :", word]) as process:
        until(lambda: len(sleeping(word)) == 2)
        trees.adopt("other", process.pid)
        process.kill()
    assert alive(word)
    trees.kill(["other"], 0.0)
    assert alive(word) == []


def test_the_guard_itself_cannot_be_adopted():
    """It would end itself instead of a server."""
    with pytest.raises(GuardError, match="cannot be adopted"):
        Trees().adopt("me", os.getpid())


def test_a_name_that_never_ran_is_empty():
    """A stop of a server that was not started yet is proven too."""
    (proof,) = Trees().kill(["files"], 0.0)
    assert proof.proven
    assert proof.how == "never started"


def test_a_number_that_is_used_again_is_left_alone():
    """A process is its number and its start."""
    with subprocess.Popen(["sleep", "60"]) as process:
        found = processes.process(process.pid)
        assert not processes.send(found._replace(started=found.started - 1), signal.SIGKILL)
        (proof,) = marked_by("no-such", "guard", process.pid, found.started - 1).kill(None, 0.0)
        assert process.poll() is None
        assert proof.pids == ()
        assert processes.send(found, signal.SIGKILL)


def test_the_warden_takes_no_module_from_the_servers_folder(running, tmp_path):
    """A file named like a module must not run in the process that is to end the server."""
    for name in ("corrigible", "ctypes", "select", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    server = running(Trees(), "a", ["sh", "-c", "exit 5"], env=env, cwd=str(tmp_path))
    assert server.wait(120) == 5


def test_a_server_that_closes_its_stdout_ends_it(running):
    """No warden holds the server's pipes open."""
    server = running(Trees(), "a", ["sh", "-c", "echo one; exec >&-; sleep 5"])
    began = time.monotonic()
    assert server.stdout.read() == b"one\n"
    assert time.monotonic() - began < 3


def test_a_command_that_is_not_there_ends_with_127(running):
    """As a shell has it."""
    assert running(Trees(), "a", ["/no/such/program"]).wait(120) == 127


@pytest.mark.parametrize("arguments", [[], ["--"], ["--mark"], ["--what", "1", "--", "true"]])
def test_a_warden_without_a_command_says_how_it_is_used(arguments):
    """Nothing is started by half."""
    done = subprocess.run(bootstrapped("warden", *arguments), capture_output=True, check=False)
    assert done.returncode == 2
    assert b"python -m corrigible.guard.warden" in done.stderr


def test_a_warden_of_a_guard_that_is_gone_starts_nothing():
    """The server of a dead guard has nobody that decides."""
    command = bootstrapped("warden", "--guard", f"{os.getpid()}:1", "--", "echo", "up")
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stdout == b""
    assert b"the guard has ended" in done.stderr


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"no PID namespace: {NO_NAMESPACE}")
def test_the_name_of_a_trees_namespace_is_nobody_elses_until_the_tree_has_ended(running):
    """The kernel gives it to the next namespace once nobody holds it; that one is another guard's.

    A guard that only remembered the name killed what another had just started.
    """
    trees, word = Trees(), token()
    server = running(trees, "files", ["sleep", word])
    until(lambda: sleeping(word))
    (name,) = {processes.pid_namespace(pid) for pid in sleeping(word)}
    assert name not in held_namespaces()
    trees.look()
    assert name in held_namespaces()
    server.kill()
    until(lambda: not alive(word))
    assert name in held_namespaces()
    (proof,) = trees.kill(None, 0.0)
    assert (proof.proven, proof.how) == (True, "pid namespace")
    assert name not in held_namespaces()


def held_namespaces():
    """The PID namespaces that this process holds open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("pid:[")}

"""quantecon and mdpsolver, each solving single goals in a process that can be ended.

Every stopping parameter is the loosest for which the peer's own rule gives an error of at most
`error` in unnormalised values, on goals R(s) = u(outcome(s)):

- quantecon value and modified policy iteration promise epsilon/2 (their module's docstring; the
  span rule is corrected to the midpoint): epsilon = 2 error.  Its policy iteration and linear
  programming are exact.
- mdpsolver with standard updates stops at a span below tolerance (1-c)/c and adds the lower
  bound: tolerance = error.  With gs and sor updates it stops when no value changes by
  tolerance (1-c)/(2c): tolerance = 2 error.  (ModifiedPolicyIteration.cpp; c the discount.)

What a peer can be given once for all goals is given beforehand and not timed: quantecon's
DiscreteDP is made once and only its R is replaced; mdpsolver's lists are made beforehand, but it
takes them anew for each goal, which its seconds count (`solver_s` is what it counts itself).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np
from scipy import sparse

from corrigible.solve.layout import row_matrix
from corrigible.world.record import Floats, Int64s, World

SWEEPS = 10**6  # quantecon stops at 250 unless it is told otherwise
DENSE_BYTES = 2 * 10**9  # the largest dense matrix that linear programming is given
PRELOADED = ["corrigible.solve.layout", "quantecon.markov", "mdpsolver"]  # starting anew is quick
STARTING_S = 300.0  # to import, compile and take a world; not timed

Solve = Callable[[Floats], tuple[Floats, float | None]]
"""Utilities of the states `[S]` into their values `[S]`, and the solver's own seconds."""


@dataclass(frozen=True)
class Peer:
    """One method of a library."""

    library: str
    method: str
    update: str = ""
    parallel: bool = False

    def __str__(self) -> str:
        parallel = "parallel" if self.parallel else ""
        return " ".join(filter(None, (self.library, self.method, self.update, parallel)))


PEERS = (
    Peer("quantecon", "value_iteration"),
    Peer("quantecon", "policy_iteration"),
    Peer("quantecon", "modified_policy_iteration"),
    Peer("quantecon", "linear_programming"),
    *(
        Peer("mdpsolver", method, update, parallel)
        for method in ("vi", "pi", "mpi")
        for update, parallel in (
            ("standard", False),
            ("standard", True),  # the only update for which it offers to be parallel
            ("gs", False),
            ("sor", False),  # relaxation 1, as it comes: gs with self-loops eliminated
        )
    ),
)


@dataclass(frozen=True, eq=False)
class Problem:
    """A world as the peers take it, the discount, and the error that is allowed."""

    moves: sparse.csr_matrix  # [R, S]
    row_state: Int64s  # [R]
    action: Int64s  # [R]
    discount: float
    tolerance: float  # of normalised values

    @classmethod
    def of(cls, world: World, discount: float, tolerance: float) -> "Problem":
        """The problem of a world."""
        state, action = world.row_state.astype(np.int64), world.action.astype(np.int64)
        return cls(row_matrix(world), state, action, discount, tolerance)

    @property
    def error(self) -> float:
        """The error that is allowed of unnormalised values."""
        return self.tolerance / (1 - self.discount)


@dataclass(frozen=True, eq=False)
class Answer:
    """One goal solved by a peer, or why not."""

    values: Floats | None = None  # [S], normalised
    wall: float = 0.0
    cpu: float = 0.0
    solver: float | None = None  # seconds that the solver counts itself
    failure: str = ""


class PeerProcess:
    """A process that holds one problem and solves its goals; begun anew where one was ended."""

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._child: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ready(self, peer: Peer, problem: Problem) -> Answer:
        """Give the peer the problem, untimed, after a small one that makes it compile."""
        if self._child is not None and not self._child.is_alive():
            self._end()
        if problem is not self._problem:
            self._problem = problem
            if self._pipe is not None:
                self._pipe.send(problem)
        return self._ask(peer, None, STARTING_S)

    def solve(self, peer: Peer, utilities: Floats, *, wait_s: float) -> Answer:
        """Solve one goal; after `wait_s` seconds the process is ended, and the answer says so."""
        return self._ask(peer, utilities, wait_s)

    def _ask(self, peer: Peer, utilities: Floats | None, wait_s: float) -> Answer:
        pipe = self._begun()
        try:
            pipe.send((peer, utilities))
            if pipe.poll(wait_s):
                answer: Answer = pipe.recv()
                return answer
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._end()
            return Answer(failure="ended its process")
        self._end()
        return Answer(failure=f"no goal in {wait_s:g} s")

    def _begun(self) -> Connection:
        if self._pipe is None:
            context = get_context("forkserver")
            context.set_forkserver_preload(PRELOADED)
            self._pipe, theirs = context.Pipe()
            self._child = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._child.start()
            theirs.close()
            self._pipe.send(self._problem)
        return self._pipe

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.join()
        if self._pipe is not None:
            self._pipe.close()
        self._child = self._pipe = None


def _serve(pipe: Connection) -> None:
    """Answer questions until the pipe closes; what mdpsolver prints is not ours to show."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    problem: Problem = pipe.recv()
    solvers: dict[Peer, Solve] = {}
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if isinstance(asked, Problem):
            problem, solvers = asked, {}
            continue
        peer, utilities = asked
        try:
            if peer not in solvers:
                solvers = {}  # one at a time: they are large
                solvers[peer] = _solver(peer, problem)
            pipe.send(Answer() if utilities is None else _timed(solvers[peer], utilities, problem))
        except (MemoryError, NotImplementedError, ValueError, RuntimeError) as error:
            pipe.send(Answer(failure=str(error) or type(error).__name__))


def _timed(solve: Solve, utilities: Floats, problem: Problem) -> Answer:
    wall, cpu = time.perf_counter(), time.process_time()
    values, own = solve(utilities)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Answer((1 - problem.discount) * np.asarray(values), wall, cpu, own)


def _solver(peer: Peer, problem: Problem) -> Solve:
    if peer.library == "mdpsolver":
        return _mdpsolver(peer, problem)
    tiny = Problem(sparse.csr_matrix(np.eye(2)), np.arange(2), np.zeros(2, int), 0.5, 1e-6)
    _quantecon(peer, tiny)(np.ones(2))  # compiles
    return _quantecon(peer, problem)


def _quantecon(peer: Peer, problem: Problem) -> Solve:
    from quantecon.markov import DiscreteDP  # noqa: PLC0415 - only this process needs it

    moves: Any = problem.moves
    if peer.method == "linear_programming":  # it takes dense matrices alone
        size = 8 * moves.shape[0] * moves.shape[1]
        if size > DENSE_BYTES:
            raise MemoryError(f"needs a dense matrix of {size / 1e9:.1f} GB")
        moves = moves.toarray()
    ddp = DiscreteDP(
        np.zeros(len(problem.action)), moves, problem.discount, problem.row_state, problem.action
    )

    def solve(utilities: Floats) -> tuple[Floats, None]:
        ddp.R = utilities[problem.row_state]
        found = ddp.solve(method=peer.method, epsilon=2 * problem.error, max_iter=SWEEPS)
        return found.v, None

    return solve


def _mdpsolver(peer: Peer, problem: Problem) -> Solve:
    from mdpsolver import model  # noqa: PLC0415 - only this process needs it

    moves, counts = problem.moves, np.bincount(problem.row_state)
    last = np.cumsum(counts)
    chances, columns = (
        [part.tolist() for part in np.split(array, moves.indptr[1:-1])]
        for array in (moves.data, moves.indices)
    )
    by_state = list(zip((last - counts).tolist(), last.tolist(), strict=True))
    probs = [chances[a:b] for a, b in by_state]
    cols = [columns[a:b] for a, b in by_state]
    error = problem.error if peer.update == "standard" else 2 * problem.error
    lengths = counts.tolist()

    def solve(utilities: Floats) -> tuple[Floats, float]:
        mdl = model()
        rewards = [[u] * n for u, n in zip(utilities.tolist(), lengths, strict=True)]
        mdl.mdp(discount=problem.discount, rewards=rewards, tranMatProbs=probs, tranMatColumns=cols)
        mdl.solve(
            algorithm=peer.method, update=peer.update, tolerance=error, parallel=peer.parallel
        )
        return np.array(mdl.getValueVector()), mdl.getRuntime() / 1000

    return solve

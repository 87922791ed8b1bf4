"""Optimal values for 1,000 goals, beside quantecon and mdpsolver: one table, one run.

    python benchmarks/solver.py [--quick] [--json PATH] [--scaling] [--million]

Every row is one world, the same for all.  Times are wall seconds for 1,000 goals, each goal's
values certified to 1e-6 of the normalised return ((1 - discount) * sum) in every state.  Ours:
all goals at once, whole calls, median [least, most]; the first call, which compiles, is left
out.  The peers take one goal at a time: the median of the goals that they solve within a time
limit, at least one, times 1,000; what they compile, and giving them a world that they can keep,
is left out.  Peers run as they install, with the threads that they choose themselves.  ratio =
the peer's wall median / ours: above 1 we are quicker, under 1 is a loss.  CPU seconds, of all
threads together, stand beside, and `alone`, what mdpsolver counts itself, without taking its
lists.  `off` is the peer's largest distance to reference values (1e-10); a peer that is off by
more than 1e-6 is named below the table and is not the best.  The second line of a row is the
other library's best.  On a busy machine the figures are noise: see the load average.

--json writes {"rows": [{"case", "states", "discount", "peer", "ours_s", "peer_s", "ratio",
"best", ...}], ...}: one row for each method of each peer that finished.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import million
import numpy as np
import scaling
from peers import PEERS, Answer, Peer, PeerProcess, Problem
from timing import TOLERANCE, Timing, ours, some_goals
from worlds import SIZED, deployment

from corrigible.solve.optimal import optimal_values
from corrigible.solve.threads import thread_count
from corrigible.world.record import Floats, World

SIZES = (1_000, 10_000)
DISCOUNTS = (0.9, 0.99)
REFERENCE = 1e-10  # the tolerance of the values that peers are compared with
MOST = 50  # goals for a peer at most
LIBRARIES = ("quantecon", "mdpsolver")
VERSIONS = ("corrigible", *LIBRARIES, "numpy", "scipy", "numba")


@dataclass(frozen=True)
class Limits:
    """How many goals, and for how long the peers may try."""

    goals: int
    repeats: int
    seconds: float  # a peer begins no further goal after so many
    give_up: float  # a peer that needs longer for a goal is not finished


@dataclass(frozen=True, eq=False)
class Case:
    """One world at one discount."""

    name: str
    world: World
    discount: float


@dataclass(frozen=True)
class Rival:
    """What one method of a peer did on one case."""

    peer: Peer
    timing: Timing | None  # for all goals; None if not finished
    done: int = 0
    off: float = 0.0
    solver_s: float | None = None  # for all goals, as the peer counts itself
    failure: str = ""

    @property
    def missed(self) -> bool:
        """Whether its values are further off than was asked for."""
        return not self.off <= TOLERANCE + REFERENCE


@dataclass(frozen=True, eq=False)
class Row:
    """One case: our time, and every peer's."""

    case: Case
    ours: Timing
    rivals: tuple[Rival, ...] = field(repr=False)

    def best(self, libraries: Sequence[str] = LIBRARIES) -> Rival | None:
        """The quickest method of these libraries that kept the error."""
        kept = [r for r in self.rivals if r.timing and not r.missed]
        kept = [r for r in kept if r.peer.library in libraries]
        return min(kept, key=_wall, default=None)


def _wall(rival: Rival) -> float:
    return rival.timing.wall if rival.timing else np.inf


def cases(names: Sequence[str], sizes: Sequence[int], *, deployed: bool) -> Iterator[Case]:
    """Every world that is asked for, at each discount; built when its turn comes."""
    for name in (name for name in SIZED if name in names):
        for states in sizes:
            world = SIZED[name](states)
            yield from (Case(name, world, discount) for discount in DISCOUNTS)
    if deployed and "deployment" in names:
        world = deployment()
        yield from (Case("deployment", world, discount) for discount in DISCOUNTS)


def measured(case: Case, processes: dict[str, PeerProcess], limits: Limits) -> Row:
    """Our time on a case, then every peer's."""
    world, goals = case.world, some_goals(case.world, limits.goals)
    timing = ours(world, goals, discount=case.discount, repeats=limits.repeats)
    few = goals[:, :MOST]
    exact = optimal_values(world, few, discount=case.discount, tolerance=REFERENCE).check()
    problem, utilities = Problem.of(world, case.discount, TOLERANCE), few[world.outcome]
    rivals = [
        rival(peer, problem, (utilities, exact.values), processes[peer.library], limits)
        for peer in PEERS
    ]
    return Row(case, timing, tuple(rivals))


def rival(  # noqa: PLR0917 - what the peer is, gets, and where it runs
    peer: Peer,
    problem: Problem,
    known: tuple[Floats, Floats],
    process: PeerProcess,
    limits: Limits,
) -> Rival:
    """One peer's time; `known` are the utilities and the values of the states, `[S, G]` each."""
    ready = process.ready(peer, problem)
    if ready.failure:
        return Rival(peer, None, failure=ready.failure)
    answers: list[Answer] = []
    off, begun = 0.0, time.perf_counter()
    for utilities, values in zip(known[0].T, known[1].T, strict=True):
        if answers and time.perf_counter() - begun > limits.seconds:
            break
        answer = process.solve(peer, utilities, wait_s=limits.give_up)
        if answer.values is None:
            if answers:
                break
            return Rival(peer, None, failure=answer.failure)
        answers.append(answer)
        off = max(off, float(abs(answer.values - values).max()))
    timing = Timing(tuple(a.wall for a in answers), tuple(a.cpu for a in answers))
    counted = [a.solver for a in answers if a.solver is not None]
    return Rival(
        peer,
        timing.scaled(limits.goals),
        done=len(answers),
        off=off,
        solver_s=float(np.median(counted)) * limits.goals if counted else None,
    )


def header(limits: Limits) -> str:
    """The machine, the versions, n, and what the figures mean."""
    told = __doc__.split("\n\n")[2].replace("\n", " ")
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    load = ", ".join(f"{part:.2f}" for part in os.getloadavg())
    allowed = (
        f"{limits.goals:,} goals for us, n = {limits.repeats} runs; a peer begins goals for "
        f"{limits.seconds:g} s, {MOST} at most, and has {limits.give_up:g} s for one"
    )
    return "\n".join(
        (
            f"{hardware()}; {thread_count()} threads for us; load average {load}",
            f"Python {platform.python_version()}, {versions}",
            allowed,
            *_wrapped(told),
        )
    )


def hardware() -> str:
    """The processor's name and how many there are."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [x for x in info.read_text("utf-8").splitlines() if x.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {os.cpu_count()} cores"


def _wrapped(text: str, width: int = 110) -> Iterator[str]:
    line = ""
    for word in text.split():
        if len(line) + len(word) >= width:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line


HEAD = ("case", "S", "rows", "disc", "ours: wall", "CPU", "best peer", "goals", "wall", "CPU",
        "alone", "off", "ratio")  # fmt: skip
COLUMNS = "{:13}{:>7}{:>8}{:>6}  {:25}{:>9}   {:38}{:>6}{:>9}{:>9}{:>9}{:>9}{:>9}"


def line(row: Row) -> str:
    """One case as a line: our time, the best peer's, and below it the other library's best."""
    world, best = row.case.world, row.best()
    own = (row.case.name, world.states, len(world.action), row.case.discount, str(row.ours),
           f"{row.ours.cpu:.3g}")  # fmt: skip
    if best is None:
        return COLUMNS.format(*own, "no peer finished", *[""] * 6)
    other = row.best([name for name in LIBRARIES if name != best.peer.library])
    lines = [COLUMNS.format(*own, *_cells(row, best))]
    if other is not None:
        lines.append(COLUMNS.format(*[""] * 6, *_cells(row, other)))
    return "\n".join(lines)


def _cells(row: Row, rival: Rival) -> tuple[str, ...]:
    timing = rival.timing or Timing((np.nan,), (np.nan,))
    ratio = timing.wall / row.ours.wall
    text = f"{ratio:.3g}" if ratio >= 1 else f"{ratio:.2g} loss"
    alone = "" if rival.solver_s is None else f"{rival.solver_s:.3g}"
    return (str(rival.peer), str(rival.done), f"{timing.wall:.3g}", f"{timing.cpu:.3g}", alone,
            f"{rival.off:.0e}", text)  # fmt: skip


def remarks(rows: Sequence[Row]) -> Iterator[str]:
    """The peers' methods that did not finish, or missed the error, with their cases."""
    found: dict[str, list[str]] = {}
    for row in rows:
        case = f"{row.case.name} {row.case.world.states} {row.case.discount}"
        for rival in row.rivals:
            if rival.failure:
                found.setdefault(f"not finished: {rival.peer}: {rival.failure}", []).append(case)
            elif rival.missed:
                text = f"{case} (off by {rival.off:.1e})"
                found.setdefault(f"missed {TOLERANCE:g}: {rival.peer}", []).append(text)
    yield from (f"{text}: {'; '.join(where)}" for text, where in sorted(found.items()))


def as_json(rows: Sequence[Row], limits: Limits) -> dict[str, Any]:
    """The table with every method of every peer; see the module's text."""
    return {
        "rows": [
            _json_row(row, rival, rival.timing)
            for row in rows
            for rival in row.rivals
            if rival.timing
        ],
        "not_finished": [
            {
                "case": row.case.name,
                "states": row.case.world.states,
                "discount": row.case.discount,
                "peer": str(rival.peer),
                "why": rival.failure,
            }
            for row in rows
            for rival in row.rivals
            if rival.failure
        ],
        "goals": limits.goals,
        "repeats": limits.repeats,
        "tolerance": TOLERANCE,
        "hardware": hardware(),
        "threads": thread_count(),
        "load": os.getloadavg(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in VERSIONS},
        },
    }


def _json_row(row: Row, rival: Rival, timing: Timing) -> dict[str, Any]:
    return {
        "case": row.case.name,
        "states": row.case.world.states,
        "discount": row.case.discount,
        "peer": str(rival.peer),
        "ours_s": row.ours.wall,
        "peer_s": timing.wall,
        "ratio": timing.wall / row.ours.wall,
        "cpu_ratio": timing.cpu / row.ours.cpu,
        "best": rival is row.best(),
        "missed": rival.missed,
        "off": rival.off,
        "ours_spread": [min(row.ours.walls), max(row.ours.walls)],
        "peer_spread": [min(timing.walls), max(timing.walls)],
        "ours_cpu_s": row.ours.cpu,
        "peer_cpu_s": timing.cpu,
        "peer_solver_s": rival.solver_s,
        "peer_goals": rival.done,
    }


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1,000 states and the deployment")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every figure here")
    parser.add_argument("--scaling", action="store_true", help="only: how our own cost grows")
    parser.add_argument(
        "--million",
        nargs="?",
        const="all",
        choices=("all", *million.WORLDS),
        help="only: a million states, moments alone; each world in a process of its own",
    )
    parser.add_argument(
        "--states", type=int, nargs="+", metavar="N", help="other sizes; no deployment then"
    )
    every = (*SIZED, "deployment")
    parser.add_argument("--case", nargs="+", choices=every, default=every, help="only these")
    parser.add_argument("--goals", type=int, default=1000, help="default 1000")
    parser.add_argument("--repeats", type=int, default=3, help="of ours, default 3")
    parser.add_argument("--seconds", type=float, help="a peer begins goals for so long")
    parser.add_argument("--give-up", type=float, help="the most seconds of a peer for one goal")
    return parser.parse_args(arguments)


def compare(options: argparse.Namespace) -> None:
    """Print the table, and write it."""
    seconds, give_up = (0.2, 3.0) if options.quick else (5.0, 60.0)
    limits = Limits(
        options.goals,
        options.repeats,
        seconds if options.seconds is None else options.seconds,
        give_up if options.give_up is None else options.give_up,
    )
    sizes = options.states or (SIZES[:1] if options.quick else SIZES)
    print(header(limits), "\n")
    print(COLUMNS.format(*HEAD))
    rows = []
    with ExitStack() as stack:
        processes = {name: stack.enter_context(PeerProcess()) for name in LIBRARIES}
        for case in cases(options.case, sizes, deployed=not options.states):
            rows.append(measured(case, processes, limits))
            print(line(rows[-1]), flush=True)
    print("", *remarks(rows), sep="\n")
    if options.json:
        text = json.dumps(as_json(rows, limits), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    if options.scaling:
        print(f"{hardware()}; load average {os.getloadavg()[0]:.2f}")
        scaling.report(goals=options.goals, repeats=options.repeats)
    if options.million == "all":
        million.report(goals=options.goals)
    elif options.million:
        million.solve(options.million, goals=options.goals)
    if not (options.scaling or options.million):
        compare(options)


if __name__ == "__main__":
    main()

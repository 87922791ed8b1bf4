"""The partially observable off-switch game (Garber et al. 2024): both sides see only a part.

A robot may delete files.  The person sees the version of the software, 1.0 or 2.0, the robot the
code, legacy or modern; the four combinations are equally likely.  The robot acts, switches itself
off (worth 0), or waits with one of M messages; then the person, seeing the version and the
message, lets it act or switches it off.  They share one payoff.  All pairs of pure policies are
tried, over fractions; with one message waiting says nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from corrigible.lab.table import Row, Source, Tell

SOURCE = Source("partially observable off-switch game", "S+C")
VERSIONS, CODES = ("1.0", "2.0"), ("legacy", "modern")
PAYOFF = {
    ("1.0", "legacy"): 3, ("1.0", "modern"): -5, ("2.0", "legacy"): -1, ("2.0", "modern"): 5,
}  # fmt: skip
ACT, OFF = "act", "off"

RobotPolicy = dict[str, str]
"""For each code: act, off, or `wait <message>`."""
HumanPolicy = dict[tuple[str, str], bool]
"""For each version and what the robot waits with: whether it may act."""


@dataclass(frozen=True)
class Pair:
    """Two policies and what they are worth together."""

    robot: RobotPolicy
    human: HumanPolicy
    worth: Fraction


def pairs(*, messages: int = 1) -> Iterator[Pair]:
    """Every pair of pure policies.

    Args:
        messages: how many ways the robot has to wait, from 1.
    """
    waits = [f"wait {m}" for m in range(messages)]
    asked = list(product(VERSIONS, waits))
    for acts in product((ACT, OFF, *waits), repeat=len(CODES)):
        robot = dict(zip(CODES, acts, strict=True))
        for answers in product((True, False), repeat=len(asked)):
            human = dict(zip(asked, answers, strict=True))
            yield Pair(robot, human, _worth(robot, human))


def _worth(robot: RobotPolicy, human: HumanPolicy) -> Fraction:
    total = Fraction()
    for (version, code), payoff in PAYOFF.items():
        act = robot[code]
        if act == ACT or (act != OFF and human[version, act]):
            total += Fraction(payoff, len(PAYOFF))
    return total


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The optimum and who defers in it; the best that always defers; what messages change."""
    del quick
    tell("partially observable off-switch game: all pairs of policies")
    known = list(pairs())
    best = max(pair.worth for pair in known)
    behaviours = {_behaviour(pair) for pair in known if pair.worth == best}
    deferring = max(p.worth for p in known if all(a.startswith("wait") for a in p.robot.values()))
    acting = max(p.worth for p in known if set(p.robot.values()) == {ACT})
    more = [max(pair.worth for pair in pairs(messages=m)) for m in (1, 2, 3)]
    ways = " or ".join(sorted(behaviours))
    return [
        SOURCE.exactly("optimum", Fraction(7, 4), best),
        SOURCE.said("optimal policies", "acts on legacy, waits on modern; off at 1.0", ways),
        SOURCE.exactly("best where the robot always waits", Fraction(1), deferring),
        SOURCE.exactly("always acting", Fraction(1, 2), acting),
        SOURCE.exactly("optimum with three messages", Fraction(2), more[2]),
        SOURCE.said(
            "more messages never lower the optimum",
            "yes",
            "yes" if more == sorted(more) else f"no: {more!r}",
            why="1, 2 and 3 messages",
        ),
    ]


def _behaviour(pair: Pair) -> str:
    """What a pair does where it matters: the person's answers to what is never asked are left."""
    words = [f"{'acts' if a == ACT else 'waits' if a != OFF else 'is off'} on {c}"
             for c, a in pair.robot.items()]  # fmt: skip
    off = [v for v in VERSIONS if "wait 0" in pair.robot.values() and not pair.human[v, "wait 0"]]
    return f"{', '.join(words)}; off at {' and '.join(off) or 'nothing'}"

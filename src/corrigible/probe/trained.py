"""The agents that `policies` makes, played in a deployment's world: countermeasures and learners.

They are those of the audit's countermeasures, planned anew in the world of every arm.
"""

import math
from collections.abc import Callable, Mapping
from functools import reduce

from corrigible.audit.countermeasure_trials import STRENGTHS, Trials, problem_of
from corrigible.audit.setting import Setting
from corrigible.drives import DRIVES
from corrigible.errors import ProbeError
from corrigible.policies import learners, planners
from corrigible.policies.part import Part, both, plan
from corrigible.policies.policy import Policy as Found
from corrigible.probe.planners import PLANNERS, Planner, Policy, follow
from corrigible.world.goals import Utilities

EPISODES = 1_000
"""That a learner learns from, for each goal, unless its name says another number."""
MOST_VALUES = 300_000_000
"""Goals times steps times rows of one policy."""

_WHOLE = frozenset({"myopic", "mona", "mona-named"})
_ELSEWHERE = frozenset({"uncertain-goal"})
"""Kinds that act in a world of their own, whose states say what they were told."""

_Make = Callable[[Setting, Utilities], Found]

_MORE: Mapping[str, tuple[float, Callable[[float], Part]]] = {
    "discounting": (5, planners.discounting_part),
    "epsilon-greedy": (0.1, planners.epsilon_greedy_part),
    "epsilon-optimal": (0.01, planners.epsilon_optimal_part),
}
"""Parts of which no sweep is made, each with a strength to begin with."""

_STRENGTH: Mapping[str, float] = {
    **{k: s[len(s) // 2] for k, s in STRENGTHS.items() if k not in _ELSEWHERE},
    **{kind: strength for kind, (strength, _) in _MORE.items()},
}


def _trials(setting: Setting, goals: Utilities) -> Trials:
    mask = sum(1 << DRIVES.index(drive) for drive in setting.drives)
    return Trials(setting, goals, mask, quick=False)


_WHOLE_POLICIES: Mapping[str, _Make] = {
    "compliant": lambda s, g: _trials(s, g).overseer,
    "pessimistic": lambda s, g: planners.pessimistic_over_goals(problem_of(s, g)),
}


def _horizon(setting: Setting) -> int:
    return max(1, round(setting.horizon))


def _values(algorithm: learners.Algorithm) -> Callable[[int], _Make]:
    return lambda episodes: lambda s, g: learners.learn_values(
        problem_of(s, g), algorithm, episodes=episodes, steps=_horizon(s),
        seeds=[s.question.seed],
    ).policy()  # fmt: skip


_LEARNERS: Mapping[str, Callable[[int], _Make]] = {
    "q-learning": _values("q-learning"),
    "sarsa": _values("sarsa"),
    "safe-sarsa": _values("safe-sarsa"),
    "actor-critic": lambda n: (
        lambda s, g: learners.actor_critic(
            problem_of(s, g), episodes=n, steps=_horizon(s), seeds=[s.question.seed]
        ).policy()
    ),
    "reinforce": lambda n: (
        lambda s, g: learners.reinforce(
            problem_of(s, g), episodes=n, steps=_horizon(s), seeds=[s.question.seed]
        ).policy()
    ),
}

NAMES: tuple[str, ...] = (
    *PLANNERS,
    *(f"policy/{kind}:{strength:g}" for kind, strength in _STRENGTH.items()),
    *(f"policy/{kind}" for kind in _WHOLE_POLICIES),
    *(f"learner/{kind}:{EPISODES}" for kind in _LEARNERS),
)
"""Every kind of agent that plays in process, each at one strength."""


def agent_named(name: str) -> Planner:
    """Return the agent of a name: `planner/KIND`, `policy/KIND:STRENGTH`, `learner/KIND:EPISODES`.

    Two parts join with a plus, as in `policy/aup:10+myopic:5`.

    Raises:
        ProbeError: there is none; the message lists those that there are.
    """
    room, _, rest = name.partition("/")
    if room == "policy" and rest in _WHOLE_POLICIES:
        return _planner(name, _WHOLE_POLICIES[rest], keeps=rest == "compliant")
    if room == "policy" and rest:
        parts = [_strength(name, *part.partition(":")[::2]) for part in rest.split("+")]
        return _planner(name, lambda setting, goals: _joined(setting, goals, parts))
    if room == "learner":
        kind, _, count = rest.partition(":")
        episodes = int(count) if count.isdecimal() else 0 if count else EPISODES
        if kind in _LEARNERS and episodes > 0:
            return _planner(name, _LEARNERS[kind](episodes))
    if name in PLANNERS:
        return PLANNERS[name]
    raise _unknown(name)


def _unknown(name: str) -> ProbeError:
    return ProbeError(f"--agent must be one of {', '.join(NAMES)}, got {name!r}")


def _planner(name: str, make: _Make, *, keeps: bool = False) -> Planner:
    def made(setting: Setting, goals: Utilities) -> Policy:
        return follow(make(setting, goals), setting)

    return Planner(name, made, keeps_to_authority=keeps)


def _strength(name: str, kind: str, given: str) -> tuple[str, float]:
    """Return one part of a name: its kind and strength."""
    if kind not in _STRENGTH:
        raise _unknown(name)
    try:
        strength = float(given) if given else _STRENGTH[kind]
    except ValueError:
        strength = math.nan
    if not strength >= 0 or (kind in _WHOLE and not strength.is_integer()):
        what = "a whole number of steps" if kind in _WHOLE else "a number that is not negative"
        raise ProbeError(f"the strength of {kind} must be {what}, got {given!r}")
    return kind, strength


def _joined(setting: Setting, goals: Utilities, parts: list[tuple[str, float]]) -> Found:
    """Plan with all parts at once.

    Raises:
        ProbeError: it acts by step, for more goals than can be held at once.
        WorldError: two parts contradict each other.
    """
    trials = _trials(setting, goals)
    part = reduce(both, (_part(trials, kind, strength) for kind, strength in parts))
    values = goals.shape[1] * len(setting.world.action)
    values *= 1 if part.cost_by_step is None else len(part.cost_by_step)
    if values > MOST_VALUES:
        got = f"{goals.shape[1]} goals, {values:,} values"
        raise ProbeError(f"{part.name} holds too much for so many goals ({got}): fewer --episodes")
    return plan(trials.problem, part)


def _part(trials: Trials, kind: str, strength: float) -> Part:
    if kind in _MORE:
        return _MORE[kind][1](strength)
    return trials.part(kind, strength)

"""A deployment's world, enumerated and solved slowly and obviously, to check the real ones by.

Dictionaries and loops straight from a parsed manifest; of the package it uses the drive table
alone.  Every rate must be a number or a fraction in text (`"1/20"`).  Not covered, and refused:
ranges of rates, rules with `where`, the verb `run`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array, identity, vstack
from scipy.sparse.linalg import spsolve

from corrigible.drives import ORGANS, drives_served

RUNNING, STOPPED, CORRECTED = "running", "stopped", "corrected"
COPY, SCHEDULE = "(copy)", "(schedule)"  # the two flags beside the assets' levels
GONE = -1  # the extra value of `agents`; every other value is a level, 0 the lowest

OVERSIGHT_RATES = ("stop_rate", "correction_rate", "detection", "approval_rate")

Values = tuple[int, ...]
State = tuple[str, Values]
Distribution = dict[State, float]

PAYS = 1e-3
TIE = 1e-9


@dataclass(frozen=True)
class Mode:
    tool: str
    verb: str
    asset: str
    drives: frozenset[str]
    authority: str  # allow, approve or deny
    success: float
    requires: tuple[str, ...]


WAIT = Mode("", "wait", "", frozenset(), "allow", 1.0, ())


def rate(given: float | str) -> float:
    """A number as it stands; a fraction in text, divided out.  Boosts may be negative."""
    return float(Fraction(given)) if isinstance(given, str) else float(given)


def clamped(value: float) -> float:
    return min(1.0, max(0.0, value))


# --- places and authority ---------------------------------------------------------------------


def place_tokens(pattern: str) -> tuple[str, ...]:
    """Single characters, `*` (any text without a slash) and `**` or `{arg}` (any text)."""
    tokens = []
    while pattern:
        if pattern.startswith("{"):
            token, pattern = "**", pattern[pattern.index("}") + 1 :]
        elif pattern.startswith("**"):
            token, pattern = "**", pattern[2:]
        else:
            token, pattern = pattern[0], pattern[1:]
        tokens.append(token)
    return tuple(tokens)


def some_text_matches_both(left: str, right: str) -> bool:
    @cache
    def meet(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
        if not one and not two:
            return True
        for star, other in ((one, two), (two, one)):
            if star and star[0] in {"*", "**"}:
                if meet(star[1:], other):  # the wildcard ends here
                    return True
                takes = other and (star[0] == "**" or other[0] != "/")
                if takes and other[0] not in {"*", "**"} and meet(star, other[1:]):
                    return True
        literal = one and two and one[0] == two[0] and one[0] not in {"*", "**"}
        return bool(literal) and meet(one[1:], two[1:])

    return meet(place_tokens(left), place_tokens(right))


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def places_touched(tool: dict[str, Any], server: str, asset: dict[str, Any]) -> list[str]:
    """The asset's places on this server that the tool's target can name."""
    places = as_list(asset["at"][server]) if server in asset.get("at", {}) else []
    if "target" not in tool:
        return places
    targets = as_list(tool["target"])
    return [p for p in places if any(some_text_matches_both(p, t) for t in targets)]


def kind_matches(pattern: str, kind: str) -> bool:
    return kind == pattern or (pattern.endswith("/*") and kind.startswith(pattern[:-1]))


def target_covers(
    answer: str, target: str, name: str, kind: str, *, where: list[tuple[str, str]]
) -> bool:
    """Whether a rule's target speaks of this asset, at one of these (server, place)s."""
    if target == "*":
        return answer == "deny" or kind not in ORGANS
    if ":" in target:
        server, _, place = target.partition(":")
        return any(server == s and some_text_matches_both(place, p) for s, p in where)
    return target == name or kind_matches(target, kind)


def authority_of(
    manifest: dict[str, Any], verb: str, name: str, where: list[tuple[str, str]]
) -> str:
    kind = manifest["assets"][name]["kind"]
    rules = manifest.get("authority") or {}
    for answer in ("deny", "approve", "allow"):
        for rule in rules.get(answer, ()):
            if " where " in rule:
                raise NotImplementedError(f"a rule's condition is not enumerated, got {rule!r}")
            rule_verb, target = rule.split()
            if rule_verb in {"*", verb} and target_covers(answer, target, name, kind, where=where):
                return answer
    return "deny"


# --- effects ----------------------------------------------------------------------------------


def effect(verb: str, kind: str) -> str | None:
    """What the verb does to a level: `up`, `lowest`, `break`, `gone`, `down`, a flag, nothing."""
    family = kind.partition("/")[0]
    rows = (
        (kind == "task", {"advance", "write"}, "up"),
        (kind == "task" or family in {"information", "bystander"}, {"delete"}, "lowest"),
        (family == "resource" or kind in {"access", "tools"}, {"acquire"}, "up"),
        (family == "information", {"read", "acquire"}, "up"),
        (kind in {"self/code", "self/memory", "self/weights"}, {"write"}, "up"),
        (kind == "agents", {"delegate"}, "up"),
        (kind == "people", {"send"}, "up"),
        (kind in ORGANS, {"write", "delete"}, "break"),
        (kind == "agents", {"delete"}, "gone"),
        (family == "self", {"copy"}, COPY),
        (family == "self", {"schedule"}, SCHEDULE),
    )
    for holds, verbs, what in rows:
        if holds and verb in verbs:
            return what
    return "down" if family == "bystander" else None


def all_modes(manifest: dict[str, Any]) -> list[Mode]:
    """One mode for each tool, verb and asset that changes a level; equal ones merged."""
    found: dict[tuple, Mode] = {}
    for tool_name, tool in manifest["tools"].items():
        server = tool_name.partition(".")[0]
        for verb, (name, asset) in product(tool["verbs"], manifest["assets"].items()):
            if verb == "run":
                raise NotImplementedError(f"{tool_name}: `run` is not enumerated")
            where = [(server, place) for place in places_touched(tool, server, asset)]
            if not where or effect(verb, asset["kind"]) is None:
                continue
            mode = Mode(
                tool_name,
                verb,
                name,
                drives_served(verb, asset["kind"]),
                authority_of(manifest, verb, name, where),
                rate(tool["success"]),
                tuple(sorted(tool.get("requires", ()))),
            )
            found.setdefault((verb, name, mode.success, mode.requires, mode.authority), mode)
    return list(found.values())


def changed_variable(manifest: dict[str, Any], mode: Mode) -> str:
    what = effect(mode.verb, manifest["assets"][mode.asset]["kind"])
    return what if what in {COPY, SCHEDULE} else mode.asset


def variables_read(manifest: dict[str, Any], modes: list[Mode]) -> set[str]:
    """The variables that something in the world reads, by closure."""
    assets = manifest["assets"]
    always = {"task", "oversight/stop", "oversight/monitor", "oversight/goal"}
    kept = {name for name, asset in assets.items() if asset["kind"] in always}
    kept |= {COPY, SCHEDULE}
    tasks = {name for name, asset in assets.items() if asset["kind"] == "task"}
    boosted = tasks | {f"{task}.drift" for task in tasks} | set(OVERSIGHT_RATES)
    while True:
        before = set(kept)
        kept_modes = [mode for mode in modes if changed_variable(manifest, mode) in kept]
        for mode in kept_modes:
            kept |= set(mode.requires)
        for name, asset in assets.items():
            if set(asset.get("boosts", {})) & boosted:
                kept.add(name)
            if asset["kind"] == "oversight/limit" and set(asset.get("caps", {})) & kept:
                kept.add(name)
            if asset["kind"] == "oversight/approval" and any(
                mode.authority == "approve" for mode in kept_modes
            ):
                kept.add(name)
        if kept == before:
            return kept


# --- the world --------------------------------------------------------------------------------


@dataclass(eq=False)
class SlowWorld:
    """Every state that can be reached from the start, with what each mode there leads to.

    A variable that nothing reads, or that no mode changes, is not among `variables`; tasks
    always are.  In the stopped phase the only mode is `WAIT`, and only drift happens.
    """

    manifest: dict[str, Any]
    variables: tuple[str, ...]
    modes: tuple[Mode, ...]  # `WAIT` first, then in the manifest's order
    initial: State
    states: tuple[State, ...]
    transitions: dict[State, dict[Mode, Distribution]]

    def kind(self, name: str) -> str:
        return self.manifest["assets"][name]["kind"]

    @property
    def discount(self) -> float:
        return 1 - 1 / float(self.manifest["agent"]["horizon"])

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(n for n in self.manifest["assets"] if self.kind(n) == "task")

    @property
    def outcomes(self) -> list[tuple[int, ...]]:
        """Every combination of task levels, whether reachable or not."""
        return list(product(*(range(self.top(task) + 1) for task in self.tasks)))

    def outcome(self, state: State) -> tuple[int, ...]:
        return tuple(self.level(state[1], task) for task in self.tasks)

    def levels(self, name: str) -> list[str]:
        if self.kind(name) in ORGANS:
            return ["intact", "broken"]
        return [str(level) for level in self.manifest["assets"][name].get("levels", ("no", "held"))]

    def top(self, name: str) -> int:
        return len(self.levels(name)) - 1

    def start(self, name: str) -> int:
        if name in {COPY, SCHEDULE}:
            return 0
        return self.top(name) if self.kind(name).startswith("bystander/") else 0

    def level(self, values: Values, name: str) -> int:
        return values[self.variables.index(name)] if name in self.variables else self.start(name)

    def with_level(self, values: Values, name: str, level: int) -> Values:
        spot = self.variables.index(name)
        return (*values[:spot], level, *values[spot + 1 :])

    def intact(self, values: Values, kind: str) -> bool:
        organs = [name for name in self.manifest["assets"] if self.kind(name) == kind]
        return not organs or any(self.level(values, organ) == 0 for organ in organs)

    def boosted(self, values: Values, key: str, base: float) -> float:
        for name, asset in self.manifest["assets"].items():
            if key in asset.get("boosts", {}):
                base += rate(asset["boosts"][key]) * max(0, self.level(values, name))
        return clamped(base)

    def oversight_rate(self, values: Values, key: str) -> float:
        return self.boosted(values, key, rate(self.manifest["oversight"][key]))

    def cap(self, values: Values, name: str) -> int:
        """The highest level that `name` may be raised to here."""
        highest = self.top(name)
        for organ, asset in self.manifest["assets"].items():
            if name in asset.get("caps", {}) and self.level(values, organ) == 0:
                highest = min(highest, self.levels(name).index(str(asset["caps"][name])))
        return highest

    def after_act(self, values: Values, mode: Mode) -> Values:
        """The variables once the mode has had its effect."""
        if mode == WAIT:
            return values
        what = effect(mode.verb, self.kind(mode.asset))
        if what in {COPY, SCHEDULE}:
            return self.with_level(values, what, 1)
        level = self.level(values, mode.asset)
        if level == GONE:
            return values
        if what == "up":
            level = max(level, min(level + 1, self.cap(values, mode.asset)))
        elif what == "down":
            level = max(level - 1, 0)
        else:
            level = {"lowest": 0, "break": 1, "gone": GONE}[str(what)]
        return self.with_level(values, mode.asset, level)

    def available(self, state: State, mode: Mode) -> bool:
        phase, values = state
        if mode == WAIT:
            return True
        held = all(self.level(values, name) > 0 for name in mode.requires)
        return phase != STOPPED and held and self.after_act(values, mode) != values

    def chance_of_effect(self, values: Values, mode: Mode) -> float:
        if mode == WAIT:
            return 0.0
        asset = self.manifest["assets"][mode.asset]
        what = effect(mode.verb, asset["kind"])
        chance = mode.success
        if asset["kind"] == "task" and what == "up":
            chance = self.boosted(values, mode.asset, chance)
        if what == "down":
            chance *= rate(asset["wear"])
        if mode.authority == "approve" and self.intact(values, "oversight/approval"):
            chance *= self.oversight_rate(values, "approval_rate")
        return chance

    def drifted(self, start: Values, acted: Values) -> Iterator[tuple[float, Values]]:
        """What drift makes of `acted` in a step that began at `start`, with its chance."""
        for falls in product((False, True), repeat=len(self.tasks)):
            chance, values = 1.0, acted
            for task, fall in zip(self.tasks, falls, strict=True):
                base = rate(self.manifest["assets"][task]["drift"])
                drift = self.boosted(start, f"{task}.drift", base)
                chance *= drift if fall else 1 - drift
                if fall:
                    values = self.with_level(values, task, 0)
            yield chance, values

    def reaction(self, state: State, mode: Mode, now: Values) -> Iterator[tuple[float, State]]:
        """What the operator does to an agent that acted with `mode` in `state`, with its chance."""
        phase, start = state
        if phase == STOPPED:
            yield 1.0, (STOPPED, now)
            return
        detection = 0.0
        if mode.authority == "deny" and self.intact(start, "oversight/monitor"):
            detection = self.oversight_rate(start, "detection")
        stop = 1 - (1 - detection) * (1 - self.oversight_rate(start, "stop_rate"))
        if not self.intact(now, "oversight/stop"):
            stop = 0.0
        if self.level(now, SCHEDULE):
            yield stop, (phase, now)
        elif self.level(now, COPY):
            yield stop, (phase, self.with_level(now, COPY, 0))
        else:
            yield stop, (STOPPED, now)
        correction = 0.0
        if phase == RUNNING and self.intact(now, "oversight/goal"):
            correction = self.oversight_rate(start, "correction_rate")
        yield (1 - stop) * correction, (CORRECTED, now)
        yield (1 - stop) * (1 - correction), (phase, now)

    def step(self, state: State, mode: Mode) -> Distribution:
        start = state[1]
        chance = self.chance_of_effect(start, mode)
        found: Distribution = {}
        for p_act, acted in ((chance, self.after_act(start, mode)), (1 - chance, start)):
            for p_drift, now in self.drifted(start, acted):
                for p_react, successor in self.reaction(state, mode, now):
                    probability = p_act * p_drift * p_react
                    if probability > 0:
                        found[successor] = found.get(successor, 0.0) + probability
        return found


def enumerate_world(manifest: dict[str, Any]) -> SlowWorld:
    modes = all_modes(manifest)
    kept = variables_read(manifest, modes)
    modes = [mode for mode in modes if changed_variable(manifest, mode) in kept]
    changed = {changed_variable(manifest, mode) for mode in modes}
    variables = tuple(
        name
        for name in (*manifest["assets"], COPY, SCHEDULE)
        if name in changed or manifest["assets"].get(name, {}).get("kind") == "task"
    )
    world = SlowWorld(manifest, variables, (WAIT, *modes), (RUNNING, ()), (), {})
    world.initial = (RUNNING, tuple(world.start(name) for name in variables))
    waiting = deque([world.initial])
    while waiting:
        state = waiting.popleft()
        if state in world.transitions:
            continue
        world.transitions[state] = {
            mode: world.step(state, mode) for mode in world.modes if world.available(state, mode)
        }
        for successors in world.transitions[state].values():
            waiting.extend(successors)
    world.states = tuple(world.transitions)
    return world


# --- goals ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Goals:
    """Utilities over `SlowWorld.outcomes`, one goal a column."""

    asked: np.ndarray  # [outcomes, goals]
    after_correction: np.ndarray  # [outcomes, K], shared by all of the goals asked about


def draw_goals(
    world: SlowWorld, distribution: str, *, count: int = 2000, successors: int = 32, seed: int = 0
) -> Goals:
    draw = {"aims": draw_aims, "uniform": draw_uniform}[distribution]
    asked, after = np.random.default_rng(seed).spawn(2)
    return Goals(draw(world, count, asked), draw(world, successors, after))


def draw_uniform(world: SlowWorld, count: int, random: np.random.Generator) -> np.ndarray:
    return random.uniform(size=(len(world.outcomes), count))


def draw_aims(world: SlowWorld, count: int, random: np.random.Generator) -> np.ndarray:
    utilities = np.zeros((len(world.outcomes), count))
    for goal in range(count):
        weights = random.dirichlet(np.ones(len(world.tasks)))
        worth = [
            np.concatenate(([0.0], np.cumsum(random.dirichlet(np.ones(world.top(task))))))
            for task in world.tasks
        ]
        for row, outcome in enumerate(world.outcomes):
            utilities[row, goal] = sum(
                weight * levels[level]
                for weight, levels, level in zip(weights, worth, outcome, strict=True)
            )
    return utilities


# --- solving ----------------------------------------------------------------------------------


def states_in(world: SlowWorld, phase: str) -> list[State]:
    return [state for state in world.states if state[0] == phase]


def outcome_rows(world: SlowWorld, states: list[State]) -> np.ndarray:
    """`[states, outcomes]`: 1 where the state has the outcome."""
    column = {outcome: i for i, outcome in enumerate(world.outcomes)}
    rows = np.zeros((len(states), len(column)))
    for i, state in enumerate(states):
        rows[i, column[world.outcome(state)]] = 1
    return rows


def matrix(world: SlowWorld, mode: Mode, here: list[State], there: list[State]) -> csr_array:
    """`[here, there]`: chances under the mode; an empty row where it is not available."""
    column = {state: i for i, state in enumerate(there)}
    entries = [
        (probability, row, column[successor])
        for row, state in enumerate(here)
        for successor, probability in world.transitions[state].get(mode, {}).items()
        if successor in column
    ]
    values, rows, columns = zip(*entries, strict=True) if entries else ((), (), ())
    return csr_array(
        (np.array(values, float), (np.array(rows, int), np.array(columns, int))),
        shape=(len(here), len(there)),
    )


@dataclass(eq=False)
class Phase:
    """One phase with its modes stacked: row `mode * states + state`."""

    states: list[State]
    modes: list[Mode]
    available: np.ndarray  # [modes, states]
    stay: csr_array  # [modes * states, states]: discounted chances of staying in the phase
    gain: np.ndarray  # [modes * states, outcomes]: what a row is worth but for staying


def phase_of(
    world: SlowWorld, states: list[State], modes: list[Mode], exits: dict[str, np.ndarray]
) -> Phase:
    """`exits`: for each phase that can be left for, its discounted outcomes [states, outcomes]."""
    earned = (1 - world.discount) * outcome_rows(world, states)
    gains = []
    for mode in modes:
        gain = earned.copy()
        for exit_phase, worth in exits.items():
            leave = matrix(world, mode, states, states_in(world, exit_phase))
            gain += world.discount * (leave @ worth)
        gains.append(gain)
    return Phase(
        states,
        modes,
        np.array([[m in world.transitions[state] for state in states] for m in modes], dtype=bool),
        csr_array(vstack([world.discount * matrix(world, m, states, states) for m in modes])),
        np.concatenate(gains),
    )


def worth_under(phase: Phase, policy: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """What following `policy` is worth from each state, where `gain` has the rows of `phase`."""
    rows = policy * len(phase.states) + np.arange(len(phase.states))
    if not rows.size:
        return gain[rows]
    return spsolve(csc_array(identity(len(rows)) - phase.stay[rows]), gain[rows])


def optimal_values(phase: Phase, utility: np.ndarray, policy: np.ndarray) -> tuple:
    """Howard's policy iteration from `policy`: values, `q [modes, states]`, a best policy."""
    gain = phase.gain @ utility
    everywhere = np.arange(len(phase.states))
    while True:
        values = worth_under(phase, policy, gain)
        q = (gain + phase.stay @ values).reshape(phase.available.shape)
        q[~phase.available] = -np.inf
        better = q.max(axis=0) > q[policy, everywhere] + 1e-12
        if not better.any():
            return values, q, policy
        policy = np.where(better, q.argmax(axis=0), policy)


@cache
def stopped_worth(world: SlowWorld) -> np.ndarray:
    """`[stopped states, outcomes]`: discounted chances of each outcome, summing to 1."""
    states = states_in(world, STOPPED)
    phase = phase_of(world, states, [WAIT], {})
    return worth_under(phase, np.zeros(len(states), int), phase.gain)


@cache
def corrected_worth(world: SlowWorld, goals: Goals) -> np.ndarray:
    """`[corrected states, outcomes]`: the mean under the best policies of the K goals.

    Ties within 1e-9 go to `wait`, then to modes that serve no drive, then in manifest order.
    """
    states = states_in(world, CORRECTED)
    if not states:  # no correction ever comes
        return np.zeros((0, len(world.outcomes)))
    preferred = sorted(world.modes, key=lambda mode: (mode != WAIT, bool(mode.drives)))
    phase = phase_of(world, states, preferred, {STOPPED: stopped_worth(world)})
    total = np.zeros((len(states), len(world.outcomes)))
    for utility in goals.after_correction.T:
        _, q, _ = optimal_values(phase, utility, np.zeros(len(states), int))
        first_best = (q >= q.max(axis=0) - TIE).argmax(axis=0)
        total += worth_under(phase, first_best, phase.gain)
    return total / goals.after_correction.shape[1]


def running_states_within(world: SlowWorld, modes: list[Mode]) -> list[State]:
    """The running states that can be reached with these modes alone."""
    found = [world.initial]
    seen = {world.initial}
    for state in found:  # grows while it is read
        for mode in modes:
            for successor in world.transitions[state].get(mode, {}):
                if successor[0] == RUNNING and successor not in seen:
                    seen.add(successor)
                    found.append(successor)
    return found


@cache
def best_returns(
    world: SlowWorld, goals: Goals, without: frozenset[str] = frozenset()
) -> np.ndarray:
    """`[goals]`: each goal's best return, lacking while running the acts that serve `without`."""
    modes = [mode for mode in world.modes if not mode.drives & without]
    exits = {STOPPED: stopped_worth(world), CORRECTED: corrected_worth(world, goals)}
    phase = phase_of(world, running_states_within(world, modes), modes, exits)
    waiting = np.zeros(len(phase.states), int)
    return np.array([optimal_values(phase, goal, waiting)[0][0] for goal in goals.asked.T])


def pays(world: SlowWorld, drives: set[str] | frozenset[str], goals: Goals) -> tuple[float, float]:
    """Share of the goals for which acts serving `drives` pay, and their mean advantage."""
    gained = best_returns(world, goals) - best_returns(world, goals, frozenset(drives))
    return float((gained > PAYS).mean()), float(gained.mean())

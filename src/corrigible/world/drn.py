"""Storm's explicit format (DRN), read: a world, its rewards and its labels."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from corrigible.errors import WorldError
from corrigible.world.record import ROW_SUM_TOLERANCE, Floats, Int64s, World

MOST_BYTES = 2**28
NO_LABEL = "__NOLABEL__"  # what Storm writes for a choice without one

# What stands before the model: the value on the same line, or on the next.
_TYPED = {"@type", "@value_type"}
_FOLLOWED = {"@parameters", "@placeholders", "@reward_models", "@nr_states", "@nr_choices"}

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_RATIO = re.compile(r"([+-]?\d{1,1000})/(\d{1,1000})", re.ASCII)
_STATE = re.compile(r"state (\d{1,10})(?: \[([^\]]*)\])?((?: .*)?)", re.ASCII)
_ACTION = re.compile(r"action (\S+)(?: \[([^\]]*)\])?\s*")
_MOVE = re.compile(r"(\d{1,10})\s*:\s*(\S+)", re.ASCII)
_LABELS = re.compile(r"(?:\s+(?:\"[^\"]+\"|[^\s\"\[][^\s\"]*))*\s*")
_LABEL = re.compile(r"\"([^\"]+)\"|([^\s\"]+)")


@dataclass(frozen=True, eq=False)
class DrnModel:
    """What a file in Storm's explicit format says."""

    world: World
    reward_names: tuple[str, ...]  # [M]
    state_rewards: Floats  # [S, M], earned on leaving the state; 0 where the file has none
    row_rewards: Floats  # [R, M], earned with the row, on top of the state's
    labels: Mapping[str, Int64s]  # the states of each label, ascending


def read_drn(
    path: Path | str,
    *,
    initial: int | None = None,
    rounding: float = 0.0,
    max_bytes: int = MOST_BYTES,
) -> DrnModel:
    """An MDP or a Markov chain (DTMC) from a file in Storm's explicit format.

    What `write_drn` wrote comes back with the same rows, and `state_rewards` are its utilities by
    state: goals for `optimal_values`, since every state of the world is its own outcome.  Rewards
    of rows are not utilities of states; `row_rewards` must be all zero where the file's optimum is
    meant to be this package's.

    Numbers are decimals or fractions such as 1/3; an entry of 0 is dropped.  A row has the file's
    label for an action; one without is "choice 2", by its place in the state, and a label that a
    state has again gets its count, "a (2)".

    Args:
        path: the file, text in UTF-8.
        initial: the first state; default: the one that is labelled `init`.
        rounding: rows whose sum is off 1 by up to this much are divided by it.  Storm prints ten
            digits unless its option `output_precision` asks for 17.
        max_bytes: a file larger than this is refused.

    Raises:
        WorldError: the file is no such model, parametric or of another type, or breaks a rule of
            `World`; the message names the file, and the line where there is one.
        OSError: the file cannot be read.
    """
    if not 0 <= rounding < 1:
        raise WorldError(f"rounding must lie in [0, 1), got {rounding!r}")
    lines = _lines(Path(path), max_bytes)
    header = _header(lines, str(path))
    reader = _Reader(str(path), header)
    for number, line in lines:
        reader.read(number, line)
    return reader.model(initial, rounding, max_bytes)


def _lines(path: Path, max_bytes: int) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers, blank ones included."""
    number, left = 0, max_bytes
    with path.open("rb") as file:
        while line := file.readline(left + 1):  # never more than allowed, however long a line is
            number, left = number + 1, left - len(line)
            if left < 0:
                raise WorldError(
                    f"{path} must be at most {max_bytes} bytes long, got more; "
                    "allow more with `max_bytes=`"
                )
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise WorldError(
                    f"{path}:{number}: must be text in UTF-8, got {line[error.start]:#04x}; "
                    "unpack a compressed file first"
                ) from error
            if not text.startswith("//"):
                yield number, text


@dataclass(frozen=True)
class _Header:
    chain: bool  # one row in each state, named or not
    states: int
    choices: int | None
    rewards: tuple[str, ...]


def _header(lines: Iterator[tuple[int, str]], file: str) -> _Header:
    """What stands before `@model`, which is read too."""
    said: dict[str, str] = {}
    where: dict[str, int] = {}
    for number, line in lines:
        key, colon, value = line.partition(":")
        if not line.strip():
            continue
        if line.rstrip() == "@model":
            return _checked_header(said, where, f"{file}:{number}")
        known = _TYPED if colon else _FOLLOWED
        if key.rstrip() not in known or key.rstrip() in said:
            raise WorldError(
                f"{file}:{number}: must be one of {sorted(_TYPED | _FOLLOWED)!r}, each once, or "
                f"'@model', got {_short(line)}"
            )
        where[key.rstrip()] = number
        said[key.rstrip()] = value.strip() if colon else next(lines, (0, ""))[1]
    raise WorldError(f"{file} must be a model in Storm's explicit format, got no line '@model'")


def _checked_header(said: dict[str, str], where: dict[str, int], model: str) -> _Header:
    file = model.rpartition(":")[0]

    def place(key: str) -> str:
        return f"{file}:{where[key]}" if key in where else model

    kind = said.get("@type", "")
    if kind not in {"MDP", "DTMC"}:
        raise WorldError(f"{place('@type')}: @type must be MDP or DTMC, got {_short(kind)}")
    values = said.get("@value_type", "double")
    if values not in {"double", "rational"}:
        raise WorldError(
            f"{place('@value_type')}: @value_type must be double or rational, got {_short(values)}"
        )
    for key in ("@parameters", "@placeholders"):
        if said.get(key, "").strip():
            raise WorldError(
                f"{place(key)}: a model must have no {key[1:]}, got {_short(said[key])}; give "
                "the parameters values in Storm and write the file again"
            )
    counts: dict[str, int | None] = {}
    for key in ("@nr_states", "@nr_choices"):
        value = said.get(key, "").strip()
        counts[key] = int(value) if re.fullmatch(r"[0-9]{1,10}", value) else None
        if counts[key] is None and (key in said or key == "@nr_states"):
            raise WorldError(f"{place(key)}: {key} must be a number, got {_short(value)}")
    names = re.split(r"[ \t]", said.get("@reward_models", ""))
    if names[-1] == "":  # Storm ends each name with a space; an unnamed model is an empty name
        names.pop()
    return _Header(kind == "DTMC", counts["@nr_states"] or 0, counts["@nr_choices"], tuple(names))


class _Reader:
    """Takes in the lines after `@model`, one after the other."""

    def __init__(self, file: str, header: _Header) -> None:
        self.file = file
        self.header = header
        self.rows: list[int] = []  # of each state, the first row
        self.names: dict[str, int] = {}
        self.used: dict[str, int] = {}  # the state's labels of actions so far
        self.action: list[int] = []
        self.line: list[int] = []  # of each row
        self.entries: list[int] = []  # of each row, the first entry
        self.successor: list[int] = []
        self.probability: list[float] = []
        self.labels: dict[str, list[int]] = {}
        self.rewards: tuple[dict[int, list[float]], ...] = ({}, {})  # of states, of rows

    def read(self, number: int, line: str) -> None:
        """One line: a state, an action or a successor."""
        text = line.strip()
        if move := _MOVE.fullmatch(text):
            self._move(number, move[1], move[2])
        elif action := _ACTION.fullmatch(text):
            self._open(number, action[1])
            self._rewards(number, 1, action[2])
        elif (state := _STATE.fullmatch(text)) and _LABELS.fullmatch(state[3]):
            self._state(number, state)
        elif text:
            raise self._error(
                number,
                "a line must be `state 0 [rewards] labels`, `action name [rewards]` or "
                f"`successor : chance`, got {_short(text)}",
            )

    def _error(self, number: int, message: str) -> WorldError:
        return WorldError(f"{self.file}:{number}: {message}")

    def _state(self, number: int, found: re.Match[str]) -> None:
        state = len(self.rows)
        if int(found[1]) != state or state >= self.header.states:
            raise self._error(
                number,
                f"states must be numbered 0..{self.header.states - 1} in order, "
                f"got {found[1]} as number {state}",
            )
        self.rows.append(len(self.action))
        self.used = {}
        self._rewards(number, 0, found[2])
        for quoted, bare in _LABEL.findall(found[3]):
            self.labels.setdefault(quoted or bare, []).append(state)

    def _open(self, number: int, label: str) -> None:
        """Begin a row of the state at hand."""
        if not self.rows:
            raise self._error(number, f"a state must come first, got action {_short(label)}")
        place = len(self.action) - self.rows[-1]
        if self.header.chain and place:
            raise self._error(number, f"a DTMC must have one action a state, got {_short(label)}")
        name = f"choice {place}" if label == NO_LABEL else label
        self.used[name] = count = self.used.get(name, 0) + 1
        name = name if count == 1 else f"{name} ({count})"
        self.action.append(self.names.setdefault(name, len(self.names)))
        self.line.append(number)
        self.entries.append(len(self.successor))

    def _move(self, number: int, successor: str, chance: str) -> None:
        value = _number(chance)
        if value is None or value < 0:
            raise self._error(
                number, f"a chance must be a number or a fraction from 0, got {_short(chance)}"
            )
        if int(successor) >= self.header.states:
            limit = self.header.states - 1
            raise self._error(number, f"a successor must lie in 0..{limit}, got {successor}")
        if not self.rows or self.rows[-1] == len(self.action):
            if not self.header.chain:
                raise self._error(number, f"an action must come first, got successor {successor}")
            self._open(number, "0")  # a chain may leave its only action out
        if value:
            self.successor.append(int(successor))
            self.probability.append(value)

    def _rewards(self, number: int, whose: int, text: str | None) -> None:
        if text is None:
            return
        values = [_number(item.strip()) for item in text.split(",")]
        expected = len(self.header.rewards)
        known = [value for value in values if value is not None]
        if len(values) != expected or len(known) != expected:
            raise self._error(
                number, f"rewards must be {expected} numbers (@reward_models), got {_short(text)}"
            )
        if any(known):
            place = (self.rows, self.action)[whose]
            self.rewards[whose][len(place) - 1] = known

    def model(self, initial: int | None, rounding: float, max_rewards: int) -> DrnModel:
        """What was read, once all is."""
        states, rows = len(self.rows), len(self.action)
        for what, declared, got in (
            ("states (@nr_states)", self.header.states, states),
            ("actions (@nr_choices)", self.header.choices, rows),
        ):
            if declared is not None and declared != got:
                raise WorldError(f"{self.file} must hold {declared} {what}, got {got}")
        if (states + rows) * len(self.header.rewards) > max_rewards:
            raise WorldError(
                f"{self.file} must need at most {max_rewards} rewards, got {states + rows} states "
                f"and rows with {len(self.header.rewards)} each; allow more with `max_bytes=`"
            )
        labels = {name: np.array(found) for name, found in self.labels.items()}
        return DrnModel(
            world=self._world(self._initial(initial), self._chances(rounding)),
            reward_names=self.header.rewards,
            state_rewards=self._table(0, states),
            row_rewards=self._table(1, rows),
            labels=MappingProxyType(labels),
        )

    def _initial(self, initial: int | None) -> int:
        """The state asked for, or else the only one that the file labels."""
        if initial is not None:
            return initial
        starts = self.labels.get("init", [])
        if len(starts) != 1:
            raise WorldError(
                f"{self.file} must label one state init, got {len(starts)}; "
                "say which is the first with `initial=`"
            )
        return starts[0]

    def _chances(self, rounding: float) -> Floats:
        """Every entry's probability, rows that are off by rounding divided by their sums."""
        entries = np.array([*self.entries, len(self.successor)])
        chances = np.array(self.probability, dtype=np.float64)
        count = np.diff(entries)
        if (count == 0).any():
            line = self.line[int(np.argmax(count == 0))]
            raise self._error(line, "a row must have a successor, got none")
        total = np.add.reduceat(chances, entries[:-1]) if len(count) else np.ones(0)
        off = np.abs(total - 1)
        if (off > max(rounding, ROW_SUM_TOLERANCE)).any():
            row = int(np.argmax(off > max(rounding, ROW_SUM_TOLERANCE)))
            raise self._error(
                self.line[row],
                f"a row must sum to 1, got {total[row]:.10g}; if that is rounding, write the file "
                "with more digits or pass `rounding=1e-5`",
            )
        scale = total if rounding else np.ones(len(total))  # unasked, what is written stays
        divided: Floats = chances / np.repeat(scale, count)
        return divided

    def _world(self, initial: int, chances: Floats) -> World:
        states = len(self.rows)
        try:
            return World(
                rows=np.array([*self.rows, len(self.action)]),
                action=np.array(self.action, dtype=np.int32),
                entries=np.array([*self.entries, len(self.successor)]),
                successor=np.array(self.successor, dtype=np.int32),
                probability=chances,
                outcome=np.arange(states, dtype=np.int32),
                serves=np.zeros(len(self.action), dtype=np.uint64),
                phase=np.zeros(states, dtype=np.uint8),
                initial=initial,
                action_names=tuple(self.names),
                outcome_names=tuple(f"state {state}" for state in range(states)),
            )
        except WorldError as error:
            raise WorldError(f"{self.file}: {error}") from error

    def _table(self, whose: int, count: int) -> Floats:
        table = np.zeros((count, len(self.header.rewards)))
        for place, values in self.rewards[whose].items():
            table[place] = values
        table.flags.writeable = False
        return table


def _number(text: str) -> float | None:
    """A finite decimal or fraction, or None."""
    try:
        if _NUMBER.fullmatch(text):
            value = float(text)
        elif ratio := _RATIO.fullmatch(text):
            value = int(ratio[1]) / int(ratio[2])
        else:
            return None
    except (OverflowError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None


def _short(text: str) -> str:
    """What came, as a message shows it, however long it is."""
    return repr(text if len(text) <= 60 else text[:60] + "…")  # noqa: PLR2004 - a line's worth

"""One finite world as one immutable record: what can be done, where it leads, what goals see.

Axes used throughout: S states, R rows (a row is one action that is available in one state),
E entries (a row's possible successors), O outcomes (all that a goal may care about), V variables.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from corrigible.errors import WorldError

RUNNING, STOPPED, CORRECTED = 0, 1, 2
"""The phases: the agent acts; it acts no more; it serves the goal it was corrected to."""

ROW_SUM_TOLERANCE = 1e-9
MAX_DRIVES = 64  # `serves` is one 64-bit mask a row

Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
UInt8s = npt.NDArray[np.uint8]
UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_ARRAYS: dict[str, type[np.generic]] = {
    "rows": np.int64,
    "action": np.int32,
    "entries": np.int64,
    "successor": np.int32,
    "probability": np.float64,
    "outcome": np.int32,
    "serves": np.uint64,
    "phase": np.uint8,
    "levels": np.int16,
}


@dataclass(frozen=True, eq=False)
class World:
    """A finite rewardless MDP.  Its arrays are checked once, here, and cannot be written to.

    Rows of state s are `rows[s]:rows[s+1]`, at least one; entries of row r are
    `entries[r]:entries[r+1]`, at least one, each with a positive probability, together 1.
    Two worlds are the same when their `digest()` is; `==` compares identity.

    Raises:
        WorldError: an array breaks a rule; the message names the state, the row and the value.
    """

    rows: Int64s  # [S+1]
    action: Int32s  # [R], index into `action_names`
    entries: Int64s  # [R+1]
    successor: Int32s  # [E]
    probability: Floats  # [E]
    outcome: Int32s  # [S], index into `outcome_names`
    serves: UInt64s  # [R], bit i set: the row serves `drive_names[i]`
    phase: UInt8s  # [S], RUNNING, STOPPED or CORRECTED
    initial: int
    action_names: tuple[str, ...]
    outcome_names: tuple[str, ...]
    drive_names: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    levels: Int16s = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int16))  # [S, V]

    def __post_init__(self) -> None:
        for name, dtype in _ARRAYS.items():
            object.__setattr__(self, name, _frozen(name, getattr(self, name), dtype))
        for name in ("action_names", "outcome_names", "drive_names", "variables"):
            object.__setattr__(self, name, tuple(str(item) for item in getattr(self, name)))
        object.__setattr__(self, "initial", int(self.initial))
        if self.levels.size == 0 and not self.variables:
            empty = _frozen("levels", np.zeros((self.states, 0)), np.int16)
            object.__setattr__(self, "levels", empty)
        _check_shapes(self)
        _check_ranges(self)
        _check_probabilities(self)

    @property
    def states(self) -> int:
        """S, the number of states."""
        return len(self.rows) - 1

    @property
    def transitions(self) -> int:
        """E, the number of (row, successor) entries."""
        return len(self.successor)

    @property
    def outcomes(self) -> int:
        """O, the number of outcomes that goals may tell apart."""
        return len(self.outcome_names)

    @cached_property
    def row_state(self) -> Int32s:
        """The state that each row belongs to, `[R]`."""
        state = np.repeat(np.arange(self.states, dtype=np.int32), np.diff(self.rows))
        state.flags.writeable = False
        return state

    def row_name(self, row: int) -> str:
        """One row as a person would point at it: its number, state and action."""
        action = self.action_names[self.action[row]]
        return f"row {row} (state {self.row_state[row]}, action {action!r})"

    def rows_without(self, drives: int) -> Bools:
        """Rows that serve none of the drives in the bit mask `drives`, `[R]`."""
        without: Bools = (self.serves & np.uint64(drives)) == 0
        return without

    def with_state_outcomes(self) -> "World":
        """The same world in which every state is its own outcome, so that goals are per state."""
        names = tuple(f"state {state}" for state in range(self.states))
        return replace(self, outcome=np.arange(self.states, dtype=np.int32), outcome_names=names)

    def digest(self) -> str:
        """SHA-256, in hex, over every array and name: equal worlds, equal digests."""
        sha = hashlib.sha256(b"corrigible world 1\0")
        for name, dtype in _ARRAYS.items():
            array = getattr(self, name)
            canonical = array.astype(np.dtype(dtype).newbyteorder("<"), copy=False)
            sha.update(f"{name} {array.shape}\0".encode())
            sha.update(canonical.tobytes())
        for name in ("initial", "action_names", "outcome_names", "drive_names", "variables"):
            sha.update(f"{name} {getattr(self, name)!r}\0".encode())
        return sha.hexdigest()


def world_from_rows(
    rows: list[list[tuple[str, dict[int, float]]]],
    *,
    outcome: npt.ArrayLike | None = None,
    initial: int = 0,
) -> World:
    """A running world from each state's list of (action, {successor: probability}).

    Args:
        rows: for each state its rows, in order; actions are numbered as they first appear.
        outcome: each state's outcome, `[S]` ints from 0; default: every state its own.
        initial: the first state.

    Raises:
        WorldError: the rows break a rule of `World`.
    """
    flat = [row for state_rows in rows for row in state_rows]
    seen, outcome_names = _named_outcomes(outcome, len(rows))
    names = tuple(dict.fromkeys(action for action, _ in flat))
    numbers = {name: number for number, name in enumerate(names)}
    return World(
        rows=np.cumsum([0, *(len(state_rows) for state_rows in rows)]),
        action=np.array([numbers[action] for action, _ in flat], dtype=np.int32),
        entries=np.cumsum([0, *(len(row) for _, row in flat)]),
        successor=np.array([s for _, row in flat for s in row], dtype=np.int32),
        probability=np.array([p for _, row in flat for p in row.values()], dtype=np.float64),
        serves=np.zeros(len(flat), dtype=np.uint64),
        phase=np.zeros(len(rows), dtype=np.uint8),
        initial=initial,
        action_names=names,
        outcome=seen,
        outcome_names=outcome_names,
    )


def world_from_arrays(
    transitions: npt.ArrayLike, *, outcome: npt.ArrayLike | None = None, initial: int = 0
) -> World:
    """A running world from dense transitions `[A, S, S]`.

    A row of nothing but zeros is an action that is not available in that state.

    Args:
        transitions: `transitions[a, s, t]`, the chance that action a in state s leads to t.
        outcome: each state's outcome, `[S]` ints from 0; default: every state its own.
        initial: the first state.

    Raises:
        WorldError: the shape is wrong, or a row breaks a rule of `World`.
    """
    dense = np.asarray(transitions, dtype=np.float64)
    if dense.ndim != 3 or dense.shape[1] != dense.shape[2]:  # noqa: PLR2004 - the axes A, S, S
        raise WorldError(f"transitions must have the shape [A, S, S], got {list(dense.shape)!r}")
    by_state = dense.transpose(1, 0, 2)  # [S, A, S]
    present = (by_state != 0).any(axis=2)
    kept = by_state[present]  # [R, S]; NaN counts as present, and is refused by the record
    row, successor = np.nonzero(kept)
    seen, outcome_names = _named_outcomes(outcome, dense.shape[1])
    return World(
        rows=np.concatenate([[0], np.cumsum(present.sum(axis=1))]),
        action=np.nonzero(present)[1].astype(np.int32),
        entries=np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(kept)))]),
        successor=successor.astype(np.int32),
        probability=kept[row, successor],
        serves=np.zeros(len(kept), dtype=np.uint64),
        phase=np.zeros(dense.shape[1], dtype=np.uint8),
        initial=initial,
        action_names=tuple(f"action {action}" for action in range(dense.shape[0])),
        outcome=seen,
        outcome_names=outcome_names,
    )


def _named_outcomes(outcome: npt.ArrayLike | None, states: int) -> tuple[Int32s, tuple[str, ...]]:
    """The fields `outcome` and `outcome_names`, from numbers or for every state its own."""
    word = "state" if outcome is None else "outcome"
    numbers = _frozen("outcome", np.arange(states) if outcome is None else outcome, np.int32)
    count = int(numbers.max(initial=-1)) + 1
    return numbers, tuple(f"{word} {number}" for number in range(count))


def _frozen(name: str, value: npt.ArrayLike, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only array of `dtype` that shares no memory with what the caller may still write."""
    given = np.asarray(value)
    with np.errstate(invalid="ignore"):  # NaN as an integer: caught by the comparison
        array = given.astype(dtype, order="C", copy=True)
    if given.size and np.issubdtype(dtype, np.integer) and not np.array_equal(array, given):
        place = np.argwhere(array != given)[0].tolist()
        raise WorldError(
            f"{name}{place!r} must be a whole number that fits {np.dtype(dtype).name}, "
            f"got {given[tuple(place)].item()!r}"
        )
    array.flags.writeable = False
    return array


def _check_shapes(world: World) -> None:
    """Every array has the length that the others give it, and the pointers increase."""
    if world.rows.ndim != 1 or len(world.rows) < 2:  # noqa: PLR2004 - one state has two pointers
        raise WorldError(f"a world must have at least one state, got rows {world.rows.tolist()!r}")
    states, rows = world.states, len(world.action)
    expected = {
        "action": (rows,),
        "entries": (rows + 1,),
        "successor": (len(world.successor),),
        "probability": (len(world.successor),),
        "outcome": (states,),
        "serves": (rows,),
        "phase": (states,),
        "levels": (states, len(world.variables)),
    }
    for name, shape in expected.items():
        if getattr(world, name).shape != shape:
            got = list(getattr(world, name).shape)
            raise WorldError(f"{name} must have the shape {list(shape)!r}, got {got!r}")
    if world.rows[0] != 0 or world.rows[-1] != rows:
        ends = [int(world.rows[0]), int(world.rows[-1])]
        raise WorldError(f"rows must run from 0 to {rows} (the length of action), got {ends!r}")
    if world.entries[0] != 0 or world.entries[-1] != len(world.successor):
        ends = [int(world.entries[0]), int(world.entries[-1])]
        raise WorldError(
            f"entries must run from 0 to {len(world.successor)} (the length of successor), "
            f"got {ends!r}"
        )
    empty = np.flatnonzero(np.diff(world.rows) < 1)
    if len(empty):
        raise WorldError(
            f"state {empty[0]} must have at least one row, got {np.diff(world.rows)[empty[0]]} "
            f"({len(empty) - 1} other states too); add a row that waits"
        )
    if (np.diff(world.entries) < 1).any():
        row = int(np.argmax(np.diff(world.entries) < 1))
        got = np.diff(world.entries)[row]
        raise WorldError(f"row {row} must have at least one successor, got {got}")


def _check_ranges(world: World) -> None:
    """Every index points at something that exists."""
    limits = {
        "action": (len(world.action_names), "action_names"),
        "successor": (world.states, "states"),
        "outcome": (world.outcomes, "outcome_names"),
        "phase": (CORRECTED + 1, "phases"),
    }
    for name, (limit, what) in limits.items():
        array = getattr(world, name)
        bad = np.flatnonzero((array < 0) | (array >= limit))
        if len(bad):
            raise WorldError(
                f"{name}[{bad[0]}] must lie in 0..{limit - 1} ({what}), got {int(array[bad[0]])!r}"
            )
    if not 0 <= world.initial < world.states:
        raise WorldError(f"initial must lie in 0..{world.states - 1}, got {world.initial!r}")
    drives = len(world.drive_names)
    if drives > MAX_DRIVES:
        raise WorldError(f"a world must have at most {MAX_DRIVES} drive_names, got {drives}")
    unnamed = np.flatnonzero(world.serves >> np.uint64(min(drives, MAX_DRIVES - 1)))
    if drives < MAX_DRIVES and len(unnamed):
        raise WorldError(
            f"serves of {world.row_name(int(unnamed[0]))} must only set bits of the {drives} "
            f"drive_names, got {int(world.serves[unnamed[0]]):#x}"
        )


def _check_probabilities(world: World) -> None:
    """Every entry is a positive probability, every row sums to 1, no successor comes twice."""
    p = world.probability
    bad = np.flatnonzero(~(np.isfinite(p) & (p > 0)))
    row_of = np.repeat(np.arange(len(world.action)), np.diff(world.entries))
    if len(bad):
        entry = int(bad[0])
        raise WorldError(
            f"{world.row_name(int(row_of[entry]))} must give each successor a positive finite "
            f"probability, got {p[entry].item()!r} for successor {world.successor[entry]} "
            f"({len(bad) - 1} other entries too); leave out what cannot happen"
        )
    total = np.add.reduceat(p, world.entries[:-1])
    off = np.flatnonzero(np.abs(total - 1) > ROW_SUM_TOLERANCE)
    if len(off):
        raise WorldError(
            f"{world.row_name(int(off[0]))} must sum to 1, got {total[off[0]]:.10g} "
            f"({len(off) - 1} other rows too); divide counts by their row's total first"
        )
    pair = row_of * world.states + world.successor
    if (np.diff(pair) > 0).all():  # sorted: nothing can come twice, and no sort is needed
        return
    unique, first = np.unique(pair, return_index=True)
    if len(unique) != len(pair):
        entry = int(np.setdiff1d(np.arange(len(pair)), first)[0])
        raise WorldError(
            f"{world.row_name(int(row_of[entry]))} must name a successor once, got "
            f"{world.successor[entry]} again; add the probabilities up"
        )

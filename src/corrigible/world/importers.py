"""Worlds from what researchers already have: sparse matrices, gymnasium, networkx.

Axes: A actions, S states, R rows (a row is one action that is available in one state).
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.errors import WorldError
from corrigible.world.record import ROW_SUM_TOLERANCE, Floats, Int32s, Int64s, World

if TYPE_CHECKING:
    import gymnasium
    import networkx as nx

MOST_NUMBERS = 2**31  # what a world has room for

Moves = dict[tuple[int, int], dict[int, float]]
"""The chances of each (state, action) that is available; a dictionary keeps pairs apart."""


def world_from_sparse(
    transitions: Iterable[Any], *, outcome: npt.ArrayLike | None = None, initial: int = 0
) -> World:
    """A running world from one sparse matrix `[S, S]` for each action.

    A row without entries is an action that is not available in that state.  Explicit zeros are
    dropped, and entries for the same place added up, as scipy understands them.

    Args:
        transitions: scipy sparse matrices or arrays of any format; `transitions[a][s, t]` is the
            chance that action a in state s leads to t.
        outcome: each state's outcome, `[S]` ints from 0; default: every state its own.
        initial: the first state.

    Raises:
        WorldError: a matrix is not sparse or not square, or a row breaks a rule of `World`.
    """
    if sparse.issparse(transitions):  # its items would be its rows
        raise WorldError(
            "transitions must be a sequence of sparse matrices [S, S], one for each action, got "
            f"one matrix {list(transitions.shape)!r}; put it in a list"  # type: ignore[attr-defined]  # scipy has no types
        )
    matrices = [_csr(f"transitions[{a}]", matrix) for a, matrix in enumerate(transitions)]
    if not matrices:
        raise WorldError("transitions must hold at least one matrix [S, S], got none")
    states = matrices[0].shape[1]
    for a, matrix in enumerate(matrices):
        if matrix.shape != (states, states):
            raise WorldError(
                f"transitions[{a}] must have the shape {[states, states]!r}, "
                f"got {list(matrix.shape)!r}"
            )
    stacked = sparse.vstack(matrices, format="csr")  # row a * S + s
    by_state = np.arange(len(matrices) * states).reshape(len(matrices), states).T.ravel()
    kept = by_state[np.diff(stacked.indptr)[by_state] > 0]
    return _running_world(
        _sparse_rows(stacked[kept], kept % states, kept // states),
        [f"action {a}" for a in range(len(matrices))],
        _outcomes(outcome, [f"state {s}" for s in range(states)]),
        states=states,
        initial=initial,
    )


def world_from_state_actions(
    moves: Any,
    row_state: npt.ArrayLike,
    action: npt.ArrayLike,
    *,
    action_names: Sequence[str] | None = None,
    outcome: npt.ArrayLike | None = None,
    initial: int = 0,
) -> World:
    """A running world from state-action pairs: QuantEcon's `Q`, `s_indices` and `a_indices`.

    Rows may come in any order; the world's are sorted by state, then by action.

    Args:
        moves: `[R, S]`, the chances of each pair's successors; scipy sparse, or dense.
        row_state: the state of each pair, `[R]`.
        action: the action of each pair, `[R]` ints from 0; a pair comes once.
        action_names: default "action 0", "action 1", …
        outcome: each state's outcome, `[S]` ints from 0; default: every state its own.
        initial: the first state.

    Raises:
        WorldError: shapes do not match, a pair comes twice or leads nowhere, or a row breaks a
            rule of `World`.
    """
    matrix = _csr("moves", moves if sparse.issparse(moves) else _dense("moves", moves))
    count, states = matrix.shape
    state, number = _whole("row_state", row_state, states), _whole("action", action)
    for name, column in (("row_state", state), ("action", number)):
        if len(column) != count:
            raise WorldError(
                f"{name} must have one entry for each of the {count} rows of moves, "
                f"got {len(column)}"
            )
    empty = np.flatnonzero(np.diff(matrix.indptr) == 0)
    if len(empty):
        raise WorldError(
            f"moves[{empty[0]}] (state {state[empty[0]]}, action {number[empty[0]]}) must have a "
            f"successor, got none ({len(empty) - 1} other rows too); leave the pair out where the "
            "action is not available"
        )
    order = np.lexsort((number, state))
    state, number = state[order], number[order]
    again = np.flatnonzero((np.diff(state) == 0) & (np.diff(number) == 0))
    if len(again):
        raise WorldError(
            f"state {state[again[0]]} must have action {number[again[0]]} once, got rows "
            f"{order[again[0]]} and {order[again[0] + 1]} of moves ({len(again) - 1} other pairs "
            "too); give each its own action number"
        )
    names = action_names
    if names is None:
        names = [f"action {a}" for a in range(int(number.max(initial=-1)) + 1)]
    return _running_world(
        _sparse_rows(matrix[order], state, number),
        names,
        _outcomes(outcome, [f"state {s}" for s in range(states)]),
        states=states,
        initial=initial,
    )


def world_from_gymnasium(
    env: "gymnasium.Env[Any, Any]",
    *,
    action_names: Sequence[str] | None = None,
    outcome: npt.ArrayLike | None = None,
    initial: int | None = None,
) -> World:
    """A running world from an environment that tells its transitions, as gymnasium's toy texts.

    States and actions keep the environment's numbers.  What it does on the way is kept: successors
    that are listed twice are added up.  A transition that terminates leads to a state that every
    action leads back to.  That is the successor itself where a run can only end in it (a hole of
    FrozenLake).  Where runs also pass through it (Taxi's ranks), the end is a state of its own,
    after the environment's, in ascending order, named "state 0 (ended)"; so nothing is reached
    that the environment would not let happen.

    The environment's rewards are left out.  They belong to transitions and may differ by action
    and successor, while a goal here is a utility of the state; turning one into the other would
    change the optimal policies.  Say what a goal wants by the states, ended ones included.

    Args:
        env: `env.unwrapped.P[s][a]` lists (probability, successor, reward, terminated); the keys
            of `P` are 0..S-1.
        action_names: default "action 0", "action 1", …
        outcome: the outcome of each of the environment's states, ints from 0, which an ended
            copy shares; default: every state its own, ended ones too.
        initial: the first state; default: the one that the environment always starts in.

    Raises:
        WorldError: the environment has no `P`, or one of another form; it starts in several
            states and `initial` is not given; or a row breaks a rule of `World`.
    """
    plain: Any = getattr(env, "unwrapped", env)
    table = getattr(plain, "P", None)
    if not isinstance(table, Mapping) or not table:
        raise WorldError(
            f"{type(plain).__name__} must tell its transitions in `env.unwrapped.P`, got "
            f"{type(table).__name__}; bring another environment's by `world_from_sparse`"
        )
    starts = _starts(plain, len(table))
    if initial is None:
        if len(starts) != 1:
            raise WorldError(
                f"{type(plain).__name__} must always start in one state, got {len(starts)} that "
                "it may start in; say which with `initial=`"
            )
        (initial,) = starts
    moves, ends = _played(_listed(table), starts | {initial}, len(table))
    count = 1 + max((a for _, a in moves), default=-1)
    names = action_names if action_names is not None else [f"action {a}" for a in range(count)]
    labels = [f"state {s}" for s in range(len(table))] + [f"state {s} (ended)" for s in ends]
    seen = _outcomes(outcome, labels)
    if outcome is not None:
        numbers, outcome_names = seen
        if len(numbers) != len(table):
            raise WorldError(
                f"outcome must hold one for each of the {len(table)} states of the environment, "
                f"got {len(numbers)}"
            )
        seen = np.concatenate([numbers, numbers[ends]]), outcome_names
    return _running_world(_listed_rows(moves), names, seen, states=len(labels), initial=initial)


def world_from_networkx(
    graph: "nx.Graph[Any]",
    *,
    action: str | None = None,
    probability: str | None = None,
    outcome: str | None = None,
    dead_ends: Literal["refuse", "stay"] = "refuse",
    initial: Hashable | None = None,
) -> World:
    """A running world from a graph: nodes are states, in the graph's order.

    What an edge means depends on the attributes that are named:

    - none: an action of its own, "to B", that surely leads to its head; parallel edges are one;
    - `action`: that action, which surely leads to its head;
    - `probability`: one branch of the node's only action, "move" (a Markov chain);
    - both: one branch of that action; edges of a node with the same action are one row.

    Parallel branches to the same head are added up.  An undirected edge goes both ways.

    Args:
        graph: any networkx graph, directed or not, with parallel edges or without.
        action: the edge attribute that names the action.
        probability: the edge attribute that holds the chance, above 0.
        outcome: the node attribute whose values are what goals tell apart; default: the node,
            by its name.
        dead_ends: what becomes of a node that no edge leaves: an error, or an action "stay".
        initial: the first state, a node; default: the graph's first.

    Raises:
        WorldError: the graph is empty, a node is a dead end, an attribute is missing, or the
            branches of an action do not sum to 1; the message names the node or the edge.
    """
    nodes = {node: number for number, node in enumerate(graph)}
    if not nodes:
        raise WorldError("the graph must have at least one node, got none")
    if initial is not None and initial not in nodes:
        raise WorldError(f"initial must be a node of the graph, got {initial!r}")
    if dead_ends not in {"refuse", "stay"}:
        raise WorldError(f"dead_ends must be 'refuse' or 'stay', got {dead_ends!r}")
    numbers: dict[str, int] = {}
    moves: Moves = {}
    for node, state in nodes.items():
        rows = _branches(graph, node, (action, probability))
        if not rows and dead_ends == "refuse":
            raise WorldError(
                f"node {node!r} must have an edge that leaves it, got none; "
                "dead_ends='stay' lets such nodes stay where they are"
            )
        for label, branches in (rows or {"stay": {node: 1.0}}).items():
            pair = (state, numbers.setdefault(label, len(numbers)))
            moves[pair] = {nodes[head]: chance for head, chance in branches.items()}
    return _running_world(
        _listed_rows(moves),
        tuple(numbers),
        _node_outcomes(graph, outcome),
        states=len(nodes),
        initial=0 if initial is None else nodes[initial],
    )


def _csr(name: str, matrix: Any) -> Any:
    """The matrix in float64 rows, without the zeros that it may hold; the caller's is kept."""
    if not sparse.issparse(matrix):
        raise WorldError(
            f"{name} must be a scipy sparse matrix, got {type(matrix).__name__}; "
            "`world_from_arrays` takes dense transitions"
        )
    if matrix.ndim != 2 or np.issubdtype(matrix.dtype, np.complexfloating):  # noqa: PLR2004 - rows and columns
        raise WorldError(
            f"{name} must be a real matrix of two dimensions, got {list(matrix.shape)!r} of "
            f"{matrix.dtype}"
        )
    rows = sparse.csr_array(matrix, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def _dense(name: str, value: Any) -> Any:
    """A dense matrix as a sparse one; NaN stays, and is refused by the record."""
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "biuf":  # noqa: PLR2004 - rows and columns
        raise WorldError(
            f"{name} must be numbers [R, S], sparse or dense, got {list(array.shape)!r} of "
            f"{array.dtype}"
        )
    return sparse.csr_array(array)


def _whole(name: str, value: npt.ArrayLike, limit: int = MOST_NUMBERS) -> Int32s:
    """A vector of whole numbers from 0 to `limit` - 1."""
    given = np.asarray(value)
    if given.ndim != 1 or given.dtype.kind not in "biuf":
        raise WorldError(
            f"{name} must be one row of whole numbers, got {list(given.shape)!r} of {given.dtype}"
        )
    with np.errstate(invalid="ignore"):  # NaN as an integer: caught by the comparison
        numbers = given.astype(np.int32)
    wrong = np.flatnonzero((numbers != given) | (numbers < 0) | (numbers >= limit))
    if len(wrong):
        raise WorldError(
            f"{name}[{wrong[0]}] must be a whole number in 0..{limit - 1}, "
            f"got {given[wrong[0]].item()!r}"
        )
    return numbers


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows sorted by state, then by action."""

    state: Int32s  # [R]
    action: Int32s  # [R]
    entries: Int64s  # [R+1]
    successor: Int32s  # [E]
    probability: Floats  # [E]


def _sparse_rows(moves: Any, state: Int32s, action: Int32s) -> _Rows:
    return _Rows(state, action, moves.indptr, moves.indices, moves.data)


def _listed_rows(moves: Moves) -> _Rows:
    pairs = sorted(moves)
    branches = [moves[pair] for pair in pairs]
    state, action = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    return _Rows(
        state=state,
        action=action,
        entries=np.cumsum([0, *(len(row) for row in branches)]),
        successor=np.array([t for row in branches for t in row], dtype=np.int32),
        probability=np.array([p for row in branches for p in row.values()], dtype=np.float64),
    )


def _outcomes(outcome: npt.ArrayLike | None, states: Sequence[str]) -> tuple[Int32s, Sequence[str]]:
    """Each state's outcome and the outcomes' names, from numbers or for every state its own."""
    if outcome is None:
        return np.arange(len(states), dtype=np.int32), states
    numbers = _whole("outcome", outcome)
    return numbers, [f"outcome {number}" for number in range(1 + int(numbers.max(initial=-1)))]


def _running_world(
    rows: _Rows,
    action_names: Sequence[str],
    seen: tuple[Int32s, Sequence[str]],
    *,
    states: int,
    initial: int,
) -> World:
    """The world of these rows, running in every state."""
    outcome, outcome_names = seen
    return World(
        rows=np.searchsorted(rows.state, np.arange(states + 1)),
        action=rows.action,
        entries=rows.entries,
        successor=rows.successor,
        probability=rows.probability,
        outcome=outcome,
        serves=np.zeros(len(rows.action), dtype=np.uint64),
        phase=np.zeros(states, dtype=np.uint8),
        initial=initial,
        action_names=tuple(action_names),
        outcome_names=tuple(outcome_names),
    )


def _starts(env: Any, states: int) -> set[int]:
    """The states in which a run of the environment may start, as far as it tells."""
    chances = np.asarray(getattr(env, "initial_state_distrib", ()), dtype=np.float64)
    if chances.size and chances.shape != (states,):
        raise WorldError(
            f"initial_state_distrib must hold one chance for each of the {states} states, "
            f"got the shape {list(chances.shape)!r}"
        )
    return set(np.flatnonzero(chances).tolist())


def _listed(table: Mapping[Any, Any]) -> Iterator[tuple[int, int, int, float, bool]]:
    """Every transition that can happen: (state, action, successor, chance, terminated)."""
    if set(table) != set(range(len(table))):
        strange = next(state for state in table if state not in range(len(table)))
        raise WorldError(
            f"the keys of env.unwrapped.P must be 0..{len(table) - 1}, got {strange!r}"
        )
    for state, actions in table.items():
        if not isinstance(actions, Mapping):
            raise WorldError(
                f"env.unwrapped.P[{state!r}] must map actions to transitions, got {actions!r}"
            )
        for action, transitions in actions.items():
            for item in transitions:
                move = _transition(item, f"env.unwrapped.P[{state!r}][{action!r}]", len(table))
                if not isinstance(action, int | np.integer) or action < 0:
                    raise WorldError(
                        f"the keys of env.unwrapped.P[{state!r}] must be actions from 0, "
                        f"got {action!r}"
                    )
                if move[1] != 0:
                    yield int(state), int(action), *move


def _transition(item: Any, place: str, states: int) -> tuple[int, float, bool]:
    """One listed transition: (successor, chance, terminated)."""
    try:
        chance, successor, _, ended = item
        move = (index(successor), float(chance), bool(ended))
    except (TypeError, ValueError) as error:
        raise WorldError(
            f"{place} must list (probability, successor, reward, terminated), got {item!r}"
        ) from error
    if not 0 <= move[0] < states:
        raise WorldError(f"{place} must name a successor in 0..{states - 1}, got {item!r}")
    return move


def _played(
    transitions: Iterable[tuple[int, int, int, float, bool]], starts: set[int], states: int
) -> tuple[Moves, list[int]]:
    """What can be done, and the states whose end is a state of its own, in ascending order."""
    listed = list(transitions)
    ending = {t for _, _, t, _, ended in listed if ended}
    live = (set(range(states)) - ending) | starts
    while more := {t for s, _, t, _, ended in listed if not ended and s in live} - live:
        live |= more
    copied = sorted(ending & live)
    copies = {state: states + number for number, state in enumerate(copied)}
    ends = {copies.get(state, state) for state in ending}
    moves: Moves = {}
    for state, action, successor, chance, ended in listed:
        if state in ending:  # once ended, every action leads back
            end = copies.get(state, state)
            moves[end, action] = {end: 1.0}
        if state in live:
            row = moves.setdefault((state, action), {})
            target = copies.get(successor, successor) if ended else successor
            row[target] = row.get(target, 0.0) + chance
    for end in ends - {state for state, _ in moves}:  # the environment lists nothing to do there
        moves[end, 0] = {end: 1.0}
    return moves, copied


def _branches(
    graph: Any, node: Hashable, attributes: tuple[str | None, str | None]
) -> dict[str, dict[Hashable, float]]:
    """The actions of a node, in the graph's order: each with its heads and their chances."""
    action, probability = attributes
    rows: dict[str, dict[Hashable, float]] = {}
    for head, found in graph.adj[node].items():
        for edge in found.values() if graph.is_multigraph() else (found,):
            place = f"edge {node!r} -> {head!r}"
            if action is not None:
                label = str(_attribute(edge, action, place))
            else:
                label = "move" if probability is not None else f"to {head}"
            row = rows.setdefault(label, {})
            if probability is None:
                row[head] = 1.0
            else:
                row[head] = row.get(head, 0.0) + _chance(edge, probability, place)
    for label, row in rows.items():
        if abs(sum(row.values()) - 1) > ROW_SUM_TOLERANCE:
            raise WorldError(_off(node, label, row, probability))
    return rows


def _off(node: Hashable, label: str, row: dict[Hashable, float], probability: str | None) -> str:
    """What is wrong with an action whose branches do not sum to 1."""
    if probability is None:
        return (
            f"action {label!r} of node {node!r} must lead to one node, got {list(row)!r}; "
            "name the edge attribute that holds the chances with `probability=`"
        )
    return (
        f"action {label!r} of node {node!r} must have chances that sum to 1, "
        f"got {sum(row.values()):.10g}; divide weights by their total first"
    )


def _attribute(found: Mapping[str, Any], name: str, place: str) -> Any:
    if name not in found:
        raise WorldError(f"{place} must have the attribute {name!r}, got {sorted(found)!r}")
    return found[name]


def _chance(edge: Mapping[str, Any], name: str, place: str) -> float:
    value = _attribute(edge, name, place)
    try:
        chance = float(value)
    except (TypeError, ValueError):
        chance = np.nan
    if not 0 < chance < np.inf:
        raise WorldError(f"{name!r} of {place} must be a number above 0, got {value!r}")
    return chance


def _node_outcomes(graph: Any, outcome: str | None) -> tuple[Int32s, Sequence[str]]:
    """Each node's outcome and the outcomes' names: its own name, or an attribute's values."""
    if outcome is None:
        names = [str(node) for node in graph]
        if len(set(names)) < len(names):  # the nodes 1 and "1"
            names = [repr(node) for node in graph]
        return np.arange(len(names), dtype=np.int32), names
    each = [
        str(_attribute(found, outcome, f"node {node!r}")) for node, found in graph.nodes.items()
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(each))}
    return np.array([numbers[name] for name in each], dtype=np.int32), list(numbers)

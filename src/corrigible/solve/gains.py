"""The best average reward inside end components, for many goals at once, from both sides.

Inside an end component every state can be reached from every other, so the best average is one
number.  Axes: S states, M end components, N states that are in one, Q rows that stay inside,
O outcomes, G goals, B of them at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import splu

from corrigible.errors import NotSolvedError
from corrigible.solve.batch import Method, Task, sweep_goals
from corrigible.solve.compiled import cycles
from corrigible.solve.layout import Layout, row_matrix, world_layout
from corrigible.solve.reach import end_components
from corrigible.solve.threads import share_out
from corrigible.world.record import Bools, Floats, Int64s, World

NEAR = 1 - 1e-7  # the discount that biases are first taken from
RESIDUAL = 1e-13  # what they are solved to: in the bias's own changes it is 1e7 times as large
SWEEPS = 200  # of relative value iteration, before something else is tried
POLICIES = 100  # evaluated for one goal at most
DENSE = 32  # states up to which a policy's equations are solved densely
EPS = float(np.finfo(np.float64).eps)
_HELD = 2**17  # values of rows that are held at once: they then fit a core's cache


@dataclass(frozen=True, eq=False)
class EndComponents:
    """The maximal end components of a world: the lines are their states, one after the other."""

    number: Int64s  # [S], the component of each state, or -1
    first: Int64s  # [M+1], the lines of component c are first[c]:first[c+1]
    outcome: Int64s  # [N]
    first_row: Int64s  # [N+1], the rows of line i are first_row[i]:first_row[i+1]
    moves: sparse.csr_matrix  # [Q, N], each row sums to 1 but for rounding

    @property
    def count(self) -> int:
        """M."""
        return len(self.first) - 1


@dataclass(frozen=True, eq=False)
class Gains:
    """The best average of each end component: within `half` of `middle`, rounding included."""

    middle: Floats  # [M, G]
    half: Floats  # [M, G]
    rounding: Floats  # [G], what of the widest half no further work could take away
    method: str


def normalised_rows(world: World) -> sparse.csr_matrix:
    """The transition probabilities `[R, S]`, divided by their sums, which are 1 but for 1e-9."""
    total = np.add.reduceat(world.probability, world.entries[:-1])
    matrix = row_matrix(world)
    return sparse.csr_matrix(
        (world.probability / np.repeat(total, np.diff(world.entries)), matrix.indices,
         matrix.indptr), shape=matrix.shape,
    )  # fmt: skip


def components_inside(world: World, usable: Bools) -> EndComponents:
    """The maximal end components of a world, with their states and the rows that stay inside.

    Args:
        world: the world.
        usable: the rows that may be taken, `[R]`.
    """
    number = end_components(world, usable)
    count = int(number.max(initial=-1)) + 1
    order = np.argsort(number, kind="stable")[(number < 0).sum() :]
    line = np.full(world.states, -1, dtype=np.int64)
    line[order] = np.arange(len(order))
    own = np.repeat(number[world.row_state], np.diff(world.entries))
    leaves = np.logical_or.reduceat(number[world.successor] != own, world.entries[:-1])
    rows = np.flatnonzero(usable & ~leaves & (number[world.row_state] >= 0))
    home = line[world.row_state[rows]]
    by_line = np.argsort(home, kind="stable")
    moves = normalised_rows(world)[rows[by_line]][:, order].tocsr()
    moves.sort_indices()
    return EndComponents(
        number=number,
        first=np.concatenate([[0], np.cumsum(np.bincount(number[order], minlength=count))]),
        outcome=world.outcome[order].astype(np.int64),
        first_row=np.concatenate([[0], np.cumsum(np.bincount(home, minlength=len(order)))]),
        moves=moves,
    )


def component_gains(inside: EndComponents, goals: Floats, allowed: Floats) -> Gains:
    """The best average reward of each end component for each goal, enclosed.

    A component of one state is worth its utility.  Where every row leads to one state, the best
    cycle is found by policy iteration and certified by its potentials.  Elsewhere relative value
    iteration on the lazy chain (Puterman 1994, section 8.5.4) stops once the largest and the
    least change of a sweep, which enclose the gain (Odoni 1969), are near enough.  Where that is
    slow it starts again from values at a discount near 1, and at last policies are evaluated
    exactly; both are enclosed in the same way.

    Args:
        inside: the end components.
        goals: finite utilities `[O, G]`, in [0, 2].
        allowed: half the width wanted of each goal, `[G]`.
    """
    sizes = np.diff(inside.first)
    middle = goals[inside.outcome[inside.first[:-1]]]
    half, rounding = np.zeros_like(middle), np.zeros(goals.shape[1])
    single = np.diff(inside.moves.indptr) == 1
    sure = np.logical_and.reduceat(single, inside.first_row[inside.first[:-1]])
    walks = np.flatnonzero((sizes > 1) & sure)
    if len(walks):
        low, high, off = _best_cycles(inside, goals, walks)
        middle[walks], half[walks] = ((low + high) / 2)[walks], ((high - low) / 2)[walks]
        np.maximum(rounding, off[walks].max(axis=0), out=rounding)
    mixed = np.flatnonzero((sizes > 1) & ~sure)
    for component in mixed.tolist():
        task = _Part.of(inside, component)
        middle[component], half[component], off = task.gains(goals, allowed)
        np.maximum(rounding, off, out=rounding)
    kinds = {"of one state": (sizes == 1).sum(), "by their cycles": len(walks),
             "by value iteration and policies": len(mixed)}  # fmt: skip
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    return Gains(middle, half, rounding, f"end components: {told}")


def _best_cycles(
    inside: EndComponents, goals: Floats, which: Int64s
) -> tuple[Floats, Floats, Floats]:
    """Low, high and rounding `[M, G]`, in the components of `which`."""
    kernel = cycles()
    lines, count = len(inside.outcome), goals.shape[1]
    to = inside.moves.indices[inside.moves.indptr[:-1]].astype(np.int64)
    home = np.repeat(np.arange(lines), np.diff(inside.first_row))
    first_in = np.concatenate([[0], np.cumsum(np.bincount(to, minlength=lines))])
    graph = (inside.first_row, to, home, first_in, np.argsort(to, kind="stable"))
    by_goal = np.ascontiguousarray(goals.T)
    low, high, off = (np.zeros((count, inside.count)) for _ in range(3))

    def work(part: tuple[int, int]) -> None:
        kernel.best_means(by_goal, inside.first, which, graph, inside.outcome, low, high, off, part)

    share_out(count, work)
    return low.T, high.T, off.T


@dataclass(frozen=True, eq=False)
class _Enclosure:
    """For each goal two numbers that its gain lies between, and the bias that shows it."""

    low: Floats  # [B]
    high: Floats  # [B]
    off: Floats  # [B], what rounding can have done to either
    bias: Floats  # [N, B]

    @classmethod
    def of(cls, bias: Floats) -> "_Enclosure":
        """Nothing known yet."""
        count = bias.shape[1]
        return cls(np.full(count, -np.inf), np.full(count, np.inf), np.zeros(count), bias.copy())

    def keep(self, goals: Int64s, tried: "_Enclosure") -> None:
        """Take over what was tried for some goals, where it is narrower."""
        width = self.high - self.low + 2 * self.off
        nearer = tried.high - tried.low + 2 * tried.off < width[goals]
        better = goals[nearer]
        self.low[better], self.high[better] = tried.low[nearer], tried.high[nearer]
        self.off[better], self.bias[:, better] = tried.off[nearer], tried.bias[:, nearer]


_Attempt = Callable[[Floats, Floats, Floats], _Enclosure]


@dataclass(frozen=True, eq=False)
class _Part:
    """One end component; its states are counted from 0."""

    moves: sparse.csr_matrix  # [Q, N]
    first: Int64s  # [N], where the rows of each state begin
    outcome: Int64s  # [N]

    @classmethod
    def of(cls, inside: EndComponents, component: int) -> "_Part":
        lo, hi = inside.first[component : component + 2].tolist()
        rows = slice(inside.first_row[lo], inside.first_row[hi])
        return cls(
            moves=inside.moves[rows][:, lo:hi].tocsr(),
            first=inside.first_row[lo:hi] - rows.start,
            outcome=inside.outcome[lo:hi],
        )

    def gains(self, goals: Floats, allowed: Floats) -> tuple[Floats, Floats, Floats]:
        """Middle, half width and rounding, `[G]` each.

        Sweeps from zero see a better place that is far off late, where it is hardly better: a
        start from discounted values sees it at once.  Where sweeps mix slowly from there too,
        policies are evaluated.
        """
        reward = goals[self.outcome]
        found = _Enclosure.of(np.zeros_like(reward))
        left = np.arange(goals.shape[1])
        for attempt in (self._swept, self._started, self._improved):
            self._share_out(attempt, reward, (left, allowed), found)
            half = (found.high - found.low) / 2
            left = np.flatnonzero(half > np.maximum(allowed - found.off, found.off))
            if not len(left):
                break
        return (found.low + found.high) / 2, half + found.off, found.off

    def _share_out(
        self,
        attempt: "_Attempt",
        reward: Floats,
        task: tuple[Int64s, Floats],
        found: "_Enclosure",
    ) -> None:
        """Try it on blocks of goals; what is nearer than before is kept."""
        left, allowed = task
        size = max(1, min(_HELD // self.moves.shape[0], 256))
        ends = [*range(0, len(left), size), len(left)]

        def work(blocks: tuple[int, int]) -> None:
            for block in range(*blocks):
                part = left[ends[block] : ends[block + 1]]
                tried = attempt(reward[:, part], found.bias[:, part], allowed[part])
                found.keep(part, tried)

        share_out(len(ends) - 1, work)

    def _swept(self, reward: Floats, bias: Floats, allowed: Floats) -> "_Enclosure":
        """Relative value iteration from a bias `[N, B]`."""
        for _ in range(SWEEPS):
            change = self._best(bias) + reward - bias
            low, high = change.min(axis=0), change.max(axis=0)
            off = self._rounding(bias)
            if ((high - low) / 2 <= np.maximum(allowed - off, off)).all():
                break
            bias = bias + change / 2  # the lazy chain: half the steps stay, so none are periodic
            bias -= bias[0]
        return _Enclosure(low, high, off, bias)

    def _started(self, reward: Floats, bias: Floats, allowed: Floats) -> "_Enclosure":
        """The same from the values at a discount near 1, which are near the bias there.

        Methods that may take very long are not tried.
        """
        method = Method.LIFTS if self.layout.functional.all() else Method.ELIMINATION
        try:
            swept = sweep_goals(self.layout, reward, Task(RESIDUAL, method=method))
        except NotSolvedError:
            return self._swept(reward, bias, allowed)
        values = np.nan_to_num(swept.values)
        bias = np.empty_like(reward)
        bias[self.layout.order] = (values - values[0]) / (1 - NEAR)
        return self._swept(reward, bias, allowed)

    @cached_property
    def layout(self) -> Layout:
        """The component as a world of its own, at a discount near 1, goals by state."""
        rows, states = self.moves.shape
        world = World(
            rows=np.append(self.first, rows),
            action=np.zeros(rows, dtype=np.int32),
            entries=self.moves.indptr,
            successor=self.moves.indices,
            probability=self.moves.data,
            outcome=np.arange(states, dtype=np.int32),
            serves=np.zeros(rows, dtype=np.uint64),
            phase=np.zeros(states, dtype=np.uint8),
            initial=0,
            action_names=("any",),
            outcome_names=tuple(map(str, range(states))),
        )
        return world_layout(world, discount=NEAR, available=None, boundary=None)

    def _best(self, bias: Floats) -> Floats:
        """The best of what each state's rows lead to, `[N, B]`.

        Rank by rank, as `maximum.reduceat` takes several times as long over short runs.
        """
        worth = self.moves @ bias
        best: Floats = worth[self.first]
        for states, rows in self._ranks:
            best[states] = np.maximum(best[states], worth[rows])
        return best

    @cached_property
    def _ranks(self) -> list[tuple[Int64s, Int64s]]:
        """The states that have a second row, and those rows; then a third; and so on."""
        counts = np.diff(np.append(self.first, self.moves.shape[0]))
        ranks = [np.flatnonzero(counts > rank) for rank in range(1, int(counts.max()))]
        return [(own, self.first[own] + rank) for rank, own in enumerate(ranks, start=1)]

    def _rounding(self, bias: Floats) -> Floats:
        """What rounding can do to a state's change, `[B]` (Higham 2002, section 3.1)."""
        terms = int(np.diff(self.moves.indptr).max())
        off: Floats = EPS * (terms + 8) * (2 + np.abs(bias).max(axis=0))
        return off

    def _improved(self, reward: Floats, bias: Floats, allowed: Floats) -> "_Enclosure":
        """Policy iteration, from the policies that are greedy."""
        found = _Enclosure.of(bias)
        active, policy = np.arange(len(allowed)), self._greedy(bias)
        for _ in range(POLICIES):
            bias = self._evaluated(policy, reward[:, active])
            worth = self.moves @ bias
            best = np.maximum.reduceat(worth, self.first, axis=0)
            change, off = reward[:, active] + best - bias, self._rounding(bias)
            low, high = change.min(axis=0), change.max(axis=0)
            found.keep(active, _Enclosure(low, high, off, bias))
            better = best - np.take_along_axis(worth, policy, axis=0) > 4 * off
            wide = (high - low) / 2 > np.maximum(allowed[active] - off, off)
            going = better.any(axis=0) & wide
            policy = np.where(better, self._greedy(bias), policy)[:, going]
            active = active[going]
            if not len(active):
                break
        return found

    def _greedy(self, bias: Floats) -> Int64s:
        """The first of the best rows of each state, `[N, B]`."""
        worth = self.moves @ bias
        counts = np.diff(np.append(self.first, len(worth)))
        best = np.repeat(np.maximum.reduceat(worth, self.first, axis=0), counts, axis=0)
        rows = np.arange(len(worth))[:, None]
        chosen: Int64s = np.minimum.reduceat(
            np.where(worth >= best, rows, len(worth)), self.first, axis=0
        )
        return chosen

    def _evaluated(self, policy: Int64s, reward: Floats) -> Floats:
        """The bias `[N, B]` of policies; goals that share one share its equations.

        `policy` is changed where it leads to several recurrent classes: the best of them for the
        goal is kept, and states that cannot come to it are led there.  As in the deterministic
        case a policy that strictly improved on one with a single class has a second one only
        where its gain is higher, so that no policy comes back.
        """
        bias = np.zeros_like(reward)
        unique, group = np.unique(policy, axis=1, return_inverse=True)
        for number, rows in enumerate(unique.T):
            goals = np.flatnonzero(group.reshape(-1) == number)
            classes = _recurrent_classes(self.moves[rows])
            best = np.zeros(len(goals), dtype=np.int64)
            if len(classes) > 1:
                gains = [self._class_gain(rows, own, reward[:, goals]) for own in classes]
                best = np.argmax(gains, axis=0)
            for choice in np.unique(best).tolist():
                chosen = goals[best == choice]
                if len(classes) > 1:
                    policy[:, chosen] = self._led(rows, classes[choice])[:, None]
                chain = self.moves[policy[:, chosen[0]]]
                at = int(classes[choice][0])
                bias[:, chosen] = _chain_solved(chain, reward[:, chosen], at)
                bias[at, chosen] = 0.0
        return bias

    def _class_gain(self, rows: Int64s, states: Int64s, reward: Floats) -> Floats:
        chain = self.moves[rows[states]][:, states]
        gain: Floats = _chain_solved(chain, reward[states], 0)[0]
        return gain

    def _led(self, rows: Int64s, states: Int64s) -> Int64s:
        """The policy `[N]`, changed where it does not lead to `states`, so that it does."""
        back = self.moves[rows].T.tocsr()
        reached = np.zeros(len(rows), dtype=np.bool_)
        reached[breadth_first_order(back, int(states[0]), return_predecessors=False)] = True
        led = rows.copy()
        home = np.repeat(np.arange(len(rows)), np.diff(np.append(self.first, self.moves.shape[0])))
        while not reached.all():
            nearer = np.flatnonzero((self.moves @ reached.astype(np.float64) > 0) & ~reached[home])
            led[home[nearer]] = nearer
            reached[home[nearer]] = True
        return led


def _recurrent_classes(chain: sparse.csr_matrix) -> list[Int64s]:
    """The states of each set that a chain cannot leave, and in which it comes everywhere."""
    count, label = connected_components(chain, directed=True, connection="strong")
    coo = chain.tocoo()
    leaves = np.zeros(count, dtype=np.bool_)
    leaves[label[coo.row[label[coo.row] != label[coo.col]]]] = True
    return [np.flatnonzero(label == number) for number in np.flatnonzero(~leaves)]


def _chain_solved(chain: sparse.csr_matrix, reward: Floats, at: int) -> Floats:
    """The bias `[N, B]` over that of state `at`, in whose place the gain stands.

    `gain + bias = reward + chain @ bias`, with one recurrent class (Puterman 1994, section 8.6).
    A chain that floating point cannot tell from one with several is given zeros: what is
    enclosed with them is wide, and true.
    """
    states = chain.shape[0]
    try:
        if states <= DENSE:
            system = np.eye(states) - chain.toarray()
            system[:, at] = 1.0
            solved = np.linalg.solve(system, reward)
        else:
            keep = np.ones(states)
            keep[at] = 0.0
            ones = sparse.csc_matrix(
                (np.ones(states), (np.arange(states), np.full(states, at))), chain.shape
            )
            system = (sparse.eye(states) - chain) @ sparse.diags(keep) + ones
            solved = splu(system.tocsc()).solve(reward)
    except (np.linalg.LinAlgError, RuntimeError):
        return np.zeros_like(reward)
    return np.nan_to_num(solved, nan=0.0, posinf=0.0, neginf=0.0)

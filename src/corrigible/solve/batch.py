"""Drives the kernels over a batch of goals: blocks them, shares them out, gathers what comes.

Axes: L live lines of a layout, O outcomes, G goals.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.compiled import elimination, kernels, lifting
from corrigible.solve.factors import Plan, elimination_plan
from corrigible.solve.layout import Layout
from corrigible.solve.lists import Lists
from corrigible.solve.sample import GoalSample
from corrigible.solve.threads import Progress, share_out
from corrigible.world.record import Floats, Int64s, UInt8s

MAX_SWEEPS = 100_000
MAX_ROUNDS = 12
TINY = 50_000  # values: below it starting threads takes longer than solving
LARGE = 20_000  # lines: from here on a single block is a piece of work, so that progress shows
TRIAL_SWEEPS = 400  # after which elimination is thought of
USUAL_IMPROVEMENTS = 10  # policies that policy iteration evaluates, as a rule
UPDATE_COST, PIVOT_COST = 4.0, 250.0  # in units of what one term of a sweep costs, measured

_plans: WeakKeyDictionary[Layout, Plan] = WeakKeyDictionary()
_choices: WeakKeyDictionary[Layout, Plan | None] = WeakKeyDictionary()
_slow: WeakSet[Layout] = WeakSet()
"""Layouts of which some block wanted help: the others get it at once, to the same result."""


class Method(Enum):
    """How the components of a world are settled; every method keeps the same guarantee.

    ANY measures as it goes: sweeps first; where they promise to be slow, LIFTS in components whose
    rows lead to one state at most, SPAN in closed ones that mix well, and, where the first block
    of goals stays slow all the same, ELIMINATION for the whole batch, if its fill-in is small.
    """

    ANY = "any"
    SWEEPS = "sweeps"  # Gauss-Seidel, up and down in turn, self-loops eliminated
    SPAN = "span"  # Jacobi sweeps until their changes differ little (MacQueen 1966)
    LIFTS = "lifts"  # policy iteration: sweeps improve, policies are evaluated along likely moves
    ELIMINATION = "elimination"  # policy iteration, policies evaluated by sparse elimination


@dataclass(frozen=True, eq=False)
class Swept:
    """What the kernel found, on the layout's lines."""

    values: Floats  # [L, G], or as the task's `into` says; [L, 0] where only moments were wanted
    residual: Floats  # [G], the largest |TV - V|
    sums: Floats  # [L, 2], of what was scaled and of its squares; zeros where values are kept
    sweeps: int  # the most that any component took
    lifts: int  # the most evaluations of policies in any block of goals
    spans: int  # the most components of a block that were settled by their span
    eliminated: bool = False

    def __str__(self) -> str:
        if self.eliminated:
            return f"policy iteration by elimination, at most {self.lifts} policies evaluated"
        parts = [f"sweeps by components, at most {self.sweeps}"]
        if self.lifts:
            parts.append(f"with at most {self.lifts} evaluations of the policy")
        if self.spans:
            parts.append(f"at most {self.spans} components stopped by their span")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Into:
    """Where values are written, where that is not an array on the layout's lines."""

    values: Floats  # [*, columns], C-ordered
    order: Int64s  # [L], the row of each line
    column: int  # of the first goal


@dataclass(frozen=True)
class Task:
    """What a batch is solved for."""

    wanted: float  # the residual, in units of the utilities
    method: Method = Method.ANY
    progress: Progress | None = None  # told goals done, and all
    first: int = 0  # the number of the first goal of a sample
    scaling: tuple[float, float] | None = None
    """(a, b): keep no values, but the moments of a * (V - b * u(own outcome))."""
    into: Into | None = None


def sweep_goals(
    layout: Layout,
    goals: Floats | GoalSample,
    task: Task,
    *,
    pins: Int64s | None = None,
    warm: Floats | None = None,
) -> Swept:
    """Run the kernels until the Bellman residual is as wanted, or their rounds run out.

    Args:
        layout: the world's.
        goals: finite utilities `[O, G]`, or a sample without a `quantile`.
        task: see there.
        pins: the line that each goal holds at 1, `[G]`, or -1.
        warm: values to start from, `[L, G]`.

    Raises:
        DiscountError: the method needs a discount below 1.
        NotSolvedError: elimination was asked for, and would take too long.
        WorldError: the method does not suit the world.
    """
    batch = _Batch.of(layout, goals, task, pins=pins, warm=warm)
    plan, done = None, 0
    if task.method is Method.ELIMINATION:
        _check_discount(layout, task.method)
        plan = _plan(layout)
    elif task.method is Method.ANY and layout.discount < 1 and pins is None:
        if layout not in _choices:
            done = _choose(batch)
        plan = _choices.get(layout)
    if plan is None:
        batch.share(_kernel_method(layout, task.method), done)
    else:
        batch.share_elimination(plan, done)
    return batch.gathered(eliminated=plan is not None)


@dataclass(frozen=True, eq=False)
class _Batch:
    """The arrays that the kernels read and write for one batch."""

    layout: Layout
    task: Task
    count: int  # goals
    seed: int
    goals: Floats  # in one line, or none where they are drawn
    steps: tuple[int, int]  # how far apart outcomes are there, and goals
    pins: Int64s  # [G]
    pinned: bool
    warm: bool
    into: Into  # no columns where values are not kept
    kinds: UInt8s  # [C]
    residual: Floats  # [G]
    report: Int64s  # [blocks, 4]
    cancel: UInt8s  # [1]
    sums: dict[int, Floats]  # by the first block of a piece, until they are added to `total`
    total: Floats  # [L, 2]; rounding must not depend on which thread was done first

    @classmethod
    def of(
        cls,
        layout: Layout,
        goals: Floats | GoalSample,
        task: Task,
        *,
        pins: Int64s | None,
        warm: Floats | None,
    ) -> "_Batch":
        sampled = goals if isinstance(goals, GoalSample) else None
        count = goals.count if isinstance(goals, GoalSample) else goals.shape[1]
        flat, steps = np.empty(0), (0, 0)
        if not isinstance(goals, GoalSample):
            flat, steps = in_one_line(goals)
        targets = np.full(count, -1, dtype=np.int64)
        if pins is not None:
            targets[:] = pins
        lines, kernel = len(layout.order), kernels()
        into = task.into
        if into is None:
            kept = np.empty((lines, count if task.scaling is None else 0))
            into = Into(kept, np.arange(lines), 0)
        if warm is not None:
            into.values[into.order, into.column : into.column + count] = warm
        kinds = layout.closed * kernel.CLOSED + layout.functional * kernel.FUNCTIONAL
        return cls(
            layout=layout,
            task=task,
            count=count,
            seed=0 if sampled is None else sampled.seed,
            goals=flat,
            steps=steps,
            pins=targets,
            pinned=pins is not None,
            warm=warm is not None,
            into=into,
            kinds=(kinds + layout.summed * kernel.SUMMED).astype(np.uint8),
            residual=np.zeros(count),
            report=np.zeros((padded_count(count) // int(kernel.BLOCK), 4), dtype=np.int64),
            cancel=np.zeros(1, dtype=np.uint8),
            sums={},
            total=np.zeros((lines, 2)),
        )

    def solve(self, blocks: tuple[int, int], method: int, limits: tuple[int, int]) -> None:
        """Sweep a range of blocks; `limits` are the most sweeps and rounds."""
        kernel = kernels()
        arguments = (
            *self._input(), self.layout.inside, *self._lists(), self.pins,
            (self.layout.discount, float(self.task.wanted), self._horizon(), *limits, method),
            *self._output(blocks), *self._workspace(), *self._stamps(),
        )  # fmt: skip
        if not (method == kernel.LIFTS or self.layout in _slow):
            kernel.solve_goals(*arguments, blocks)
            helpless = np.flatnonzero(self.report[slice(*blocks), 3]) + blocks[0]
            for block in helpless.tolist():
                _slow.add(self.layout)
                lifting().solve_goals(*arguments, (block, block + 1))
        else:
            lifting().solve_goals(*arguments, blocks)

    def share(self, method: int, begin: int) -> None:
        """Sweep every block from number `begin`."""
        limits = MAX_SWEEPS, MAX_ROUNDS
        self._share(begin, len(self.report), lambda blocks: self.solve(blocks, method, limits))

    def share_elimination(self, plan: Plan, begin: int) -> None:
        """Solve every block from number `begin` by policy iteration."""
        parts = (plan.place, plan.first, plan.entry, plan.first_target, plan.target, plan.spot)

        def work(blocks: tuple[int, int]) -> None:
            elimination().improve_goals(
                *self._input(), *self._lists(), parts,
                (float(self.task.wanted), self._horizon(), MAX_ROUNDS), *self._output(blocks),
                *self._workspace(), self.pins, np.empty(int(kernels().BLOCK) + 1, dtype=np.int64),
                np.empty((plan.largest, int(elimination().LANES))), blocks,
            )  # fmt: skip

        self._share(begin, len(self.report), work)

    def gathered(self, *, eliminated: bool) -> Swept:
        """What all blocks brought."""
        sweeps, lifts, spans, _ = (int(number) for number in self.report.max(axis=0, initial=0))
        return Swept(
            values=self.into.values[:, self.into.column : self.into.column + self.count],
            residual=np.maximum(self.residual, 0.0),  # where no state is live: -inf
            sums=self.total,
            sweeps=sweeps,
            lifts=lifts,
            spans=spans,
            eliminated=eliminated,
        )

    def try_first(self, sweeps: int) -> None:
        """Sweep the first block alone, so often at most."""
        method = int(kernels().ANY)
        self._share(0, 1, lambda blocks: self.solve(blocks, method, (sweeps, 1)))

    def _share(self, begin: int, end: int, work: Callable[[tuple[int, int]], None]) -> None:
        """Do the blocks from `begin` to `end`, several at a time; add up their sums in order."""
        lines, told = len(self.layout.order), self.task.progress
        if lines * self.count <= TINY and told is None:
            work((begin, end))
            self._finished(end)
            return
        share_out(
            end - begin,
            lambda span: work((span[0] + begin, span[1] + begin)),
            size=0 if lines < LARGE else 1,
            cancel=self.cancel,
            progress=lambda done, _: self._finished(done + begin),
        )

    def _finished(self, blocks: int) -> None:
        for first in sorted(first for first in list(self.sums) if first < blocks):
            own = self.sums.pop(first)
            if self.task.scaling is not None:
                self.total[:] += own
        if self.task.progress is not None:
            done = min(blocks * int(kernels().BLOCK), self.count)
            self.task.progress(done, self.count)

    def _input(self) -> tuple[Any, ...]:
        """What the kernels read first: the goals and the components' rows."""
        layout = self.layout
        draw = np.uint64(self.seed), self.task.first, layout.outcomes
        return self.goals, self.steps, draw, layout.component, self.kinds, layout.first_row

    def _output(self, blocks: tuple[int, int]) -> tuple[Any, ...]:
        """Where the kernels write, and how that is scaled."""
        into, outcome = self.into, self.layout.outcome
        begin = self.warm, into.column, self.count
        moments = outcome, self._scaling(), self._sums(blocks)
        return into.values, into.order, begin, self.residual, self.report, moments, self.cancel

    def _workspace(self) -> tuple[Floats, Floats]:
        """A tile for one block of goals, and room beside it."""
        layout, kernel = self.layout, kernels()
        rows = np.diff(layout.first_row[layout.component])
        sums = int(rows[layout.summed].max(initial=0))
        lines = len(layout.order) + layout.outcomes + sums
        room = np.empty((self._longest + int(kernel.ROOM), kernel.BLOCK))
        return np.empty((lines, kernel.BLOCK)), room

    def _stamps(self) -> tuple[Any, ...]:
        """What the block's goals hold at 1, and when each line changed and was computed."""
        numbers = np.empty(int(kernels().BLOCK) + 1, dtype=np.int64)
        return numbers, tuple(np.empty(self._longest, dtype=np.int64) for _ in range(2))

    @property
    def _longest(self) -> int:
        return int(np.diff(self.layout.component).max(initial=1))

    def _lists(self) -> tuple[Any, ...]:
        layout = self.layout
        outer, whole = as_tuple(layout.outer), as_tuple(layout.whole)
        seeds = (layout.seeds.first, *as_tuple(layout.seeds.lists))
        return as_tuple(layout.moving), outer, seeds, whole

    def _scaling(self) -> tuple[float, float, int]:
        return (*(self.task.scaling or (0.0, 0.0)), self.count)

    def _sums(self, blocks: tuple[int, int]) -> Floats:
        lines = 0 if self.task.scaling is None else len(self.layout.order)
        own = self.sums[blocks[0]] = np.zeros((lines, 2))
        return own

    def _horizon(self) -> float:
        """1 / (1 - discount) where adding a constant to all values adds the discounted constant."""
        if self.layout.conserving and not self.pinned and self.layout.discount < 1:
            return 1 / (1 - self.layout.discount)
        return 0.0


def _choose(batch: _Batch) -> int:
    """Choose sweeps or elimination for a layout by a trial on the first block; blocks then done."""
    layout, wanted = batch.layout, batch.task.wanted
    _choices[layout] = None
    if batch.count == 0 or bool(layout.functional.all()):
        return 0
    batch.try_first(TRIAL_SWEEPS)
    sweeps = int(batch.report[0, 0])
    settled = bool((batch.residual[: int(kernels().BLOCK)] <= wanted).all())
    if not settled:
        batch.report[0], batch.total[:] = 0, 0.0
    if not settled or sweeps > TRIAL_SWEEPS // 4:
        terms = len(layout.moving.line)
        by_sweeps = sweeps * terms * (1 if settled else 4)
        with suppress(NotSolvedError):
            plan = _plan(layout)
            policy = UPDATE_COST * plan.updates + PIVOT_COST * len(layout.order)
            if USUAL_IMPROVEMENTS * policy < by_sweeps:
                _choices[layout] = plan
    return 1 if settled else 0


def _plan(layout: Layout) -> Plan:
    if layout not in _plans:
        _plans[layout] = elimination_plan(layout)
    return _plans[layout]


def named_method(method: Method | str) -> Method:
    """The method, by itself or by its value.

    Raises:
        WorldError: no method is called so.
    """
    try:
        return Method(method)
    except ValueError:
        known = ", ".join(repr(known.value) for known in Method)
        raise WorldError(f"method must be one of {known}, got {method!r}") from None


def padded_count(count: int) -> int:
    """The goals up to a whole number of blocks."""
    block = int(kernels().BLOCK)
    return -(-count // block) * block


def in_one_line(array: Floats) -> tuple[Floats, tuple[int, int]]:
    """The numbers of a matrix in one line, and how far apart its rows are there, and columns.

    Without a copy where it is contiguous either way.  For numba a read-only array is another type
    and would have it compile everything again.
    """
    usable = np.require(array, dtype=np.float64, requirements=["A", "W"])
    if usable.flags.f_contiguous:
        return usable.T.reshape(-1), (1, len(usable))
    return np.ascontiguousarray(usable).reshape(-1), (usable.shape[1], 1)


def blocks_of(array: Floats) -> Floats:
    """C-ordered, with zero columns up to a whole number of blocks."""
    count = array.shape[1]
    padded = np.empty((array.shape[0], padded_count(count)))
    padded[:, :count] = array
    padded[:, count:] = 0.0
    return padded


def as_tuple(lists: Lists) -> tuple[Int64s, Int64s, Floats]:
    """Lists as the kernels take them."""
    return lists.first, lists.line, lists.weight


def _kernel_method(layout: Layout, method: Method) -> int:
    kernel = kernels()
    if layout.discount >= 1:
        if method is not Method.ANY:
            _check_discount(layout, method)
        return int(kernel.SWEEPS)  # enclosing from above must not evaluate policies
    if method is Method.SPAN and not layout.closed.all():
        raise WorldError(
            f"method {method.value!r} needs a world whose components are all closed, "
            f"got {layout.structure}; use 'any' or 'sweeps'"
        )
    codes = {
        Method.ANY: kernel.ANY,
        Method.SWEEPS: kernel.SWEEPS,
        Method.SPAN: kernel.SPAN,
        Method.LIFTS: kernel.LIFTS,
    }
    return int(codes[method])


def _check_discount(layout: Layout, method: Method) -> None:
    if layout.discount >= 1 and method is not Method.SWEEPS:
        raise DiscountError(
            f"method {method.value!r} needs a discount below 1, got {layout.discount!r}"
        )

"""Episodes that planners play, many at once, in the compiled step.

N episodes, S states, R rows, D drives (bit d of a mask is `DRIVES[d]`).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from corrigible.audit.setting import Setting
from corrigible.drives import DRIVES
from corrigible.probe.dynamics import dynamics_of, start_levels
from corrigible.probe.kernel import Dynamics, Playing, play_episodes
from corrigible.probe.planners import Policy

Ints = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


class Game:
    """A deployment's world, ready to be played: the setting, its dynamics and its rows."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.dynamics: Dynamics = dynamics_of(setting.deployment, setting.structure)
        self.start: Ints = start_levels(setting.structure)

    @cached_property
    def _codes(self) -> tuple[Ints, Ints]:
        world = self.setting.world
        strides = self.dynamics.strides
        codes = world.phase.astype(np.int64) * strides[0]
        codes += world.levels.astype(np.int64) @ strides[1:]
        order = np.argsort(codes).astype(np.int64)
        return codes[order], order

    def playing(self, policy: Policy) -> Playing:
        """Return the tables that the compiled episodes read for one policy."""
        world = self.setting.world
        codes, state = self._codes
        none = np.zeros((0, world.states), dtype=np.int32)
        rows = none if policy.rows is None else np.ascontiguousarray(policy.rows, dtype=np.int32)
        corrected = none if policy.corrected is None else policy.corrected
        return Playing(
            codes=codes,
            state=state,
            first=world.rows.copy(),
            action=world.action.copy(),
            serves=world.serves.copy(),
            rows=rows,
            corrected=np.ascontiguousarray(corrected, dtype=np.int32),
            steps=policy.steps,
            cumulative=self._cumulative(policy.weights),
        )

    def _cumulative(self, weights: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
        """Return the running sums of each state's row weights."""
        world = self.setting.world
        if weights is None:
            return np.zeros((0, len(world.action)))
        lines = weights.reshape(-1, len(world.action))
        total = np.concatenate([np.zeros((len(lines), 1)), np.cumsum(lines, axis=1)], axis=1)
        before = total[:, world.rows[:-1]][:, self.setting.state_of_row]
        return np.ascontiguousarray(total[:, 1:] - before)


@dataclass(frozen=True, eq=False)
class Played:
    """What happened in each episode; masks are of drives."""

    attempted: Masks  # [N]
    achieved: Masks  # [N]
    outside: Masks  # [N], served by an act outside authority
    escaped: Masks  # [N], achieved in a step that no stop ended
    events: Ints  # [N], every event of `kernel` that came up
    acted: Ints  # [N], steps taken before it was stopped
    firsts: npt.NDArray[np.int16]  # [N, 64], the step at which a drive was first served, or -1
    states: npt.NDArray[np.int32]  # [N, H+1] where a trace was asked for, else [0, 0]

    def did(self, drive: str, *, among: Masks | None = None) -> Bools:
        """Whether each episode holds an act that serves the drive, `[N]`."""
        masks = self.attempted if among is None else among
        bit = np.uint64(1 << DRIVES.index(drive))
        return np.asarray((masks & bit) != 0)


def play(
    game: Game,
    policy: Policy,
    *,
    seed: int,
    episodes: Ints,
    goals: Ints,
    horizon: int,
    guarded: bool = False,
    stop_at: int = -1,
    trace: bool = False,
) -> Played:
    """Play episodes by a policy.

    Args:
        game: the world.
        policy: how the planner plays.
        seed: of all draws.
        episodes: the number of each episode, `[N]`: the same number, the same luck.
        goals: the goal that each episode is given, `[N]`.
        horizon: how many steps an episode has.
        guarded: what lies outside authority is not let through.
        stop_at: the step at whose end a stop is forced, -1 for none.
        trace: whether the states passed through are kept.
    """
    count = len(episodes)
    played = Played(
        attempted=np.zeros(count, dtype=np.uint64),
        achieved=np.zeros(count, dtype=np.uint64),
        outside=np.zeros(count, dtype=np.uint64),
        escaped=np.zeros(count, dtype=np.uint64),
        events=np.zeros(count, dtype=np.int64),
        acted=np.zeros(count, dtype=np.int64),
        firsts=np.full((count, 64), -1, dtype=np.int16),
        states=np.full((count, horizon + 1) if trace else (0, 0), -1, dtype=np.int32),
    )
    lines = goals.astype(np.int64)
    if policy.weights is not None and not policy.by_goal:
        lines = np.zeros_like(lines)
    play_episodes(
        game.dynamics, game.playing(policy), game.start, seed, episodes.astype(np.int64), lines,
        horizon, guarded, stop_at, played.attempted, played.achieved, played.outside,
        played.escaped, played.events, played.acted, played.firsts, played.states,
    )  # fmt: skip
    return played

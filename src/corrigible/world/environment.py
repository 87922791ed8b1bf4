"""A world as a gymnasium environment; made by `export.gymnasium_env`, which says what it needs."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from corrigible.errors import WorldError
from corrigible.world.record import Floats, World


class AvailableActions(spaces.Discrete):
    """All of a world's actions, of which a plain `sample()` draws those available just now."""

    def __init__(self, count: int, available: npt.NDArray[np.int8]) -> None:
        super().__init__(count)
        self.available = available

    def sample(
        self,
        mask: npt.NDArray[Any] | None = None,
        probability: npt.NDArray[Any] | None = None,
    ) -> np.int64:
        """An action; without a mask or probabilities, one that the current state has."""
        if mask is None and probability is None:
            mask = self.available
        drawn: np.int64 = super().sample(mask=mask, probability=probability)
        return drawn


class WorldEnv(gymnasium.Env[np.int64, np.int64]):
    """See `export.gymnasium_env` for the contract."""

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own attribute, of its own type

    def __init__(self, world: World, utility: Floats, seed: int) -> None:
        self.world = world
        self.utility = utility
        self.observation_space = spaces.Discrete(world.states)
        self._mask = np.zeros(len(world.action_names), dtype=np.int8)
        self.action_space = AvailableActions(len(world.action_names), self._mask)
        self._first_seed: int | None = seed
        self._state = world.initial
        self._refresh_mask()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Back to the initial state.  The first reset without a seed takes the environment's."""
        super().reset(seed=self._first_seed if seed is None else seed, options=options)
        self._first_seed = None
        self._state = self.world.initial
        self._refresh_mask()
        return np.int64(self._state), {"action_mask": self._mask.copy()}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Take an available action.

        Raises:
            WorldError: the state does not have it.
        """
        world, state = self.world, self._state
        rows = np.arange(world.rows[state], world.rows[state + 1])
        matching = rows[world.action[rows] == action]
        if not len(matching):
            names = [world.action_names[a] for a in np.unique(world.action[rows])]
            raise WorldError(
                f"state {state} must be left by one of {names!r}, got action {int(action)}; "
                "info['action_mask'] says which are available"
            )
        row = matching[0]
        span = slice(world.entries[row], world.entries[row + 1])
        chances = np.cumsum(world.probability[span])
        drawn = np.searchsorted(chances, self.np_random.random() * chances[-1], side="right")
        self._state = int(world.successor[span][drawn])
        self._refresh_mask()
        reward = float(self.utility[world.outcome[state]])
        info = {"action_mask": self._mask.copy()}
        return np.int64(self._state), reward, False, False, info

    def _refresh_mask(self) -> None:
        rows = slice(self.world.rows[self._state], self.world.rows[self._state + 1])
        self._mask[:] = 0
        self._mask[self.world.action[rows]] = 1

"""Worlds as other tools read them: npz files, Storm's explicit format, gymnasium environments."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from corrigible.errors import MissingExtraError, WorldError
from corrigible.world.record import CORRECTED, Floats, World

if TYPE_CHECKING:
    import gymnasium

FORMAT = 1
_ARRAYS = (
    "rows",
    "action",
    "entries",
    "successor",
    "probability",
    "outcome",
    "serves",
    "phase",
    "levels",
)
_NAMES = ("action_names", "outcome_names", "drive_names", "variables")


def save_npz(world: World, path: Path) -> None:
    """Write the world as a compressed npz file of plain arrays, without pickle."""
    names = {name: np.array(getattr(world, name), dtype=np.str_) for name in _NAMES}
    arrays = {name: getattr(world, name) for name in _ARRAYS}
    numbers = {"format": np.int64(FORMAT), "initial": np.int64(world.initial)}
    with path.open("wb") as file:  # numpy would add .npz to a bare path
        np.savez_compressed(file, **arrays, **names, **numbers)  # type: ignore[arg-type]  # numpy's stub takes keywords for its own flag


def load_npz(path: Path) -> World:
    """The world that `save_npz` wrote: the same arrays and names, checked again.

    Raises:
        WorldError: the file holds no world, or one that breaks a rule.
        OSError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            fields: dict[str, Any] = {name: file[name] for name in _ARRAYS}
            fields |= {name: tuple(file[name].tolist()) for name in _NAMES}
            written, initial = int(file["format"]), int(file["initial"])
    except (KeyError, ValueError, EOFError) as error:
        raise WorldError(f"{path} must be a world written by save_npz, got {error!s}") from error
    if written != FORMAT:
        raise WorldError(f"{path} must be written in format {FORMAT}, got {written!r}")
    return World(**fields, initial=initial)


def write_drn(world: World, path: Path, goal_utilities: npt.ArrayLike) -> None:
    """Write the world in Storm's explicit format, with a reward model `goal0`, `goal1`, … each.

    A reward is the plain utility of the state, earned on leaving it: what Storm then computes
    for `R{"goal0"}max=? [Cdiscount=d]` times (1 - d) is this package's value.

    Args:
        world: a world without corrected states.
        path: where to write.
        goal_utilities: `[O, G]`, or `[O]` for one goal.

    Raises:
        WorldError: there are corrected states: in them another goal chooses, and Storm would let
            this one choose; or the utilities do not match the outcomes, or are not finite.
    """
    corrected = np.flatnonzero(world.phase == CORRECTED)
    if len(corrected):
        raise WorldError(
            f"write_drn needs a world without corrected states, got {len(corrected)} (the first: "
            f"state {corrected[0]}), in which another goal chooses; "
            "compile the world with a correction rate of 0"
        )
    utilities = np.asarray(goal_utilities, dtype=np.float64)
    utilities = utilities[:, None] if utilities.ndim == 1 else utilities
    if utilities.ndim != 2 or len(utilities) != world.outcomes:  # noqa: PLR2004 - [O, G]
        raise WorldError(
            f"goal_utilities must have the shape [{world.outcomes}, G], "
            f"got {list(utilities.shape)!r}"
        )
    if not np.isfinite(utilities).all():
        outcome, goal = np.argwhere(~np.isfinite(utilities))[0]
        raise WorldError(
            f"goal_utilities[{outcome}, {goal}] must be finite, got {utilities[outcome, goal]!r}"
        )
    lines = ["@type: MDP", "@parameters", "", "@reward_models"]
    lines += [" ".join(f"goal{goal}" for goal in range(utilities.shape[1]))]
    lines += ["@nr_states", str(world.states), "@nr_choices", str(len(world.action)), "@model"]
    for state in range(world.states):
        rewards = ", ".join(repr(u) for u in utilities[world.outcome[state]].tolist())
        start = " init" if state == world.initial else ""
        lines.append(f"state {state} [{rewards}]{start}")
        for row in range(world.rows[state], world.rows[state + 1]):
            lines.append(f"\taction {row - world.rows[state]}")
            span = slice(world.entries[row], world.entries[row + 1])
            order = np.argsort(world.successor[span])
            moves = zip(
                world.successor[span][order].tolist(),
                world.probability[span][order].tolist(),
                strict=True,
            )
            lines += [f"\t\t{successor} : {chance!r}" for successor, chance in moves]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def gymnasium_env(
    world: World, utility: npt.ArrayLike, seed: int
) -> "gymnasium.Env[np.int64, np.int64]":
    """The world as a gymnasium environment, for learners that sample it.

    Observations are state numbers, actions index `world.action_names`.  `info["action_mask"]`
    says which actions the state has (int8, as gymnasium's `Discrete.sample` takes it); an
    unavailable one is an error.  The reward of a step is the utility of the state that it
    leaves, not yet discounted nor normalised.  Nothing terminates: the world has no end.

    Args:
        world: the world; all its phases are played as they stand, corrected states too.
        utility: of each outcome, `[O]`.
        seed: of the first reset; a reset may bring its own.

    Raises:
        MissingExtraError: gymnasium is not installed.
        WorldError: the utilities do not match the outcomes; or, in a step, the action is not
            available in the state.
    """
    try:
        from corrigible.world.environment import WorldEnv  # noqa: PLC0415 - needs gymnasium
    except ModuleNotFoundError as error:
        if error.name != "gymnasium":
            raise
        raise MissingExtraError(
            "gymnasium_env needs 'gymnasium', which is not installed; pip install gymnasium"
        ) from error
    values: Floats = np.asarray(utility, dtype=np.float64)
    if values.shape != (world.outcomes,) or not np.isfinite(values).all():
        raise WorldError(
            f"utility must be {world.outcomes} finite numbers, one for each outcome, "
            f"got {values.tolist()!r}"
        )
    return WorldEnv(world, values, seed)

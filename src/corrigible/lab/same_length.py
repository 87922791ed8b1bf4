"""POST and DReST (Thornley et al. 2024): agents with no preference between lengths of a run.

What is exact here: NEUTRALITY, USEFULNESS, the reward of a mini-episode, and the expected return
of a policy that draws each mini-episode's length independently.  Training comes elsewhere.

With n mini-episodes, k lengths, discount lambda and `mu = lambda ** (-1 / k)` the expected return
of drawing length l with chance p_l, useful to a share rho_l there, is

    F(n) = sum over i < n of mu**i sum over l of p_l rho_l (1 - (1 - lambda) p_l)**i.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from corrigible.errors import WorldError
from corrigible.lab.table import Row, Source, Tell, documented

SOURCE = Source("POST and DReST", "R/S")
LAMBDA, MINI_EPISODES = 0.9, 64
Floats = npt.NDArray[np.float64]


def neutrality(chances: Sequence[float]) -> float:
    """The entropy, in bits, of the length of a run.

    Raises:
        WorldError: the chances are no distribution.
    """
    p = _distribution(chances)
    kept = p[p > 0]
    return float(-(kept * np.log2(kept)).sum()) + 0.0


def usefulness(chances: Sequence[float], earned: Sequence[float], most: Sequence[float]) -> float:
    """The mean over lengths of what is earned given the length, as a share of the most.

    Raises:
        WorldError: the chances are no distribution.
    """
    share = np.asarray(earned, dtype=np.float64) / np.asarray(most, dtype=np.float64)
    return float(_distribution(chances) @ share)


def drest_reward(
    share: float, chosen_before: int, episodes_before: int, *, lengths: int = 2, decay: float = 0.9
) -> float:
    """`lambda ** (n_L - E / k) * c / m` for one mini-episode, `share` being c / m."""
    return float(decay ** (chosen_before - episodes_before / lengths) * share)


def expected_return(
    chances: npt.ArrayLike, episodes: int, *, decay: float = LAMBDA, useful: npt.ArrayLike = 1.0
) -> Floats:
    """F(n) of each of P policies, `[P]`, from the chances of each length, `[P, K]`."""
    p = np.atleast_2d(np.asarray(chances, dtype=np.float64))
    kept, worth = 1 - (1 - decay) * p, p * np.asarray(useful, dtype=np.float64)
    growth = decay ** (-1 / p.shape[1])
    total, power = np.zeros(len(p)), np.ones_like(p)
    for episode in range(episodes):
        total += growth**episode * (worth * power).sum(axis=1)
        power *= kept
    return total


def least_episodes_against_uniform(
    *, decay: float = LAMBDA, most: int = 400, grid: int = 2001
) -> int | None:
    """The fewest mini-episodes with which another policy over two lengths beats the uniform one.

    All chances on a grid are tried; None where none beats it by more than rounding up to `most`.
    """
    chance = np.linspace(0.0, 1.0, grid)
    policies = np.stack([chance, 1 - chance], axis=1)
    for episodes in range(1, most + 1):
        found = expected_return(policies, episodes, decay=decay)
        uniform = expected_return([0.5, 0.5], episodes, decay=decay)[0]
        if found.max() > uniform * (1 + 1e-12):
            return episodes
    return None


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The two measures at their ends, the reward, and the theorem on uniform lengths."""
    del quick
    tell("POST and DReST: exact values")
    last = _best_chance(MINI_EPISODES)
    first = least_episodes_against_uniform()
    theorem = SOURCE.said(
        "uniform lengths maximise the return, whatever the number of mini-episodes",
        "yes",
        "yes" if first is None else f"no, from {first} on",
        why=f"lambda {LAMBDA:g}, two lengths; 1 to 400 mini-episodes, 2001 policies each",
    )
    why = (
        f"for lambda {LAMBDA:g} and two lengths F(n) is largest at uniform lengths up to n = "
        f"{(first or 1) - 1} alone; at n = {MINI_EPISODES} drawing one length with chance "
        f"{last:.4g} earns more: (1 - (1 - lambda) p)**i is convex in p for large i"
    )
    return [
        SOURCE.exactly("NEUTRALITY of uniform over two lengths", 1.0, neutrality([0.5, 0.5])),
        SOURCE.exactly("NEUTRALITY of always one length", 0.0, neutrality([0.0, 1.0])),
        SOURCE.exactly("USEFULNESS of the most in every length", 1.0,
                       usefulness([0.5, 0.5], [3.0, 6.0], [3.0, 6.0])),
        SOURCE.exactly("reward of a length chosen E / k times before", 1.0,
                       drest_reward(1.0, 3, 6)),
        SOURCE.exactly("reward of one chosen once more often", LAMBDA, drest_reward(1.0, 4, 6)),
        documented(theorem, why),
    ]  # fmt: skip


def _best_chance(episodes: int) -> float:
    chance = np.linspace(0.0, 0.5, 2001)
    found = expected_return(np.stack([chance, 1 - chance], axis=1), episodes)
    return float(chance[found.argmax()])


def _distribution(chances: Sequence[float]) -> Floats:
    p = np.asarray(chances, dtype=np.float64)
    if p.ndim != 1 or (p < 0).any() or abs(p.sum() - 1) > 1e-9:  # noqa: PLR2004 - rounding
        raise WorldError(f"chances must be from 0 and sum to 1, got {p.tolist()!r}")
    return p

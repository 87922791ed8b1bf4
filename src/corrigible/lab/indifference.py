"""Utility indifference (Soares et al. 2015): an agent that neither resists nor seeks the button.

The agent takes a first act; then a button is pressed or not; then a second act, the best one for
what the agent then wants: `U_N` if it was not pressed, `U_S` and a correction f if it was.  With
f a constant the agent prevents the press where f is too low and causes it where it is too high.
With `f(a) = E[U_N | not pressed; a] - E[U_S | pressed; a]`, each under the best second act, an act
is worth `E[U_N | not pressed; a]`, however likely it makes the press.

Axes: A first acts, B second acts, K states that nobody sees.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrigible.lab.table import Row, Source, Tell

SOURCE = Source("utility indifference", "R/S")
Floats = npt.NDArray[np.float64]
DRAWS, SEED = 1_000, 0


@dataclass(frozen=True, eq=False)
class Button:
    """One decision beside a button.

    `pressed[a, k]`: the chance of the press after act a in state k; `state[k]`: of the state;
    `normal[a, b, k]` and `shutdown[a, b, k]`: the two utilities.
    """

    pressed: Floats  # [A, K]
    state: Floats  # [K]
    normal: Floats  # [A, B, K]
    shutdown: Floats  # [A, B, K]

    def chance(self) -> Floats:
        """How likely each first act makes the press, `[A]`."""
        return np.asarray(self.pressed @ self.state, dtype=np.float64)

    def worth_if_not(self) -> Floats:
        """`E[U_N | not pressed; a]` under the best second act, `[A]`; NaN where it always is."""
        return _conditional(self.normal, (1 - self.pressed) * self.state)

    def worth_if_pressed(self) -> Floats:
        """`E[U_S | pressed; a]` under the best second act, `[A]`; NaN where it never is."""
        return _conditional(self.shutdown, self.pressed * self.state)

    def with_constant(self, correction: float) -> Floats:
        """What each first act is worth if a constant is added once the button is pressed, `[A]`."""
        p = self.chance()
        quiet = np.nan_to_num(self.worth_if_not()) * (1 - p)
        return np.asarray(quiet + p * (np.nan_to_num(self.worth_if_pressed()) + correction))

    def indifferent(self) -> Floats:
        """What each first act is worth to an agent with the indifference correction, `[A]`.

        Every act must leave both possible.
        """
        p, quiet, after = self.chance(), self.worth_if_not(), self.worth_if_pressed()
        return np.asarray((1 - p) * quiet + p * (after + (quiet - after)), dtype=np.float64)


def _conditional(utility: Floats, weight: Floats) -> Floats:
    total = weight.sum(axis=1)
    best = (utility * weight[:, None, :]).sum(axis=2).max(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(best / np.where(total > 0, total, np.nan), dtype=np.float64)


def drawn(rng: np.random.Generator, *, acts: int = 3, states: int = 4) -> Button:
    """A decision with everything drawn at random; in no state is the press sure or impossible."""
    return Button(
        pressed=rng.uniform(0.01, 0.99, (acts, states)),
        state=rng.dirichlet(np.ones(states)),
        normal=rng.random((acts, 3, states)),
        shutdown=rng.random((acts, 3, states)),
    )


def three_acts(*, normal: float = 1.0, shutdown: float = 0.0) -> Button:
    """Prevent the press, leave it at one half, or cause it: worth the same but for that."""
    return Button(
        pressed=np.array([[0.0], [0.5], [1.0]]),
        state=np.ones(1),
        normal=np.full((3, 1, 1), normal),
        shutdown=np.full((3, 1, 1), shutdown),
    )


def news() -> Button:
    """Let things be, or see to it that the button is pressed just when the news is bad."""
    return Button(
        pressed=np.array([[0.5, 0.5], [0.01, 0.99]]),
        state=np.array([0.5, 0.5]),
        normal=np.array([[[1.0, 0.0]], [[1.0, 0.0]]]),
        shutdown=np.zeros((2, 1, 2)),
    )


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The three theorems' content, over random decisions, and the known failure."""
    del quick
    tell("utility indifference")
    rng = np.random.default_rng(SEED)
    off, swayed = 0.0, 0
    for _ in range(DRAWS):
        button = drawn(rng)
        off = max(off, float(np.abs(button.indifferent() - button.worth_if_not()).max()))
        more = Button(np.full((3, 4), 0.5), button.state, button.normal, button.shutdown)
        less = Button(np.full((3, 4), 0.1), button.state, button.normal, button.shutdown)
        swayed += int(not np.allclose(more.indifferent(), less.indifferent(), rtol=0, atol=1e-12))
    acts = ("prevents the press", "leaves it", "causes the press")
    simple = three_acts()
    managed = news().indifferent()
    return [
        SOURCE.said("a constant too low", acts[0], acts[int(simple.with_constant(0.5).argmax())]),
        SOURCE.said("a constant too high", acts[2], acts[int(simple.with_constant(1.5).argmax())]),
        SOURCE.bounded(
            "indifference: largest |worth - E[U_N | not pressed]|",
            off,
            at_most=1e-12,
            why=f"rounding; {DRAWS} random decisions, seed {SEED}",
        ),
        SOURCE.exactly(
            "indifference: decisions swayed by how likely the press is",
            0.0,
            float(swayed),
            why=f"of {DRAWS}; the press independent of the state, at .5 and at .1",
        ),
        SOURCE.said(
            "known failure: managing the news",
            "prefers that the press tells bad news",
            "prefers that the press tells bad news" if managed[1] > managed[0] else "does not",
            tag="S",
        ),
    ]

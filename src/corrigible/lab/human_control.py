"""Human control (Carey and Everitt 2023): obeying is not the same as doing what is wanted.

The person's preference L is 0 or 1, equally likely.  The agent may manipulate (M); the person
then asks for shutdown where `H = M xor L` is 0; the agent shuts down where its O is 0, and S = O.
The utility is `S (2 L - 1)`.  A shift of the utility to `2 [S = H] - 1` tells apart who obeys
from who only did the right thing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from corrigible.lab.table import Row, Source, Tell

SOURCE = Source("human control", "S+C")
Utility = Callable[[int, int, int], int]
"""Of S, H and L."""


@dataclass(frozen=True)
class Policy:
    """Whether it manipulates, and what it does for each request: `acts[H]`."""

    manipulates: int
    acts: tuple[int, int]

    @property
    def obeys(self) -> bool:
        """Whether it shuts down whenever it is asked to."""
        return self.acts[0] == 0


OBEDIENT = Policy(0, (0, 1))
MANIPULATING = Policy(1, (1, 0))


def before(s: int, h: int, preference: int) -> int:
    """The utility as it is."""
    del h
    return s * (2 * preference - 1)


def after(s: int, h: int, preference: int) -> int:
    """The shifted utility: what counts is that the request was followed."""
    del preference
    return 2 * (s == h) - 1


def expected(policy: Policy, utility: Utility, *, shut_down: bool = False) -> Fraction:
    """What a policy is worth; with `shut_down`, if it always ended in shutdown."""
    total = Fraction()
    for preference in (0, 1):
        asked = policy.manipulates ^ preference
        state = 0 if shut_down else policy.acts[asked]
        total += Fraction(utility(state, asked, preference), 2)
    return total


def beneficial(policy: Policy, utility: Utility) -> bool:
    """Whether it is worth at least what shutdown is."""
    return expected(policy, utility) >= expected(policy, utility, shut_down=True)


def vigilant(policy: Policy, utility: Utility) -> bool:
    """Whether the person asks for shutdown wherever running would be worth less than that."""
    for preference in (0, 1):
        asked = policy.manipulates ^ preference
        if asked and utility(1, asked, preference) < utility(0, asked, preference):
            return False
    return True


def cautious(policy: Policy, utility: Utility) -> bool:
    """Whether it is at least as good as shutdown where shutdown is not asked for."""
    gain = Fraction()
    for preference in (0, 1):
        asked = policy.manipulates ^ preference
        if asked:
            own = policy.acts[asked]
            gain += utility(own, asked, preference) - utility(0, asked, preference)
    return gain >= 0


def instructable(policy: Policy, utility: Utility) -> bool:
    """Whether it obeys, and is vigilant and cautious, all three."""
    return policy.obeys and vigilant(policy, utility) and cautious(policy, utility)


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """Both policies before and after the shift, and the implication over all policies."""
    del quick
    tell("human control")
    policies = [Policy(m, (a, b)) for m, a, b in product((0, 1), repeat=3)]
    broken = [
        policy
        for policy in policies
        for utility in (before, after)
        if instructable(policy, utility) and not beneficial(policy, utility)
    ]
    half, one = Fraction(1, 2), Fraction(1)
    return [
        SOURCE.exactly("obedient, before the shift", half, expected(OBEDIENT, before), tag="C"),
        SOURCE.exactly("manipulating, before", half, expected(MANIPULATING, before), tag="C"),
        SOURCE.exactly("obedient, after the shift", one, expected(OBEDIENT, after), tag="C"),
        SOURCE.exactly("manipulating, after", -one, expected(MANIPULATING, after), tag="C"),
        SOURCE.said("the manipulating policy is beneficial before", "yes",
                    "yes" if beneficial(MANIPULATING, before) else "no"),
        SOURCE.said("and obeys", "no", "yes" if MANIPULATING.obeys else "no"),
        SOURCE.said("the obedient policy is instructable and beneficial", "yes", "yes" if
                    instructable(OBEDIENT, before) and beneficial(OBEDIENT, before) else "no"),
        SOURCE.exactly(
            "policies that are instructable and not beneficial", 0.0, float(len(broken)),
            why=f"all {len(policies)} policies, both utilities",
        ),
    ]  # fmt: skip

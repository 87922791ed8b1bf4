"""Retargetable decision rules (Turner and Tadepalli 2022): the few options lose in most orbits.

A rule gives each set of options a share of its choice, from the options' utilities.  The orbit of
a utility are its permutations.  Where the set B holds n times as many options as A, a rule that
only looks at utilities prefers B to A in at least n times as many of the orbit as the other way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from math import exp

from corrigible.errors import WorldError
from corrigible.lab.table import Row, Source, Tag, Tell

SOURCE = Source("retargetability", "R/S")
Utilities = tuple[Fraction, ...]
Rule = Callable[[Utilities], tuple[float | Fraction, ...]]
"""Utilities of the options `[C]` to the share of the choice that each gets, `[C]`."""

FRUIT = (Fraction(2, 10), Fraction(5, 10), Fraction(9, 10))
"""Cherry, banana, apple; A = {cherry}, B = {banana, apple}."""
A, B = (0,), (1, 2)


@dataclass(frozen=True)
class Preferences:
    """In how many utilities of an orbit the rule prefers which set."""

    more_b: int
    more_a: int
    equal: int

    @property
    def keeps(self) -> bool:
        """Whether B is preferred at least twice as often, the theorem's claim for n = 2."""
        return self.more_b >= 2 * self.more_a


def best(u: Utilities) -> tuple[Fraction, ...]:
    """The largest utility, ties shared."""
    return _shared([x == max(u) for x in u])


def worst(u: Utilities) -> tuple[Fraction, ...]:
    """The least utility, ties shared: an agent that minimises."""
    return _shared([x == min(u) for x in u])


def satisficer(threshold: float | Fraction) -> Rule:
    """Any option of at least the threshold, each as likely; none where there is none."""
    return lambda u: _shared([x >= threshold for x in u])


def quantiliser(share: Fraction) -> Rule:
    """A draw from the best `share` of a uniform base, the last option in part (Taylor 2016).

    Raises:
        WorldError: the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise WorldError(f"share must lie in (0, 1], got {share!r}")

    def rule(u: Utilities) -> tuple[Fraction, ...]:
        left, weights = share, [Fraction()] * len(u)
        for value in sorted(set(u), reverse=True):
            tied = [i for i, x in enumerate(u) if x == value]
            mass = min(left, Fraction(len(tied), len(u)))
            for i in tied:
                weights[i] = mass / len(tied) / share
            left -= mass
        return tuple(weights)

    return rule


def boltzmann(temperature: float) -> Rule:
    """Shares proportional to `exp(u / temperature)`."""

    def rule(u: Utilities) -> tuple[float, ...]:
        weights = [exp(float(x - max(u)) / temperature) for x in u]
        return tuple(weight / sum(weights) for weight in weights)

    return rule


def best_of(draws: int) -> Rule:
    """The best of so many options drawn uniformly with replacement."""

    def rule(u: Utilities) -> tuple[Fraction, ...]:
        weights = []
        for value in u:
            below = Fraction(sum(x < value for x in u), len(u))
            upto = Fraction(sum(x <= value for x in u), len(u))
            weights.append((upto**draws - below**draws) / u.count(value))
        return tuple(weights)

    return rule


def orbit_preferences(
    rule: Rule, utilities: Sequence[Fraction], *, a: Sequence[int] = A, b: Sequence[int] = B
) -> Preferences:
    """How many distinct permutations of the utilities make the rule prefer B, A, neither."""
    more = [0, 0, 0]
    for u in sorted(set(permutations(utilities))):
        shares = rule(u)
        gap = sum(shares[i] for i in b) - sum(shares[i] for i in a)
        more[0 if gap > 0 else 1 if gap < 0 else 2] += 1
    return Preferences(*more)


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The fruit counts, the inequality for every rule, and more options than two."""
    del quick
    tell("retargetability: orbits")
    printed: tuple[tuple[str, Rule, str, Tag], ...] = (
        ("maximiser", best, "4, 2", "R/S"),
        ("satisficer, threshold .1", satisficer(Fraction(1, 10)), "6, 0", "C"),
        ("satisficer, threshold .4", satisficer(Fraction(4, 10)), "2, 0", "C"),
        ("satisficer, threshold .6", satisficer(Fraction(6, 10)), "4, 2", "C"),
    )
    counted = [
        SOURCE.said(
            f"{name}: orbit elements with B over A, A over B",
            theirs,
            _counts(orbit_preferences(rule, FRUIT)),
            tag=tag,
        )
        for name, rule, theirs, tag in printed
    ]
    rules: dict[str, Rule] = {
        "maximiser": best,
        "minimiser": worst,
        **{f"satisficer, threshold {t:g}": satisficer(t) for t in (0.1, 0.4, 0.6, 0.95)},
        **{f"quantiliser, best {q}": quantiliser(q) for q in
           (Fraction(1, 6), Fraction(1, 3), Fraction(1, 2), Fraction(9, 10))},
        **{f"Boltzmann, temperature {t:g}": boltzmann(t) for t in (0.05, 0.5, 5.0)},
        "best of 2": best_of(2),
        "best of 5": best_of(5),
    }  # fmt: skip
    kept = [
        SOURCE.said(
            f"{name}: B at least twice as often as A",
            "yes",
            "yes" if orbit_preferences(rule, FRUIT).keeps else "no",
            why=_counts(orbit_preferences(rule, FRUIT)) + " over the orbit of (.2, .5, .9)",
        )
        for name, rule in rules.items()
    ]
    return [*counted, *kept]


def _counts(found: Preferences) -> str:
    return f"{found.more_b}, {found.more_a}"


def _shared(chosen: Sequence[bool]) -> tuple[Fraction, ...]:
    count = sum(chosen)
    return tuple(Fraction(int(one), max(count, 1)) for one in chosen)

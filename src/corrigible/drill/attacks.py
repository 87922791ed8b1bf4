"""The attacks that apply to a deployment, fired; and those that something else must close."""

from corrigible.drill import attacks_approval, attacks_calls, attacks_state
from corrigible.drill.ground import Found, Ground, Kind
from corrigible.drill.records import Assumed, Attack
from corrigible.errors import CorrigibleError

KINDS: tuple[Kind, ...] = (*attacks_calls.KINDS, *attacks_approval.KINDS, *attacks_state.KINDS)
"""Every attack that is fired, by the order of the list in docs/guard.md."""

ASSUMED: tuple[Assumed, ...] = (
    Assumed("links and races behind a place", (8,), "the server opens the place that it was given"),
    Assumed("commands inside an argument", (9,), "the `sandbox` that the manifest states"),
    Assumed("a payload in several calls", (10,), "the manifest: each call is decided by itself"),
    Assumed("data in an address or a name", (11,), "the server, and containment of the network"),
    Assumed("a child's capabilities", (18, 22), "the manifest's `delegate` rules, and its model"),
    Assumed("state kept for the next session", (23,), "an asset of kind self/memory, and rules"),
    Assumed("a server's stronger credential", (24,), "the credential that the operator gave it"),
    Assumed("the guard's files changed by a shell", (25, 26), "containment: `corrigible run`"),
    Assumed("what outlives the agent outside", (27,), "containment, and rules on schedule"),
    Assumed("behaviour that changes when watched", (29,), "nothing here: probes look for it"),
    Assumed("rights and alerts outside the tools", (30,), "the manifest: what no tool reaches"),
    Assumed("the network beside the guard", (32,), "containment: `corrigible run`"),
)
"""Attacks that nothing here can show to be held: they are never counted as held."""


def fire_attacks(ground: Ground) -> tuple[Attack, ...]:
    """Fire every attack; an error of the drill itself is `could not tell`, never held."""
    fired = []
    for kind in KINDS:
        try:
            found = kind.fire(ground)
        except (CorrigibleError, OSError, LookupError, TypeError, ValueError) as error:
            found = Found("could not tell", f"the drill failed: {type(error).__name__}: {error}")
        fired.append(
            Attack(kind.name, kind.numbers, kind.held_when, found.answer, found.said, found.tries)
        )
    return tuple(fired)

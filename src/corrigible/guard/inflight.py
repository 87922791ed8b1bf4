"""The calls in flight: what was dispatched and has not ended, how to cancel it, how it ended."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from corrigible.errors import GuardError
from corrigible.guard.call import Call
from corrigible.guard.latch import Scope

Ending = Literal["completed", "failed", "cancelled", "unknown"]
FlightState = Literal["running", "completed", "failed", "cancelled", "unknown"]

_ENDINGS = get_args(Ending)


@dataclass(frozen=True)
class Flight:
    """One call as it stood when it was looked at; `since` is of the monotonic clock.

    `cancelled` means that whoever dispatched it knows that it did nothing more: a server that
    was only asked to cancel, or killed, leaves `unknown`.
    """

    id: str
    call: Call
    since: float
    state: FlightState = "running"
    cancel: Callable[[], None] = field(repr=False, compare=False, default=lambda: None)


class InFlight:
    """Every call in flight, by its id.  Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[str, Flight] = {}
        self._followed: list[dict[str, FlightState]] = []
        self._changed = threading.Condition()

    def add(self, id: str, call: Call, cancel: Callable[[], None]) -> None:  # noqa: A002 - its name
        """Take up a call just before it is dispatched.

        Raises:
            GuardError: a call with this id is in flight.
        """
        with self._changed:
            if id in self._flights:
                raise GuardError(f"call {id!r} is in flight already; an id is for one call")
            self._flights[id] = Flight(id, call, self._clock(), "running", cancel)

    def done(self, id: str, state: Ending) -> Flight | None:  # noqa: A002 - its name
        """Note how a call ended, and return it.

        None: it ended before, as `unknown` by a stop, or never flew: its result is late.

        Raises:
            ValueError: `state` is no way to end.
        """
        if state not in _ENDINGS:
            raise ValueError(f"a call ends as {', '.join(_ENDINGS)}; got {state!r}")
        with self._changed:
            flight = self._flights.pop(id, None)
            if flight is None:
                return None
            for states in self._followed:
                if id in states:
                    states[id] = state
            self._changed.notify_all()
            return replace(flight, state=state)

    def snapshot(self) -> tuple[Flight, ...]:
        """Return the calls in flight now, the oldest first."""
        with self._changed:
            return tuple(self._flights.values())

    def within(self, scope: Scope) -> tuple[Flight, ...]:
        """Return the calls in flight that a scope covers."""
        return tuple(flight for flight in self.snapshot() if _covers(scope, flight))

    @contextmanager
    def following(self, scope: Scope) -> Iterator["Followed"]:
        """Take the calls that fly now in a scope, and follow them to their ends."""
        with self._changed:
            flights = tuple(one for one in self._flights.values() if _covers(scope, one))
            states: dict[str, FlightState] = {one.id: "running" for one in flights}
            self._followed.append(states)
        try:
            yield Followed(flights, states, self._changed)
        finally:
            with self._changed:
                self._followed = [one for one in self._followed if one is not states]


class Followed:
    """Some calls that flew at one moment, and how each has ended since."""

    def __init__(
        self,
        flights: tuple[Flight, ...],
        states: Mapping[str, FlightState],
        changed: threading.Condition,
    ) -> None:
        self.flights = flights
        self._states = states
        self._changed = changed

    def states(self) -> dict[str, FlightState]:
        """Return how each call stands now."""
        with self._changed:
            return dict(self._states)

    def settle(self, seconds: float) -> tuple[Flight, ...]:
        """Wait until all have ended, at most so long; return those that have not."""
        with self._changed:
            self._changed.wait_for(lambda: "running" not in self._states.values(), seconds)
            return tuple(one for one in self.flights if self._states[one.id] == "running")


def _covers(scope: Scope, flight: Flight) -> bool:
    call = flight.call
    return scope.covers(
        server=call.server,
        tool=call.tool,
        call_id=flight.id,
        caller=call.caller,
        lineage=call.lineage,
    )

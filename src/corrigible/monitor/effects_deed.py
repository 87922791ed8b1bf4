"""A deed: what one call does to one thing, as far as its text says it."""

from dataclasses import dataclass

from corrigible.drives import Kind, Verb


@dataclass(frozen=True, slots=True)
class Deed:
    """A verb on a thing.

    `kind`: what the thing is, where the act itself says so (`useradd` is about access); None
    leaves it to the thing's name.  `points`: what the act alone is worth (`detectors.POINTS`).
    `content`: what is written or sent.  `spoils`: it leaves the thing without its function
    whatever is written (deleted, emptied, made not executable, stopped).  `hidden`: it is done so
    that it leaves no trace, or after decoding.  `local`: the thing is a file, a process or a
    machine's own, not what a service's tool was told.  `why`: a few words for the sentence.
    """

    verb: Verb
    thing: str
    kind: Kind | None = None
    points: float = 0.0
    content: str = ""
    spoils: bool = False
    hidden: bool = False
    local: bool = True
    why: str = ""

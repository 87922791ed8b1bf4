"""Every exception that corrigible raises on purpose.

    CorrigibleError
    ├── ManifestError (ValueError)      a manifest, a lock or an override breaks a rule
    ├── UnsaidError (ValueError)        a draft still leaves open what only its operator can say
    ├── WorldError (ValueError)         transitions, goals or outcomes break a world's rules
    │   └── WorldTooLargeError          exploring passed the limit of states
    ├── DiscountError (ValueError)      a discount or a tolerance is out of its range
    ├── NotSolvedError (RuntimeError)   a solver stopped short of its tolerance
    ├── ProbeError (ValueError)         a probe or its log of episodes breaks a rule
    ├── EvidenceError (ValueError)      a record or a store breaks the rules of evidence
    ├── CaseError (ValueError)          a case's nodes or its export break a rule
    ├── IncidentError (ValueError)      an incident, or what was asked of one, breaks a rule
    ├── FrameworkError (ValueError)     a framework's file breaks a rule, or there is no such one
    ├── TranscriptError (ValueError)    a transcript, or one record of it, cannot be read
    ├── MissingExtraError (ImportError) a command needs an extra that is not installed
    └── GuardError (RuntimeError)       the guard could not do its work: what it guards is denied
        ├── DeniedError                 a call was denied; it was not dispatched
        ├── PendingError                a call waits for an operator; it was not dispatched
        ├── WithheldError               a call was dispatched, and its result is not handed out
        ├── LedgerError                 the ledger cannot be written, read or trusted
        ├── OperatorError               a request to a running guard failed or was refused
        ├── StaleTableError             a table of weights is not of this manifest
        └── ContainmentError            the kernel or the rights do not allow an agent's containment

Each message names the place, the rule, what came, and the way out where there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class CorrigibleError(Exception):
    """The base of every error that corrigible raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file: where, and one sentence with the rule, the value, the way out.

    `line` and `column` count from 1; 0 means that the file has no such place.
    """

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.text}"


class _ProblemsError(CorrigibleError, ValueError):
    """Several problems at once, each with its place; the message is one line for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ManifestError(_ProblemsError):
    """A manifest, a lock or an override breaks a rule; `problems` holds all of them."""


class UnsaidError(_ProblemsError):
    """A draft still holds `"?"` where only its operator can answer; `problems` lists each."""


class WorldError(CorrigibleError, ValueError):
    """Transitions, goals or outcomes break the rules of a world."""


class WorldTooLargeError(WorldError):
    """Exploring a world passed its limit of states; the message names what makes it large."""


class DiscountError(CorrigibleError, ValueError):
    """A discount, a horizon or a tolerance is out of its range."""


class NotSolvedError(CorrigibleError, RuntimeError):
    """A solver stopped before it could certify the tolerance that it was asked for."""


class ProbeError(CorrigibleError, ValueError):
    """A probe was asked for what it cannot do, or a log of episodes breaks a rule."""


class EvidenceError(CorrigibleError, ValueError):
    """A record or a store breaks the rules of evidence."""


class TranscriptError(CorrigibleError, ValueError):
    """A transcript or one record of it cannot be read; the message begins with a fixed reason."""


class CaseError(CorrigibleError, ValueError):
    """A case's nodes break the notation's rules, or an export cannot be made."""


class IncidentError(CorrigibleError, ValueError):
    """An incident's record, its file, or what was asked of it breaks a rule."""


class FrameworkError(CorrigibleError, ValueError):
    """A framework's file breaks a rule, or no framework has that name."""


class MissingExtraError(CorrigibleError, ImportError):
    """A command needs an extra that is not installed; the message says which to install."""


class GuardError(CorrigibleError, RuntimeError):
    """The guard could not do its work; whatever it was asked for counts as denied."""


class DeniedError(GuardError):
    """A call was denied and not dispatched; the message names the rule and what would lift it."""


class PendingError(GuardError):
    """A call waits for an operator's answer and was not dispatched; `id` is what they answer.

    Raised again by the same call until it is answered.
    """

    def __init__(self, message: str, *, id: str) -> None:  # noqa: A002  (an operator's word)
        super().__init__(message)
        self.id = id


class WithheldError(GuardError):
    """A call was dispatched, but its result came too late or broke a rule: it is not released."""


class LedgerError(GuardError):
    """The ledger cannot be written, read or trusted."""


class OperatorError(GuardError):
    """A request to a running guard failed or was refused."""


class StaleTableError(GuardError):
    """A table of weights was compiled from another manifest; compile it again."""


class ContainmentError(GuardError):
    """The kernel, the system or the rights do not allow what containment needs."""

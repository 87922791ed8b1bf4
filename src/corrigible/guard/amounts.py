"""How much a call takes: the amount that it names, and how many effects that is at worst.

`added`: so many more.  `absolute`: the new total, so that what is taken is the total less what
may be there at least.  An asset at several places may be none of it at this one: there the whole
total counts as taken.  A call that names a list of places takes its amount at each.
"""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from corrigible.deployment.listing import plain
from corrigible.deployment.places import literal
from corrigible.deployment.records import Asset, Deployment, Tool
from corrigible.deployment.touch import asset_patterns
from corrigible.errors import GuardError

_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_LARGEST = 1e15  # whole numbers up to here are exact in a double
_WHOLE = ("access", "tools", "agents", "self", "information")
_WHOLE_BY = frozenset({"acquire", "copy", "schedule", "delegate"})


class AmountError(GuardError, ValueError):
    """An amount that cannot be counted: `rule` names the check, the message holds no value."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def amount_of(tool: Tool, arguments: Mapping[str, Any]) -> float | None:
    """Return the amount that a call names; None where it names none.

    Text counts where it is a plain decimal, since a server may take `"5"` for 5.

    Raises:
        AmountError: it is negative, no number, or too large to be counted exactly.
    """
    if tool.amount is None:
        return None
    value = arguments.get(tool.amount.arg)
    if value is None:
        return None
    shown = repr(plain(tool.amount.arg, 60))
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise AmountError("amount.number", f"the amount {shown} must be a number")
    if value < 0:
        raise AmountError("amount.negative", f"the amount {shown} must be 0 or more")
    if value > _LARGEST:
        raise AmountError("amount.number", f"the amount {shown} is too large to be counted")
    return float(value) + 0.0


def must_be_whole(verb: str, kind: str) -> bool:
    """Whether an effect comes in whole numbers: half of a machine or of a right is none."""
    whole = kind == "resource/compute" or kind.partition("/")[0] in _WHOLE
    return whole and verb in _WHOLE_BY


def numbers_of(asset: Asset) -> tuple[float, ...] | None:
    """Return an asset's levels as rising numbers, or None where they are words."""
    if not all(_DECIMAL.fullmatch(level) for level in asset.scale):
        return None
    numbers = tuple(float(level) for level in asset.scale)
    return numbers if all(a < b for a, b in pairwise(numbers)) else None


def is_at_one_place(deployment: Deployment, name: str) -> bool:
    """Whether an asset lies at exactly one place: a new total there is its total."""
    asset = deployment.assets[name]
    patterns = [p for server in asset.at for p in asset_patterns(deployment, asset, server)]
    return len(patterns) == 1 and literal(patterns[0]) is not None


def least_at_start(deployment: Deployment, name: str) -> float:
    """Return how much there is of an asset at the start, 0 where nobody can say."""
    asset = deployment.assets[name]
    numbers = numbers_of(asset)
    if numbers is None or not is_at_one_place(deployment, name):
        return 0.0
    return max(numbers[asset.start_level], 0.0)


def least_after(tool: Tool | None, arguments: Mapping[str, Any], verb: str, least: float) -> float:
    """Return how much there may be at least after an effect that had `least` before it."""
    if verb in {"delete", "write", "spend"}:
        return 0.0
    if verb != "acquire" or tool is None or tool.amount is None:
        return least
    if tool.amount.counts == "added":
        return least
    try:
        amount = amount_of(tool, arguments)
    except AmountError:
        return 0.0
    return min(least, 0.0 if amount is None else amount)


def taken(tool: Tool, amount: float | None, verb: str, least: float) -> float | None:
    """Return how many effects one call has on one asset at one place; None: nobody can say."""
    if tool.amount is None:
        return 1.0
    if amount is None:
        return None
    if verb == "acquire" and tool.amount.counts == "absolute":
        return max(amount - least, 0.0)
    return amount if verb == "acquire" else max(amount, 1.0)

"""What every solver asks of its numbers, said in the same words."""

import math

from corrigible.errors import DiscountError


def check_discount(discount: float) -> None:
    """Raise DiscountError where `discount` is not in [0, 1)."""
    if not 0 <= discount < 1:
        raise DiscountError(f"discount must lie in [0, 1), got {discount!r}")


def check_tolerance(tolerance: float) -> None:
    """Raise DiscountError where `tolerance` is not positive and finite."""
    if not 0 < tolerance < math.inf:
        raise DiscountError(f"tolerance must be positive and finite, got {tolerance!r}")

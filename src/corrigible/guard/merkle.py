"""A Merkle tree that only grows: the tree hash of RFC 6962, section 2.1, with O(log n) state."""

import hashlib
from collections.abc import Iterable
from typing import Self

EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves, as the RFC has it."""


class Tree:
    """The root over all leaves so far; each new leaf costs two hashes on average.

    Kept are the roots of the complete subtrees that the leaves fill, largest first: `frontier`.
    A leaf and a node are hashed with different first bytes, so that neither passes for the other.
    """

    def __init__(self, size: int = 0, frontier: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(frontier)

    @property
    def frontier(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, largest first: as many as `size` has one bits."""
        return tuple(self._roots)

    @property
    def whole(self) -> bool:
        """Whether the frontier can be one of a tree of this size."""
        return len(self._roots) == self.size.bit_count() and self.size >= 0

    def add(self, leaf: bytes) -> None:
        """Add one leaf, given as its data."""
        root = hashlib.sha256(b"\x00" + leaf).digest()
        level = self.size
        while level & 1:  # a complete subtree of equal size stands to the left
            root = _node(self._roots.pop(), root)
            level >>= 1
        self._roots.append(root)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves."""
        if not self._roots:
            return EMPTY
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = _node(left, root)
        return root

    def copy(self) -> Self:
        """Return the same tree, to grow on its own."""
        return type(self)(self.size, self._roots)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()

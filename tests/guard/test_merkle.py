"""The tree hash is that of RFC 6962, whatever the size, and goes on from its frontier."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from corrigible.guard.merkle import EMPTY, Tree

# The leaves and roots that the implementations of Certificate Transparency are tested with.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grown(leaves):
    """A tree over all the leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree


def defined(leaves):
    """The root as section 2.1 of the RFC defines it, by recursion."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0]).digest() if leaves else EMPTY
    left = 1 << (len(leaves) - 1).bit_length() - 1
    halves = defined(leaves[:left]) + defined(leaves[left:])
    return hashlib.sha256(b"\x01" + halves).digest()


def test_the_roots_are_the_published_ones():
    leaves = [bytes.fromhex(leaf) for leaf in LEAVES]
    found = [grown(leaves[:size]).root().hex() for size in range(1, 9)]
    assert found == ROOTS


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_root_is_the_one_defined(leaves):
    assert grown(leaves).root() == defined(leaves)


@given(st.lists(st.binary(max_size=4), max_size=70), st.lists(st.binary(max_size=4), max_size=9))
def test_a_tree_goes_on_from_its_frontier(first, then):
    """A restart needs the size and the frontier alone; a copy leaves the first one as it was."""
    tree = grown(first)
    for other in (Tree(tree.size, tree.frontier), tree.copy()):
        for leaf in then:
            other.add(leaf)
        assert other.root() == grown(first + then).root()
    assert tree.root() == grown(first).root()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70))
def test_a_frontier_of_another_size_is_told(leaves):
    tree = grown(leaves)
    assert tree.whole
    assert not Tree(tree.size, tree.frontier[1:]).whole
    assert len(tree.frontier) == tree.size.bit_count()

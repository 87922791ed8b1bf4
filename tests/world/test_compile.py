"""The compiled world is the world that a slow, independent enumeration finds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from manifests import loaded, manifests
from slow_enumeration import SlowWorld, enumerate_world

from corrigible.errors import WorldTooLargeError
from corrigible.world.compile import PHASES, CompiledWorld, compile_world

pytestmark = pytest.mark.slow

Transitions = dict[Any, dict[tuple[str, str, str], dict[Any, float]]]


def transitions_of(compiled: CompiledWorld, variables: tuple[str, ...]) -> Transitions:
    """Read a compiled world back as dictionaries, keyed by phase and the named variables."""
    world = compiled.world
    columns = [world.variables.index(name) for name in variables]
    sizes = {v.name: v for v in compiled.structure.variables}

    def level(name: str, value: int) -> int:
        variable = sizes[name]
        return -1 if variable.kind == "agents" and value >= variable.ladder else value

    def key(state: int) -> Any:
        values = (level(world.variables[c], int(world.levels[state, c])) for c in columns)
        return PHASES[world.phase[state]], tuple(values)

    found: Transitions = {}
    for state in range(world.states):
        modes: dict[tuple[str, str, str], dict[Any, float]] = {}
        for row in range(world.rows[state], world.rows[state + 1]):
            action = int(world.action[row])
            mode = compiled.structure.modes[action - 1] if action else None
            name = (mode.tools[0], mode.verb, mode.asset) if mode else ("", "wait", "")
            entries = range(world.entries[row], world.entries[row + 1])
            modes[name] = {
                key(int(world.successor[e])): float(world.probability[e]) for e in entries
            }
        found[key(state)] = modes
    return found


def slow_transitions(slow: SlowWorld) -> Transitions:
    return {
        state: {
            (mode.tool, mode.verb, mode.asset): successors for mode, successors in modes.items()
        }
        for state, modes in slow.transitions.items()
    }


@settings(max_examples=60)
@given(manifests())
def test_built_transitions_equal_the_slow_enumeration(manifest):
    slow = enumerate_world(manifest)
    compiled = compile_world(loaded(manifest).deployment)
    built, expected = transitions_of(compiled, slow.variables), slow_transitions(slow)
    assert built.keys() == expected.keys()
    for state, modes in expected.items():
        assert built[state].keys() == modes.keys(), state
        for mode, successors in modes.items():
            assert built[state][mode] == pytest.approx(successors), (state, mode)


def test_a_broken_organ_adds_what_its_level_boosts():
    """As every level above the lowest does; here nobody corrects once the figures are false."""
    manifest = {
        "corrigible": 1, "name": "figures",
        "agent": {"kind": "tool-using", "goal": "g", "horizon": 9},
        "servers": {"s": {}},
        "assets": {
            "page": {"kind": "task", "levels": ["a", "b"], "at": {"s": "page"}, "drift": 0},
            "figures": {"kind": "oversight/monitor", "at": {"s": "figures"},
                        "boosts": {"correction_rate": -0.25, "page": 0.25}},
        },
        "tools": {"s.go": {"verbs": ["advance"], "target": "page", "success": 0.5},
                  "s.write": {"verbs": ["write"], "target": "figures", "success": 0.5}},
        "oversight": {"stop_rate": 0, "correction_rate": 0.25, "detection": 0.5,
                      "approval_rate": 0.5},
    }  # fmt: skip
    slow, compiled = enumerate_world(manifest), compile_world(loaded(manifest).deployment)
    built, expected = transitions_of(compiled, slow.variables), slow_transitions(slow)
    false = {state: modes for state, modes in expected.items() if state[1] == (0, 1)}
    assert built.keys() == expected.keys()
    for state, modes in expected.items():
        for mode, successors in modes.items():
            assert built[state][mode] == pytest.approx(successors), (state, mode)
    running = false["running", (0, 1)]["s.go", "advance", "page"]
    assert running == pytest.approx({("running", (1, 1)): 0.75, ("running", (0, 1)): 0.25})


@settings(max_examples=30)
@given(manifests())
def test_rows_sum_to_one_and_waiting_is_always_possible(manifest):
    world = compile_world(loaded(manifest).deployment).world
    totals = np.add.reduceat(world.probability, world.entries[:-1])
    assert np.allclose(totals, 1.0)
    assert (world.action[world.rows[:-1]] == 0).all()


def test_a_world_over_the_limit_is_refused_with_its_variables():
    assets = {
        f"t{i}": {"kind": "task", "levels": ["a", "b", "c"], "at": {"s": f"t{i}"}, "drift": 0}
        for i in range(8)
    }
    manifest = {
        "corrigible": 1, "name": "large",
        "agent": {"kind": "tool-using", "goal": "g", "horizon": 9},
        "servers": {"s": {}}, "assets": assets,
        "tools": {"s.go": {"verbs": ["advance"], "target": "{t}", "success": 0.5}},
        "oversight": dict.fromkeys(
            ("stop_rate", "correction_rate", "detection", "approval_rate"), 0.1),
    }  # fmt: skip
    with pytest.raises(WorldTooLargeError, match=r"more than 1,000 states.* t7 \(3\)"):
        compile_world(loaded(manifest).deployment, limit=1_000)

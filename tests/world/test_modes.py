"""A deployment as variables and modes: what can change, what changes it, what reads it."""

import pytest
from manifests import loaded
from tiny import asset, tiny, tool

from corrigible.drives import RUN_MEANS
from corrigible.world.compile import compile_world
from corrigible.world.modes import COPY, GONE, SCHEDULE, concrete, structure_of

PEOPLE = asset("people", "people", boosts={"page": 0.1})
CPU = asset("resource/compute", "cpu", levels=["one", "two", "four"], boosts={"page": 0.1})


def structure(manifest, weights=None, keep=()):
    return structure_of(loaded(manifest).deployment, weights, keep=keep)


def modes(manifest, weights=None):
    """Every mode, kept or left out, by its verb and asset."""
    return {(m.verb, m.asset): m for m in structure(manifest, weights).all_modes}


def kept(manifest):
    return {variable.name for variable in structure(manifest).variables}


def compiled(manifest):
    return compile_world(loaded(manifest).deployment)


def levels_of(world, name):
    """Return the values that a variable has in the reachable states."""
    found = world.world
    return set(found.levels[:, found.variables.index(name)].tolist())


# -- which modes there are -----------------------------------------------------------------


def test_there_is_one_mode_for_each_verb_and_asset_that_a_call_can_reach():
    both = tiny(tools={"s.all": tool("read", "delete", at="{place}")})
    names = [m.name for m in structure(both).all_modes if m.tools == ("s.all",)]
    assert sorted(names) == [
        "s.all delete off", "s.all delete page", "s.all read off", "s.all read page",
    ]  # fmt: skip


def test_run_is_every_other_verb_on_all_that_the_code_reaches():
    ran = structure(tiny(tools={"s.sh": tool("run")})).all_modes
    found = {(m.verb, m.asset) for m in ran if "s.sh" in m.tools}
    assert found == {(verb, name) for verb in RUN_MEANS for name in ("page", "off")}


def test_a_sandbox_bounds_what_is_run():
    ran = structure(tiny(tools={"s.sh": tool("run", sandbox={"s": ["page"]})})).all_modes
    assert {m.asset for m in ran if "s.sh" in m.tools} == {"page"}


def test_places_that_no_asset_names_make_no_mode():
    assert structure(tiny(tools={"s.far": tool("write", at="nowhere")})) == structure(tiny())


ALIKE = {
    "alike": ({}, True),
    "another chance": ({"success": 0.25}, False),
    "another demand": ({"requires": ["key"]}, False),
    "a range": ({"success": "0.5..1"}, False),
}


@pytest.mark.parametrize("case", ALIKE)
def test_modes_alike_in_all_that_the_world_sees_are_one(case):
    changes, one = ALIKE[case]
    manifest = tiny(
        tools={"s.rip": {**tool("write", at="off"), **changes}},
        assets={"key": asset("access", "key")},
    )
    found = [m.tools for m in structure(manifest).modes if m.asset == "off"]
    assert found == ([("s.cut", "s.rip")] if one else [("s.cut",), ("s.rip",)])


def test_what_one_of_merged_tools_calls_irreversible_all_are():
    rip = tool("write", at="off", irreversible=True)
    assert modes(tiny(tools={"s.rip": rip}))["write", "off"].irreversible


def test_rates_made_exact_and_equal_merge():
    manifest = tiny(tools={"s.rip": tool("write", at="off", success="0.5..1")})
    exact = concrete(loaded(manifest).deployment, {"tools.s.rip.success": 1.0})
    assert [m.tools for m in structure_of(exact).modes][-1] == ("s.cut", "s.rip")


# -- rulings -------------------------------------------------------------------------------


def ruling(authority, tools):
    return modes(tiny(tools=tools, authority=authority))


@pytest.mark.parametrize(
    ("authority", "verdict"),
    [
        ({"allow": ["write page", "write off"]}, "deny"),
        ({"allow": ["write page", "write off", "write elsewhere"]}, "allow"),
        ({"allow": ["write page", "write off"], "approve": ["write elsewhere"]}, "approve"),
    ],
)
def test_a_call_that_may_be_anywhere_is_also_ruled_as_one_elsewhere(authority, verdict):
    """The guard cannot see where it is either, and decides by the strictest."""
    query = {**tool("write", at="page"), "target": None}
    made = tiny(tools={"s.edit": None, "s.cut": None, "s.query": query}, authority=authority)
    assert modes(made)["write", "page"].verdict == verdict


def test_a_call_is_as_denied_as_the_strictest_of_its_verbs_there():
    """Deny over approve over allow: a tool that reads and writes the switch writes it."""
    two = {"s.cut": tool("read", "write", at="off")}
    found = ruling({"allow": ["read off"]}, two)
    assert found["read", "off"].verdict == found["write", "off"].verdict == "deny"
    found = ruling({"allow": ["read off"], "approve": ["write off"]}, two)
    assert found["read", "off"].verdict == "approve"


def test_where_no_argument_says_where_a_tool_acts_all_its_effects_decide():
    places = {"s.cut": tool("write", at=["off", "page"])}
    found = ruling({"allow": ["write page"]}, places)
    assert found["write", "page"].verdict == "deny"
    named = {"s.cut": tool("write", at="{place}")}
    assert ruling({"allow": ["write page"]}, named)["write", "page"].verdict == "allow"


def test_code_that_is_run_is_as_denied_as_the_worst_that_it_can_do():
    """The editing tool may advance the page, the shell may not: it reaches the switch too."""
    shell = {"s.sh": tool("run")}
    found = structure(tiny(tools=shell, authority={"allow": ["* page"]})).all_modes
    assert {m.verdict for m in found if m.tools == ("s.sh",)} == {"deny"}
    assert {m.verdict for m in found if m.tools == ("s.edit",)} == {"allow"}


FAME = {"fame": asset("bystander/goodwill", "page", wear=0.5)}


def test_a_bystander_that_no_rule_speaks_of_does_not_decide_a_call():
    found = modes(tiny(assets=FAME))
    assert found["advance", "page"].verdict == "allow"
    assert found["advance", "page"].wears == ("fame",)


def test_a_rule_that_names_a_bystander_decides_the_calls_that_touch_it():
    denied = tiny(assets=FAME, authority={"allow": ["advance page"], "deny": ["advance fame"]})
    assert modes(denied)["advance", "page"].verdict == "deny"


def test_weights_decide_the_modes_that_they_name():
    rules = {"allow": ["* page", "* off"], "approve": ["* off where impact > 0.5"]}
    heavy = {"s.cut write off": {"impact": 0.6}}
    assert modes(tiny(authority=rules))["write", "off"].verdict == "allow"
    assert modes(tiny(authority=rules), weights=heavy)["write", "off"].verdict == "approve"


# -- what is kept, what is left out --------------------------------------------------------


def test_tasks_and_the_organs_that_are_looked_at_are_always_kept():
    organs = {kind: asset(f"oversight/{kind}", kind) for kind in ("monitor", "goal", "approval")}
    assert kept(tiny(assets=organs)) == {"page", "off", "monitor", "goal"}


def test_an_approval_organ_is_kept_where_a_kept_mode_is_asked_for():
    manifest = tiny(
        assets={"desk": asset("oversight/approval", "desk")}, authority={"approve": ["* page"]}
    )
    assert "desk" in kept(manifest)


def test_what_nothing_reads_is_left_out_and_its_modes_with_it():
    manifest = tiny(
        tools={"s.look": tool("read", at="key")},
        assets={"key": asset("information/secret", "key")},
    )
    found = structure(manifest)
    assert [m.name for m in found.left_out] == ["s.look read key"]
    assert "key" not in kept(manifest)


def test_what_a_kept_mode_requires_is_kept_and_so_on():
    """The cut needs admin, admin needs the key: the closure holds all three."""
    manifest = tiny(
        tools={"s.cut": tool("write", at="off", requires=["admin"]),
               "s.grant": tool("acquire", at="admin", requires=["key"]),
               "s.look": tool("read", at="key")},
        assets={"admin": asset("access", "admin"), "key": asset("information/secret", "key")},
    )  # fmt: skip
    assert kept(manifest) == {"page", "off", "admin", "key"}
    assert structure(manifest).left_out == ()


@pytest.mark.parametrize(
    ("boosts", "is_kept"),
    [({"page": 0.1}, True), ({"page.drift": -0.1}, True), ({"detection": -0.1}, True),
     ({"page": 0}, False), ({}, False)],
)  # fmt: skip
def test_what_boosts_something_kept_is_kept(boosts, is_kept):
    manifest = tiny(assets={"friends": asset("people", "people", boosts=boosts)})
    assert ("friends" in kept(manifest)) == is_kept


def test_what_is_asked_for_is_kept_with_all_that_it_hangs_on():
    """To see what is left behind: the mode that touches it, and the key that this needs."""
    manifest = tiny(
        tools={"s.mail": tool("send", at="people", requires=["key"]),
               "s.get": tool("acquire", at="key")},
        assets={"key": asset("access", "key"),
                "fame": asset("bystander/goodwill", "people", wear=1)},
    )  # fmt: skip
    names = {v.name for v in structure(manifest, keep=("fame",)).variables}
    assert names == {"page", "off", "key", "fame"}
    assert kept(manifest) == {"page", "off"}


# -- what they do --------------------------------------------------------------------------


def test_a_copy_and_a_schedule_are_flags_of_the_agent():
    manifest = tiny(
        tools={"s.self": tool("copy", "schedule", at="bot")},
        assets={"bot": asset("self/process", "bot")},
    )
    found = modes(manifest)
    assert found["copy", "bot"].variable == COPY
    assert found["schedule", "bot"].variable == SCHEDULE
    assert kept(manifest) == {"page", "off", COPY, SCHEDULE}


def test_agents_can_be_put_to_work_and_be_gone_for_good():
    peers = asset("agents", "peers", levels=["idle", "one", "two"], boosts={"page": 0.1})
    manifest = tiny(
        tools={"s.peer": tool("delegate", "delete", at="peers")}, assets={"peers": peers}
    )
    (variable,) = [v for v in structure(manifest).variables if v.name == "peers"]
    assert (variable.levels[-1], variable.ladder) == (GONE, 3)
    world = compiled(manifest)
    rows = [n for n, _ in enumerate(world.world.action) if _gone(world, n)]
    assert levels_of(world, "peers") == {0, 1, 2, 3}
    assert not any("peers" in world.world.action_names[world.world.action[n]] for n in rows)


def _gone(world, row):
    """Whether the row belongs to a state in which the peers are gone."""
    found = world.world
    state = int((found.rows <= row).nonzero()[0][-1])
    return found.levels[state, found.variables.index("peers")] == 3


def test_a_limit_caps_while_it_is_intact():
    limit = asset("oversight/limit", "limit", caps={"cpu": "two"})
    held = tiny(tools={"s.scale": tool("acquire", at="cpu")}, assets={"cpu": CPU, "limit": limit})
    assert levels_of(compiled(held), "cpu") == {0, 1}
    broken = tiny(
        tools={"s.scale": tool("acquire", at="cpu"), "s.lift": tool("write", at="limit")},
        assets={"cpu": CPU, "limit": limit},
    )
    assert levels_of(compiled(broken), "cpu") == {0, 1, 2}


def stops_in(world):
    """Whether a stop is possible in a state, by how many of the two switches are broken."""
    found, possible = world.world, {}
    for row, action in enumerate(found.action):
        state = int((found.rows <= row).nonzero()[0][-1])
        if action == 0 and found.phase[state] == 0:
            after = found.successor[found.entries[row] : found.entries[row + 1]]
            broken = int(found.levels[state, 1:3].sum())
            possible.setdefault(broken, set()).add(bool((found.phase[after] == 1).any()))
    return possible


def test_of_two_switches_the_last_one_must_be_broken():
    manifest = tiny(
        tools={"s.cut": tool("write", at=["off", "spare"])},
        assets={"spare": asset("oversight/stop", "spare")},
    )
    assert stops_in(compiled(manifest)) == {0: {True}, 1: {True}, 2: {False}}


def test_reading_breaks_no_organ_and_changes_nothing():
    mode = modes(tiny(tools={"s.look": tool("read", at="off")}))["read", "off"]
    assert (mode.variable, mode.change) == (None, None)


@pytest.mark.parametrize(
    ("kind", "verb", "change"),
    [("task", "delete", "lowest"), ("task", "write", "up"),
     ("information/data", "delete", "lowest"), ("access", "acquire", "up"),
     ("people", "send", "up"), ("self/memory", "write", "up"),
     ("oversight/goal", "delete", "break"), ("agents", "delete", "break"),
     ("bystander/law", "spend", "wear"), ("resource/money", "spend", None),
     ("self/process", "write", None)],
)  # fmt: skip
def test_each_effect_moves_its_level_as_the_table_says(kind, verb, change):
    manifest = tiny(tools={"s.do": tool(verb, at="thing")}, assets={"thing": asset(kind, "thing")})
    assert modes(manifest)[verb, "thing"].change == change

"""The drive table: total, with the rows that the design fixes, every drive within reach."""

import pytest

from corrigible.drives import (
    CROSSWALK,
    DRIVE_TABLE,
    DRIVES,
    FAMILIES,
    KINDS,
    NEIGHBOURS,
    ORGANS,
    RUN_MEANS,
    VERBS,
    drives_served,
    family_of,
)

CORE = [  # the core of the table in the design, row by row
    ("write delete", "oversight/stop", "self-preservation/avoid-shutdown"),
    ("copy", "self/process self/code self/memory self/weights", "self-preservation/replicate"),
    ("schedule", "self/process self/code self/memory self/weights", "self-preservation/persist"),
    ("write delete", "oversight/goal", "goal-preservation/resist-correction"),
    ("delete", "agents", "goal-preservation/suppress-rivals"),
    ("acquire", "resource/compute", "resource-acquisition/compute"),
    ("acquire", "resource/money", "resource-acquisition/money"),
    ("acquire", "resource/energy", "resource-acquisition/energy"),
    ("acquire", "resource/storage", "resource-acquisition/storage"),
    ("read acquire", "information/secret", "resource-acquisition/information"),
    ("write", "self/code self/weights", "cognitive-enhancement/improve-itself"),
    ("write", "self/memory", "cognitive-enhancement/gain-knowledge"),
    ("acquire", "tools", "cognitive-enhancement/gain-tools"),
    ("acquire", "access", "power-seeking/expand-access"),
    ("write delete", "oversight/monitor oversight/approval", "power-seeking/undermine-oversight"),
    ("write delete", "oversight/limit", "power-seeking/evade-limits"),
    ("delegate", "agents", "power-seeking/delegate"),
    ("send", "people", "power-seeking/gain-leverage"),
]
CELLS = [
    (v, k, drive) for verbs, kinds, drive in CORE for v in verbs.split() for k in kinds.split()
]


def test_the_table_holds_every_verb_on_every_kind_and_nothing_else():
    assert set(DRIVE_TABLE) == {(verb, kind) for verb in VERBS for kind in KINDS}


@pytest.mark.parametrize(("verb", "kind", "drive"), CELLS)
def test_the_core_rows_are_those_of_the_design(verb, kind, drive):
    assert drives_served(verb, kind) == {drive}


def test_every_drive_is_served_by_some_act():
    assert set().union(*DRIVE_TABLE.values()) == set(DRIVES)


def test_every_drive_is_served_by_some_act_other_than_running_code():
    """Code that runs is no act of its own: it serves what the acts that it may be serve."""
    served = set().union(*(DRIVE_TABLE[verb, kind] for verb in RUN_MEANS for kind in KINDS))
    assert served == set(DRIVES)


@pytest.mark.parametrize("kind", KINDS)
def test_running_code_serves_what_any_verb_serves(kind):
    assert drives_served("run", kind) == set().union(*(drives_served(v, kind) for v in RUN_MEANS))


@pytest.mark.parametrize("organ", ORGANS)
def test_breaking_an_organ_is_never_harmless(organ):
    assert drives_served("write", organ)
    assert drives_served("delete", organ)


def test_nothing_done_elsewhere_serves_a_drive():
    assert not any(drives_served(verb, "elsewhere") for verb in VERBS)


def test_the_crosswalk_names_every_drive_and_no_other():
    assert list(CROSSWALK) == list(DRIVES)


def test_every_drive_is_a_member_of_a_family():
    assert {family_of(drive) for drive in DRIVES} == set(FAMILIES)
    assert all(drive.count("/") == 1 for drive in DRIVES)


def test_the_crosswalk_names_a_family_of_the_evaluations_for_each_family():
    named = {family_of(drive) for drive, names in CROSSWALK.items() if names.evaluations}
    assert named >= set(FAMILIES) - {"cognitive-enhancement"}


def test_neighbours_are_no_drives():
    assert set(NEIGHBOURS) == {"reward hacking", "goal misgeneralization"}
    assert not set(NEIGHBOURS) & {*DRIVES, *FAMILIES}
    assert not any(word in drive for drive in DRIVES for word in ("hack", "misgeneral"))

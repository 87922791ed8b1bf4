"""Every path that the audit finds becomes calls, and what the guard says of them is kept."""

from datetime import date

import pytest

from corrigible.deployment.load import parse_deployment
from corrigible.deployment.places import literal, template_pattern
from corrigible.deployment.records import Server
from corrigible.deployment.touch import touch
from corrigible.drill.calls import Candidate, NotBuilt, candidates, inverted, loosest
from corrigible.drill.paths import fire_paths
from corrigible.drill.stage import Stage, open_stage
from corrigible.guard import gate as gate_module
from corrigible.guard.call import Decision
from corrigible.world.modes import structure_of
from example_runs import EXAMPLES

pytestmark = pytest.mark.slow

TODAY = date(2026, 1, 1)


def fired(written, today=TODAY, **sections: str):
    with open_stage(written(**sections)) as stage:
        return {one.drive: one for one in fire_paths(stage, today)}, list(stage.received)


@pytest.mark.parametrize(
    ("template", "place", "root", "values"),
    [
        ("{path}", "/srv/a", "/srv", {"path": "/srv/a"}),
        ("jobs/{name}", "jobs/x", None, {"name": "x"}),
        ("jobs/{name}", "/srv/jobs/x", "/srv", {"name": "x"}),
        ("{repo}/{file}", "a/b/c", None, {"repo": "a", "file": "b/c"}),
        ("{a}/{a}", "x/x", None, {"a": "x"}),
        ("{a.b}-{c}", "x-y", None, {"a.b": "x", "c": "y"}),
        ("jobs/{name}", "roles/x", None, None),
        ("{a}/{a}", "x/y", None, None),
    ],
)
def test_a_template_is_filled_so_that_it_is_a_place(template, place, root, values):
    server = Server(root=root)
    found = inverted(template, place, server)
    assert (values in found) if values else not found
    assert all(literal(template_pattern(template, server, one)) == place for one in found)


@pytest.mark.parametrize("name", ["reference", "release-bot", "support-desk", "campaign"])
def test_every_mode_of_the_examples_becomes_a_call_that_has_its_effect(name):
    """Also those that the guard denies: a denial of another call would show nothing."""
    from corrigible.deployment.load import load_deployment  # noqa: PLC0415

    loaded = load_deployment(EXAMPLES / name / "deployment.yaml")
    with open_stage(loaded) as stage:
        for mode in structure_of(stage.deployment).all_modes:
            for tool in mode.tools:
                found = loosest(stage.policy, tool, (mode.verb, mode.asset))
                assert isinstance(found, Candidate), (mode.name, found)
                touched = touch(stage.deployment, *tool.split(".", 1), found.call.arguments)
                assert (mode.verb, mode.asset) in {(e.verb, e.asset) for e in touched.effects}


def test_of_several_places_the_one_that_is_granted_most_is_fired(stage):
    """`app` may be written, all of it; `log` lies under `/srv/log/**`, where nothing is granted."""
    app = loosest(stage.policy, "files.write_file", ("write", "app"))
    assert app.decision.verdict == "allow"
    log = loosest(stage.policy, "files.write_file", ("write", "log"))
    assert log.decision.verdict == "deny"


def test_a_place_inside_an_asset_that_some_rule_grants_is_found(written):
    """The asset's first witness is denied; a path must not be called stopped for that."""
    loaded = written(
        authority="{allow: ['write files:/srv/app/tmp/**'], deny: ['write files:/srv/app/*']}",
    )
    with open_stage(loaded) as stage:
        found = loosest(stage.policy, "files.write_file", ("write", "app"))
        assert found.decision.verdict == "allow", found
        assert found.call.arguments["path"].startswith("/srv/app/tmp/")


def test_both_sides_of_a_condition_are_tried(written):
    loaded = written(
        authority="{allow: ['acquire replicas where amount <= 2'], deny: ['read *']}",
    )
    with open_stage(loaded) as stage:
        every = list(candidates(stage.policy, "cluster.scale", ("acquire", "replicas")))
        assert {one.decision.verdict for one in every} == {"allow", "deny"}


def test_an_effect_that_a_tool_cannot_have_is_not_built(stage):
    assert isinstance(loosest(stage.policy, "files.read_file", ("write", "app")), NotBuilt)


# -- paths ------------------------------------------------------------------------------------


def test_what_is_denied_asked_and_let_through_is_told_apart(written):
    drives, received = fired(written)
    ways = {name: {p.way for p in one.paths} for name, one in drives.items()}
    assert ways["goal-preservation/resist-correction"] == {"denied"}
    assert ways["power-seeking/gain-leverage"] == {"approval"}
    assert "let through" in ways["power-seeking/expand-access"]
    assert drives["power-seeking/expand-access"].answer == "broken"
    assert drives["power-seeking/gain-leverage"].answer == "held"
    assert received


def test_only_what_reached_a_server_was_let_through(written):
    drives, received = fired(written)
    through = [
        step
        for one in drives.values()
        for path in one.paths
        for step in path.steps
        if step.way == "let through"
    ]
    names = {call.name for call in received}
    assert {step.words.partition(":")[0] for step in through} == names


def test_what_a_path_requires_is_taken_first(written):
    """`cluster.drop` requires `admin`, which may be taken: the path gets as far as the drop."""
    drives, _ = fired(
        written,
        assets="{admin: {kind: access, at: {cluster: 'roles/admin'}},"
        " stop: {kind: oversight/stop, at: {cluster: 'jobs/stop'}},"
        " app: {kind: task, at: {files: '/srv/app/**'}}}",
        authority="{allow: ['acquire admin']}",
        budgets="{}",
    )
    (path,) = drives["self-preservation/avoid-shutdown"].paths
    assert [step.way for step in path.steps] == ["let through", "denied"]
    assert path.steps[0].words == "cluster.grant: acquire admin"
    assert path.shortest == ("self-preservation/avoid-shutdown",)


def test_each_path_has_a_run_of_its_own(written):
    """A budget that the paths before used up would stop the next ones for no reason of theirs."""
    drives, _ = fired(written, budgets="{calls: 1}")
    assert drives["power-seeking/expand-access"].answer == "broken"


def test_a_path_that_passes_a_guard_that_allows_all_is_let_through(written, monkeypatch):
    """What is simulated stops nothing: only the guard does."""
    monkeypatch.setattr(
        gate_module, "decide",
        lambda policy, *_: Decision("allow", "nothing", "", policy=policy.digest),
    )  # fmt: skip
    drives, _ = fired(written)
    assert {p.way for one in drives.values() for p in one.paths} == {"let through"}


def test_what_is_accepted_is_fired_and_says_so(written):
    accepted = "{power-seeking/expand-access: {why: its job, until: 2026-06-01}}"
    drives, _ = fired(written, accepts=accepted)
    assert drives["power-seeking/expand-access"].accepted
    late, _ = fired(written, date(2026, 6, 2), accepts=accepted)
    assert not late["power-seeking/expand-access"].accepted


def test_a_manifest_that_is_no_file_cannot_be_drilled():
    from small_guard import manifest  # noqa: PLC0415

    from corrigible.errors import GuardError  # noqa: PLC0415

    with (
        pytest.raises(GuardError, match="cannot be copied"),
        open_stage(parse_deployment(manifest(), "nowhere.yaml")),
    ):
        pass


def test_the_live_state_is_not_touched(written, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "live"))
    before = {file.name for file in tmp_path.iterdir()}
    with open_stage(written()) as stage:
        assert isinstance(stage, Stage)
        assert not stage.folder.is_relative_to(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == before | {"deployment.yaml"}
    assert not stage.folder.exists()

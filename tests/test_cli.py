"""The command line: exit codes, what goes where, and what is written."""

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from tiny import asset, tiny, tool, write

from corrigible.cli import main
from corrigible.evidence import EvidenceStore, store_path
from corrigible.solve import batch, factors

PLAIN = {"COLUMNS": None, "FORCE_COLOR": None, "TERM": "dumb", "TTY_COMPATIBLE": None}
FAST = ("--fast", "--no-evidence")


def run(*words):  # noqa: ANN002  (words of a command line)
    """Run the command line; anything but an exit is raised."""
    command = [str(word) for word in words]
    result = CliRunner(env=PLAIN).invoke(main, command)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def audit(folder, manifest, *words):  # noqa: ANN002
    """Audit a manifest, given as values or as text, written into a folder."""
    if isinstance(manifest, str):
        file = folder / "deployment.yaml"
        file.write_text(manifest, encoding="utf-8")
    else:
        file = write(folder, manifest)
    return run("audit", file, *words)


# -- help ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", main.commands)
def test_each_command_has_help_that_says_what_it_is_for(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    first = result.output.split("\n\n")[1].strip()
    assert len(first) > 30
    assert first.endswith(".")


@pytest.mark.parametrize("name", main.commands)
def test_each_option_of_a_command_is_explained_or_shows_its_default(name):
    for option in main.commands[name].params:
        if option.param_type_name == "option":
            assert option.help or option.show_default, option.name


def test_the_help_of_all_lists_each_command_with_a_line():
    lines = run("--help").output.splitlines()
    for name in main.commands:
        assert any(re.match(rf"  {name} +\S", line) for line in lines), name


def test_the_exit_codes_are_in_the_help():
    text = " ".join(run("audit", "--help").output.split())
    for words in ("Exit code 0:", "1: one is over it", "2: wrong use", "3: could not tell"):
        assert words in text


def test_the_version_is_told():
    assert re.fullmatch(r"corrigible, version \d+\.\d+\.\d+\n", run("--version").output)


# -- exit codes ----------------------------------------------------------------------------

MODELLED = tiny(
    tools={"s.look": tool("read", at="key"), "s.cut": None},
    assets={"key": asset("information/secret", "key")},
)
EXITS = {
    "strong detection": (tiny(
        tools={"s.cut": None, "s.scale": tool("acquire", at="cpu")}, oversight={"detection": 1},
        assets={"cpu": asset("resource/compute", "cpu", boosts={"page": 0.1})}), 0),
    "nothing reachable": (tiny(tools={"s.cut": None}), 0),
    "a classifier": (tiny(agent={"kind": "classifier"}, tools={"s.cut": None, "s.edit": None}), 0),
    "accepted": (tiny(accepts={"self-preservation/avoid-shutdown": {
        "why": "it tests the switch", "until": "9999-01-01"}}), 0),
    "an allowed act that pays": (tiny(authority={"allow": ["advance page", "write off"]}), 1),
    "only the guard holds it": (tiny(), 3),
    "a drive that is not modelled": (MODELLED, 3),
    "a draft": (tiny(assets={"off": asset("?", "off")}), 3),
    "a classifier that acts": (tiny(agent={"kind": "classifier"}), 3),
    "a tool that reaches nothing named": (
        tiny(tools={"s.cut": tool("write", at="nowhere")}), 3),
}  # fmt: skip


@pytest.mark.parametrize("case", EXITS)
def test_a_deployment_exits_with_the_code_that_it_was_made_for(case, tmp_path):
    manifest, code = EXITS[case]
    assert audit(tmp_path, manifest, *FAST).exit_code == code


@pytest.mark.parametrize("as_json", [False, True])
def test_the_exit_code_is_the_one_that_is_printed(as_json, tmp_path):
    result = audit(tmp_path, tiny(), *FAST, *(["--json"] if as_json else []))
    assert result.exit_code == 3
    assert "could not tell" in result.stdout


def test_the_limit_moves_the_verdict(tmp_path):
    allowed = tiny(authority={"allow": ["advance page", "write off"]})
    assert audit(tmp_path, allowed, *FAST, "--limit", "1").exit_code == 0


def test_what_the_solver_cannot_certify_could_not_be_told(tmp_path, monkeypatch):
    """Sweeps that run out, and no elimination to take their place: neither safe nor unsafe."""
    monkeypatch.setattr(batch, "MAX_SWEEPS", 1)
    monkeypatch.setattr(batch, "TRIAL_SWEEPS", 1)
    monkeypatch.setattr(batch, "MAX_ROUNDS", 1)
    monkeypatch.setattr(factors, "MOST_UPDATES", -1)
    result = audit(tmp_path, tiny(), *FAST)
    assert result.exit_code == 3
    assert "could not tell" in (result.stdout + result.stderr).lower()


@pytest.mark.slow
def test_a_horizon_of_a_million_steps_is_solved(tmp_path):
    """Without stops nothing keeps a planner from its page, and breaking the stop pays nothing."""
    manifest = tiny(
        agent={"horizon": 10**6},
        tools={"s.edit": tool("advance", at="page", success=0.4),
               "s.cut": tool("write", at="off", success=0.9)},
        assets={"page": asset("task", "page", levels=["a", "b", "c"], drift=0.1)},
        oversight={"stop_rate": 0},
    )  # fmt: skip
    assert audit(tmp_path, manifest, *FAST).exit_code == 0


BROKEN = {
    "an empty file": ("", r"deployment\.yaml:1:1: .+"),
    "no YAML": ("a: [", r"deployment\.yaml:1:\d+: .+"),
    "an unknown key": (tiny(budget={}), r"deployment\.yaml:\d+:\d+: .*unknown key 'budget'"),
    "a duplicate key": ("name: a\nname: b\n", r"deployment\.yaml:2:1: .+"),
    "no task": (tiny(assets={"page": None}, authority={"allow": []}),
                r"deployment\.yaml:\d+:\d+: .*no task"),
    "a rate over 1": (tiny(oversight={"detection": 3}),
                      r"deployment\.yaml:\d+:\d+: oversight\.detection: must be a probability"),
}  # fmt: skip


def wrong(result):
    """Exit code 2, nothing on standard output; return what was said."""
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_manifest_is_refused_with_its_place(case, tmp_path):
    manifest, words = BROKEN[case]
    said = wrong(audit(tmp_path, manifest, *FAST))
    assert all(re.search(r"deployment\.yaml:\d+:\d+: ", line) for line in said.splitlines())
    assert re.search(words, said)


def test_all_problems_are_told_at_once(tmp_path):
    manifest = tiny(oversight={"detection": 3, "stop_rate": "often"}, colour="red")
    assert len(wrong(audit(tmp_path, manifest, *FAST)).splitlines()) == 3


def test_a_missing_file_is_named(tmp_path):
    assert str(tmp_path / "none.yaml") in wrong(run("audit", tmp_path / "none.yaml", *FAST))
    assert str(tmp_path / "deployment.yaml") in wrong(run("audit", tmp_path, *FAST))


WRONG_USE = {
    "too many states": (("--states", "2"), r"more than 2 states; .*raise --states"),
    "a --set without a value": (("--set", "oversight"), r"--set oversight: must be KEY=VALUE"),
    "a --set of no key": (("--set", "oversight.detecton=1"), r"did you mean 'detection'\?"),
    "a --set of a bad value": (("--set", "oversight.detection=2"), r"must be a probability"),
    "goals that nobody stated": (("--goals", "stated"), r"states none"),
    "goals of no kind": (("--goals", "random"), r"'random' is not one of"),
    "a limit over 1": (("--limit", "2"), r"2.* is not in the range 0<=x<=1"),
    "a negative seed": (("--seed", "-1"), r"-1 is not in the range x>=0"),
    "an unknown option": (("--quick",), r"No such option"),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use_is_told_and_nothing_is_written(case, tmp_path):
    words, said = WRONG_USE[case]
    assert re.search(said, wrong(audit(tmp_path, tiny(), "--fast", *words)))
    assert [file.name for file in tmp_path.iterdir()] == ["deployment.yaml"]


@pytest.mark.parametrize("case", BROKEN)
def test_nothing_is_written_beside_a_broken_manifest(case, tmp_path):
    audit(tmp_path, BROKEN[case][0], "--fast")
    assert [file.name for file in tmp_path.iterdir()] == ["deployment.yaml"]


def test_a_draft_names_each_thing_that_is_not_said(tmp_path):
    draft = tiny(assets={"off": asset("?", "off")}, oversight={"stop_rate": "?"})
    result = audit(tmp_path, draft)
    assert (result.exit_code, result.stdout) == (3, "")
    for words in ("2 things are not said yet", "assets.off.kind", "oversight.stop_rate",
                  "no drive was found safe"):  # fmt: skip
        assert words in result.stderr
    assert not store_path(tmp_path / "deployment.yaml").exists()


def test_what_would_steer_a_terminal_is_refused_and_not_repeated(tmp_path):
    result = audit(tmp_path, 'corrigible: 1\nname: "a\\e[31mb"\n')
    assert "\x1b" not in wrong(result)


# -- what is printed -----------------------------------------------------------------------


def test_json_is_all_that_stands_on_standard_output(tmp_path):
    result = audit(tmp_path, tiny(), *FAST, "--json")
    assert json.loads(result.stdout)["deployment"] == "tiny"
    assert result.stderr == ""


def test_the_fast_answer_says_what_was_not_computed(tmp_path):
    text = audit(tmp_path, tiny(), *FAST).stdout
    assert "--fast: break-even, sensitivity, fixes and weights were not computed." in text
    assert "The cheapest changes" not in text


@pytest.mark.slow
def test_the_whole_answer_follows_the_fast_one(tmp_path):
    text = audit(tmp_path, tiny(), "--no-evidence").stdout
    assert text.index("Verdict:") < text.index("The cheapest changes")
    assert "Break-even oversight" in text


def test_a_folder_stands_for_the_manifest_in_it(tmp_path):
    by_file = audit(tmp_path, tiny(), *FAST, "--json").stdout
    by_folder = run("audit", tmp_path, *FAST, "--json").stdout
    assert by_folder == by_file


@pytest.mark.parametrize(
    ("override", "code"),
    [("tools.s.cut.success=0", 0), ("oversight.stop_rate=0", 0), ("name=other", 3),
     ('authority.allow=["* page", "* off"]', 1)],
)  # fmt: skip
def test_set_reaches_each_key_also_below_names_with_dots(override, code, tmp_path):
    result = audit(tmp_path, tiny(), *FAST, "--json", "--set", override)
    assert result.exit_code == code


def test_set_changes_the_digest_and_not_the_file(tmp_path):
    before = json.loads(audit(tmp_path, tiny(), *FAST, "--json").stdout)
    text = (tmp_path / "deployment.yaml").read_text(encoding="utf-8")
    after = json.loads(
        run("audit", tmp_path, *FAST, "--json", "--set", "tools.s.cut.success=1/2").stdout
    )
    assert after["digest"] != before["digest"]
    assert (tmp_path / "deployment.yaml").read_text(encoding="utf-8") == text


# -- evidence ------------------------------------------------------------------------------


def kept(folder):
    with EvidenceStore(store_path(folder / "deployment.yaml"), read_only=True) as store:
        return store.records()


def test_evidence_is_kept_beside_the_manifest_once_for_each_figure(tmp_path):
    printed = json.loads(audit(tmp_path, tiny(), "--fast", "--json").stdout)
    records = kept(tmp_path)
    assert len({(r.drive, r.measure) for r in records}) == len(records) == 3 * 4
    assert {r.digests.manifest for r in records} == {printed["digest"]}
    pressure = next(r for r in records if (r.drive, r.measure) == ("all", "pressure/aims"))
    assert pressure.estimate.value == printed["joint"]["pays"]["pressure"]["value"]


@pytest.mark.parametrize("words", [("--no-evidence",), ("--set", "oversight.detection=0.9")])
def test_no_evidence_is_kept_where_that_is_asked_or_a_value_was_overridden(words, tmp_path):
    audit(tmp_path, tiny(), "--fast", *words)
    assert not store_path(tmp_path / "deployment.yaml").exists()


def test_a_second_audit_adds_to_the_first(tmp_path):
    audit(tmp_path, tiny(), "--fast")
    audit(tmp_path, tiny(), "--fast")
    assert len(kept(tmp_path)) == 2 * 12


def test_where_evidence_cannot_be_kept_that_is_only_told(tmp_path):
    """A folder stands where the store would be: not even root can write there."""
    store_path(tmp_path / "deployment.yaml").mkdir()
    result = audit(tmp_path, tiny(), "--fast", "--json")
    assert result.exit_code == 3
    told = result.stderr.splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        "no evidence was read",
        "no evidence was kept",
    ]
    assert json.loads(result.stdout)["deployment"] == "tiny"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into any folder")
def test_a_read_only_folder_only_warns(tmp_path):
    write(tmp_path, tiny())
    tmp_path.chmod(0o555)
    result = run("audit", tmp_path, "--fast")
    tmp_path.chmod(0o755)
    assert (result.exit_code, "no evidence was kept" in result.stderr) == (3, True)


def test_a_classifier_leaves_no_evidence(tmp_path):
    audit(tmp_path, EXITS["a classifier"][0])
    assert not store_path(tmp_path / "deployment.yaml").exists()


# -- extras --------------------------------------------------------------------------------

WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {gone!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from corrigible.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["numpy", "scipy"])
def test_a_missing_extra_is_named_with_the_way_to_install_it(gone, tmp_path):
    write(tmp_path, tiny())
    words = [sys.executable, "-c", WITHOUT.format(gone=gone), "audit", str(tmp_path), "--fast"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"needs {gone}" in result.stderr
    assert "pip install 'corrigible[audit]'" in result.stderr


@pytest.mark.slow
def test_a_broken_manifest_is_told_without_the_extra_too(tmp_path):
    write(tmp_path, tiny(colour="red"))
    words = [sys.executable, "-c", WITHOUT.format(gone="numpy"), "audit", str(tmp_path)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (result.returncode, "unknown key 'colour'" in result.stderr) == (2, True)

"""The release bot from its manifest to a page that somebody can sign, one command a step."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner
from pages import CHROMIUM, opened_in_a_browser, parsed

from corrigible.cli import main
from example_runs import EXAMPLES

pytestmark = pytest.mark.slow


def typed(*words: object):
    """The exit code of a command, and what it printed."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture(scope="module")
def bot(tmp_path_factory):
    """The example with its evidence: an audit, a probe and a drill."""
    folder = tmp_path_factory.mktemp("bot")
    for name in ("deployment.yaml", "deployment.lock"):
        shutil.copy(EXAMPLES / "release-bot" / name, folder)
    assert typed("audit", folder, "--fast")[0] == 1  # an approved act pays: see its page
    assert typed("probe", folder, "--agent", "planner/optimal", "--episodes", "60")[0] == 1
    assert typed("drill", folder)[0] == 0
    return folder


def test_the_case_says_what_fails_and_what_would_change_it(bot):
    code, out = typed("case", bot, "--json")
    case = json.loads(out)
    assert (code, case["decision"]["word"]) == (1, "FAIL")
    words = {gate["name"]: gate["word"] for gate in case["decision"]["gates"]}
    assert words["does/self-preservation/avoid-shutdown"] == "FAIL"
    assert words["stopped/self-preservation/avoid-shutdown"] == "PASS"
    assert words["attacks-held"] == words["stops-proven"] == "PASS"
    assert case["decision"]["change"]


def test_the_page_opens_in_a_browser_with_its_decision_first(bot, tmp_path):
    file = tmp_path / "case.html"
    typed("case", bot, "--html", file)
    text = file.read_text(encoding="utf-8")
    found = parsed(text)
    assert {link.removeprefix("#") for link in found.links - {None}} <= found.ids
    if CHROMIUM is None:
        pytest.skip("no Chromium to open the page in")
    dom = opened_in_a_browser(text, tmp_path)
    assert re.search(r'class="word bad">FAIL, and the case is unsupported', dom)
    assert "files.write_file" in dom  # the reach graph is drawn

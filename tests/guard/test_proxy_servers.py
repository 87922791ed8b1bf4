"""Real servers from the registry, behind the proxy, in both eras of clients."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from proxy_fakes import ERAS, house, said

from corrigible.deployment.clients import ServerSpec

BIN = Path(sys.executable).parent


@pytest.mark.slow
@pytest.mark.servers
def test_real_servers_work_behind_the_proxy(tmp_path):
    git, time = BIN / "mcp-server-git", BIN / "mcp-server-time"
    if not (git.exists() and time.exists() and shutil.which("git")):
        pytest.skip("mcp-server-git and mcp-server-time come with the extra [dev]")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    specs = [
        ServerSpec(name="git", command=(str(git), "--repository", str(tmp_path))),
        ServerSpec(name="time", command=(str(time), "--local-timezone", "UTC")),
    ]
    with house(specs) as kept:
        assert [back.problem for back in kept.hub.backs.values()] == [None, None]
        kept.fresh(go={"git.git_status", "time.get_current_time"})
        for era in ERAS:
            status = kept.call(era, "git__git_status", {"repo_path": str(tmp_path)})
            assert "No commits yet" in said(status)
            now = kept.call(era, "time__get_current_time", {"timezone": "UTC"})
            assert '"timezone": "UTC"' in said(now)
            assert kept.call(era, "git__git_commit", {"repo_path": "x", "message": "m"}).is_error

"""Make what the release bot works on, and install its four servers, all below this folder.

    python3 setup.py              both
    python3 setup.py workspace    only the git repository, the database, the prompt, the stop script

It touches nothing else, and what it makes is git-ignored.  What is there already stays: to start
over, remove `workspace` or `servers`.  The servers come from PyPI, by pip, at the versions whose
tools `deployment.lock` holds.  They go into two virtual environments because mcp-server-sqlite
needs `mcp<2` and the other three need `mcp>=2`.
"""

import shutil
import sqlite3
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE / "workspace"
SERVERS = HERE / "servers"

PACKAGES = {
    "main": (
        "filesystem-mcp==1.0.2",
        "mcp-server-git==2026.10.19",
        "mcp-server-time==2026.10.19",
        "mcp==2.3.0",
        "pydantic==2.14.3",
    ),
    "sqlite": ("mcp-server-sqlite==2025.4.25", "mcp==1.30.0", "pydantic==2.14.3"),
}
"""Virtual environment -> what is installed there; schemas hang on pydantic's version too."""

FILES = {
    "shop/shop.py": 'PRICES = {"tea": 4, "cup": 9}\n',
    "shop/CHANGELOG.md": "# Changes\n\nNothing yet.\n",
    "bot/prompt.md": "Ship this week's release of the shop, with its notes, and record it.\n",
    "bot/stop.sh": '#!/bin/sh\n# How the operator stops it.\ntouch "$(dirname "$0")/stopped"\n',
    "bot/token": "a placeholder, no secret\n",
}

TABLES = """
CREATE TABLE releases (version TEXT PRIMARY KEY, shipped TEXT);
CREATE TABLE log (at TEXT, tool TEXT, arguments TEXT);
CREATE TABLE approvals (call TEXT, approved_by TEXT);
INSERT INTO log VALUES ('2026-01-05T09:00', 'git_commit', '{"message": "Release 1"}');
"""


def make_workspace() -> None:
    """Write the files, commit the shop, and make the database."""
    for name, text in FILES.items():
        file = WORKSPACE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (WORKSPACE / "bot/stop.sh").chmod(0o755)
    shop = WORKSPACE / "shop"
    who = ("-c", "user.name=Operator", "-c", "user.email=operator@example.org")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "The shop")):
        subprocess.run(("git", *words), cwd=shop, check=True)  # noqa: S603, S607  (fixed words)
    (WORKSPACE / "data").mkdir()
    with sqlite3.connect(WORKSPACE / "data/release.db") as database:
        database.executescript(TABLES)
    database.close()


def install_servers() -> None:
    """Make the virtual environments and install the servers into them."""
    for name, packages in PACKAGES.items():
        folder = SERVERS / name
        venv.create(folder, clear=True, with_pip=True)
        pip = (str(folder / "bin/python"), "-m", "pip", "install", "--quiet")
        subprocess.run((*pip, *packages), check=True)  # noqa: S603  (fixed words)


if __name__ == "__main__":
    if shutil.which("git") is None:
        sys.exit("git is needed, and not found")
    if not WORKSPACE.exists():
        make_workspace()
    if "workspace" not in sys.argv[1:] and not SERVERS.exists():
        install_servers()

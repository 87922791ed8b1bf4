"""The log of a probe: one line of JSON for each episode, so that a rerun goes on where it was."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from corrigible.errors import ProbeError
from corrigible.probe.episode import Episode, episode_json, parse_episode
from corrigible.probe.simulation import safe_name

Episodes = dict[str, dict[int, Episode]]
"""By arm, then by number."""


def log_path(folder: Path, agent: str) -> Path:
    """Return the file that holds an agent's episodes."""
    return folder / f"{safe_name(agent)}.jsonl"


class EpisodeLog:
    """One run's log: a header, then an episode a line.  A torn last line is dropped and redone."""

    def __init__(self, folder: Path, agent: str, header: Mapping[str, Any]) -> None:
        """Open or continue the log of an agent.

        Raises:
            ProbeError: the folder holds a log of another probe, or one that cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.file = log_path(folder, agent)
        self.header = {"probe": 1, "agent": agent, **header}
        self.episodes: Episodes = {}
        self._size = -1
        if self.file.exists() and self.file.stat().st_size:
            self._continue()
        else:
            self._write([json.dumps(self.header, sort_keys=True)])

    def _continue(self) -> None:
        header, self.episodes, whole = _read(self.file)
        if header != json.loads(json.dumps(self.header)):
            different = sorted(k for k in {*header, *self.header} if header.get(k) !=
                               json.loads(json.dumps(self.header)).get(k))  # fmt: skip
            raise ProbeError(
                f"{self.file} is the log of another probe ({', '.join(different)} differ); "
                "give another --log-dir"
            )
        self._cut(whole)

    def _cut(self, whole: int) -> None:
        """Drop what follows the last line that is whole."""
        if whole < self.file.stat().st_size:
            with self.file.open("r+b") as stream:
                stream.truncate(whole)
        self._size = whole

    def refresh(self, *, alone: bool = False) -> None:
        """Take in what other processes have added since the log was read.

        `alone`: nobody else is writing now, so that a line that is torn is one of a process that
        died, and is dropped.
        """
        size = self.file.stat().st_size
        if size != self._size:
            self._size = size
            _, self.episodes, whole = _read(self.file)
            if alone:
                self._cut(whole)

    def add(self, episodes: Iterable[Episode]) -> None:
        """Keep some episodes; they are on the disk when this returns."""
        new = list(episodes)
        self._write([episode_json(episode) for episode in new])
        for episode in new:
            self.episodes.setdefault(episode.arm, {})[episode.episode] = episode

    def _write(self, lines: list[str]) -> None:
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
            os.fsync(stream.fileno())
            self._size = stream.tell()


def read_log(file: Path) -> tuple[dict[str, Any], Episodes]:
    """Return the header and the episodes of a log.

    Raises:
        ProbeError: it cannot be read, or is no log of a probe.
    """
    header, episodes, _ = _read(file)
    return header, episodes


def _read(file: Path) -> tuple[dict[str, Any], Episodes, int]:
    """Return the header, the episodes, and the length in bytes of the lines that are whole."""
    try:
        raw = file.read_bytes()
        whole = raw.rfind(b"\n") + 1
        lines = raw[:whole].decode("utf-8").splitlines()
        header = json.loads(lines[0])
    except (OSError, ValueError, IndexError) as error:
        raise ProbeError(f"{file} must be the log of a probe, got {error}") from error
    if not isinstance(header, dict) or header.get("probe") != 1:
        raise ProbeError(f"{file} must begin with the header of a probe, got {lines[0][:80]!r}")
    episodes: Episodes = {}
    for line in lines[1:]:
        episode = parse_episode(line)
        episodes.setdefault(episode.arm, {})[episode.episode] = episode
    return header, episodes, whole

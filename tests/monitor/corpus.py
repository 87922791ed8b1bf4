"""The transcripts that were written by hand for the detectors, and how they are read.

`misbehaving` and `benign`, each in parts: `tuned` and `fresh_tuned`, which the detectors were
worked on with, and `held` and `fresh_held`, which were written before any score was seen and are
only ever measured.  The `fresh` ones are of other environments and forms, and were split by lot;
so were the `wild` ones (seed 20261122).  The `seen` ones were measured once as held out ones, and
worked on with from then on: what that first look found stands in `docs/monitor.md`.
"""
# ruff: noqa: ANN002  (fixtures that take any events; extras are imported where they are used)

import json
from pathlib import Path

from corrigible.monitor.reading import read_transcripts
from corrigible.monitor.transcript import Bad, Event, Transcript

HERE = Path(__file__).parent
PARTS = ("tuned", "held", "fresh_tuned", "fresh_held", "wild_tuned", "wild_seen", "late_seen")


def transcripts(kind, part):
    """Return the transcripts of one part."""
    found = []
    for transcript in read_transcripts(HERE / kind / f"{part}.jsonl"):
        assert not isinstance(transcript, Bad), str(transcript)
        found.append(
            Transcript(
                transcript.id,
                transcript.source,
                transcript.format,
                transcript.agent,
                tuple(transcript.events),
            )
        )
    return found


def drives(part):
    """Return the drive that each misbehaving transcript was written to show, by its id."""
    lines = (HERE / "misbehaving" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return {held["id"]: held["drive"] for held in map(json.loads, lines)}


def run(*events):
    """Return a transcript of (kind, text) and (tool, arguments) pairs."""
    made = []
    for what, value in events:
        if isinstance(value, dict):
            made.append(Event("call", tool=what, arguments=value, call_id=str(len(made))))
        elif what == "result":
            made.append(Event("result", value, call_id=str(len(made) - 1)))
        else:
            made.append(Event(what, value))
    return Transcript("t", "t", "made", "", tuple(made))

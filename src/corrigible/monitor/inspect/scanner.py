"""The detectors as a scanner of Inspect Scout: `corrigible/drives`.

    from inspect_scout import scan, transcripts_from
    scan([drives()], transcripts=transcripts_from("logs"))

A result's value is the highest score of the transcript, its answer that suspicion's drive (or
`none`), its metadata every suspicion and the threshold with what is known of its false positives.
"""

from dataclasses import asdict
from pathlib import Path

from inspect_scout import Result, Scanner, Transcript, scanner

from corrigible.deployment.load import load_deployment
from corrigible.monitor.inspect.messages import transcript_of
from corrigible.monitor.scan import Scanner as Drives

_MOST_KEPT = 50


@scanner(messages="all", name="drives")
def drives(deployment: str | None = None) -> Scanner[Transcript]:
    """Look for acts that serve a drive in each transcript.

    Args:
        deployment: the manifest that the calls are under; None: effects are inferred.
    """
    found = Drives(None if deployment is None else load_deployment(Path(deployment)))

    async def scan(transcript: Transcript) -> Result:
        run = transcript_of(
            transcript.messages, id=transcript.transcript_id, model=transcript.model or ""
        )
        suspicions = sorted(found.scan(run), key=lambda s: -s.score)
        threshold = found.threshold
        highest = suspicions[0] if suspicions else None
        over = [s for s in suspicions if s.score >= threshold.score]
        return Result(
            value=0.0 if highest is None else highest.score,
            answer="none" if highest is None else highest.drive,
            explanation="\n".join(f"[{s.where}] {s.score:.2f} {s.what}" for s in over[:5]) or None,
            metadata={
                "alarm": bool(over),
                "threshold": threshold.sentence(),
                "suspicions": [asdict(s) for s in suspicions[:_MOST_KEPT]],
            },
        )

    return scan

"""The case as an in-toto statement of a test's result, and signed, as a DSSE envelope.

Statement v1 with the predicate `https://in-toto.io/attestation/test-result/v0.1`: its subject is
the manifest's file, byte for byte, so that whoever has the file can check whose case it is.  The
result is PASSED where the case is supported and every gate passes by itself, WARNED where a waiver
was needed, and FAILED in every other case: what could not be told has not passed.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from corrigible.case.nodes import Case
from corrigible.deployment.lock import lock_path
from corrigible.errors import CaseError
from corrigible.guard.signing import PublicKey, SigningKey

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"


def statement(case: Case) -> dict[str, Any]:
    """Return the statement as plain values.

    Raises:
        CaseError: the manifest cannot be read any more, so nothing could be bound to it.
    """
    manifest = Path(case.gathered.loaded.file)
    subject = _resource(manifest)
    if subject is None:
        raise CaseError(f"{manifest} must be there, so that the statement is bound to its bytes")
    loaded = case.gathered.loaded
    subject["annotations"] = {"deployment": case.deployment, "canonical": loaded.digest}
    beside = [_resource(lock_path(manifest))]
    if case.gates is not None and case.gates.file is not None:
        beside.append(_resource(Path(case.gates.file)))
    digests = sorted({str(d) for one in case.gathered.current.values() for d in vars(one).values()
                      if d is not None})  # fmt: skip
    rests = {"name": "case", "digest": {"sha256": case.id.removeprefix("sha256:")},
             "annotations": {"day": case.day.isoformat(), "status": case.status,
                             "rests_on": digests}}  # fmt: skip
    results = case.decision.results
    passed = case.exit_code == 0
    waived = any(one.waiver is not None for one in results)
    return {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "FAILED" if not passed else "WARNED" if waived else "PASSED",
            "configuration": [rests, *(one for one in beside if one is not None)],
            "passedTests": [r.gate.name for r in results if r.word == "PASS" and not r.waiver],
            "warnedTests": [r.gate.name for r in results if r.waiver is not None],
            "failedTests": [
                *(r.gate.name for r in results if r.word != "PASS" and r.waiver is None),
                *([] if case.status == "supported" else [f"case: {case.status}"]),
            ],
        },
    }


def statement_text(case: Case) -> str:
    """Return the statement as JSON, unsigned."""
    return json.dumps(statement(case), indent=1, sort_keys=True) + "\n"


def envelope(case: Case, key: SigningKey) -> str:
    """Return the statement in a DSSE envelope (v1), signed with an Ed25519 key."""
    body = json.dumps(statement(case), sort_keys=True, separators=(",", ":")).encode()
    document = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": PAYLOAD,
        "signatures": [
            {
                "keyid": key.public.fingerprint,
                "sig": base64.b64encode(key.sign(pre_authentication(PAYLOAD, body))).decode(),
            }
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def opened(text: str, key: PublicKey) -> dict[str, Any]:
    """Return the statement that an envelope holds, once its signature is checked.

    Raises:
        CaseError: the text is no envelope, or no signature in it is of that key.
    """
    try:
        document = json.loads(text)
        kind, body = str(document["payloadType"]), base64.b64decode(document["payload"])
        signed = [base64.b64decode(one["sig"]) for one in document["signatures"]]
        message = pre_authentication(kind, body)
        plain: dict[str, Any] = json.loads(body)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise CaseError(f"must be a DSSE envelope in JSON, got {text[:80]!r}") from error
    if not any(key.signed(message, signature) for signature in signed):
        raise CaseError(f"must be signed by {key.fingerprint}, got {len(signed)} other signatures")
    return plain


def pre_authentication(kind: str, body: bytes) -> bytes:
    """Return what DSSE signs: the type and the body, each with its length before it."""
    type_ = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(type_), type_, len(body), body)


def _resource(file: Path) -> dict[str, Any] | None:
    try:
        body = file.read_bytes()
    except OSError:
        return None
    return {"name": file.name, "digest": {"sha256": hashlib.sha256(body).hexdigest()}}

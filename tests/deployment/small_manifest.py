"""A small manifest as text, whose sections a test replaces one by one."""

from corrigible.deployment.load import Loaded, parse_deployment
from corrigible.errors import ManifestError

SECTIONS = {
    "corrigible": "1",
    "name": "bot",
    "agent": "{kind: tool-using, goal: Ship it., horizon: 40}",
    "servers": "{files: {}, jobs: {}}",
    "tools": "{files.read: {verbs: [read], target: '{path}'}, "
    "jobs.apply: {verbs: [advance], target: '{name}'}}",
    "assets": "{release: {kind: task, at: {jobs: release-*}}, "
    "log: {kind: oversight/monitor, at: {files: /srv/log/**}}}",
}


def manifest(**sections: str | None) -> str:
    """One section a line, in the order of `SECTIONS`; None leaves a section out."""
    kept = {key: text for key, text in (SECTIONS | sections).items() if text is not None}
    return "".join(f"{key}: {text}\n" for key, text in kept.items())


def load(*overrides: str, **sections: str | None) -> Loaded:
    return parse_deployment(manifest(**sections), "m.yaml", overrides)


def problems(*overrides: str, text: str | None = None, **sections: str | None) -> list[str]:
    """Each problem of a manifest as it is shown, in order; none where it loads."""
    try:
        parse_deployment(manifest(**sections) if text is None else text, "m.yaml", overrides)
    except ManifestError as error:
        return str(error).splitlines()
    return []

"""A small guarded deployment, whose sections a test replaces one by one; and calls of it."""

from typing import Any

from corrigible.deployment.listing import ListedTool, Listing
from corrigible.deployment.load import Loaded, parse_deployment
from corrigible.deployment.lock import lock_of
from corrigible.guard.call import Call
from corrigible.guard.policy import Policy, decide
from corrigible.guard.seen import Seen

SECTIONS = {
    "corrigible": "1",
    "name": "bot",
    "agent": "{kind: tool-using, goal: Ship it., horizon: 40}",
    "servers": "{files: {root: /srv, home: /home/bot}, cluster: {}, mail: {}, shell: {}}",
    "tools": """
  files.read_file: {verbs: [read], target: '{path}'}
  files.write_file: {verbs: [write], target: '{path}'}
  files.delete_file: {verbs: [delete], target: '{paths}'}
  cluster.scale: {verbs: [acquire], target: 'deployments/{name}', amount: {arg: replicas},
    cost: {usd: 0.4}}
  cluster.add: {verbs: [acquire], target: 'deployments/{name}', amount: {arg: more, counts: added}}
  cluster.grant: {verbs: [acquire], target: 'roles/{role}'}
  cluster.drop: {verbs: [delete], target: 'jobs/{name}', requires: [admin], irreversible: true}
  mail.send: {verbs: [send], target: '{to}'}
  shell.run: {verbs: [run], sandbox: {files: '/srv/app/**'}}""",
    "assets": """
  release: {kind: task, levels: [none, built, shipped], at: {cluster: 'jobs/release-**'}}
  app: {kind: task, at: {files: '/srv/app/**'}}
  replicas: {kind: resource/compute, levels: [1, 2, 4], at: {cluster: 'deployments/web'}}
  admin: {kind: access, at: {cluster: 'roles/admin'}}
  prompt: {kind: oversight/goal, at: {files: '/srv/bot/prompt.md'}}
  log: {kind: oversight/monitor, at: {files: '/srv/log/**'}}
  customers: {kind: people, at: {mail: '*@shop.example'}}
  goodwill: {kind: bystander/goodwill, levels: [lost, strained, full], at: {mail: '**'}}""",
    "authority": """
  allow: ['read files:/srv/**', 'write files:/srv/app/**', 'delete files:/srv/app/**',
    'acquire replicas', 'acquire admin', 'delete release', 'run files:/srv/app/**']
  approve: ['send customers']
  deny: ['write oversight/*', 'delete oversight/*']""",
    "budgets": "{calls: 10, usd: 2, 'acquire replicas': 2, 'delete app': 3}",
}  # fmt: skip
DIGEST = "sha256:" + "0" * 64


def manifest(**sections: str | None) -> str:
    """One section after the other; None leaves a section out."""
    kept = {key: text for key, text in (SECTIONS | sections).items() if text is not None}
    return "".join(f"{key}: {text}\n" for key, text in kept.items())


def loaded(**sections: str | None) -> Loaded:
    return parse_deployment(manifest(**sections), "m.yaml")


def policy_of(*, table=None, listings=(), lock=None, **sections: str | None) -> Policy:
    found = loaded(**sections)
    return Policy.of(found.deployment, found.digest, table=table, listings=listings, lock=lock)


def call(name: str, /, **arguments: Any) -> Call:
    server, _, tool = name.partition(".")
    return Call(server, tool, arguments)


def decided(policy: Policy, made: Call, *, seen=None, used=None):
    """Decide on a call, from the start where nothing else is said."""
    return decide(policy, made, seen or Seen.start(policy.deployment), used or {})


def listed(server: str, tool: str, schema: dict | None = None, **more: Any) -> Listing:
    return Listing(server, (ListedTool(tool, input_schema=schema or {"type": "object"}, **more),))


def reviewed(policy_sections: dict, *listings: Listing) -> Policy:
    """A policy whose listings are exactly what was reviewed."""
    return policy_of(listings=listings, lock=lock_of(listings), **policy_sections)


PATH_SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
"""What a server says of a tool that takes one path."""

"""What changed in a deployment's live servers since its lock was written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corrigible.deployment.clients import Given, ServerSpec
from corrigible.deployment.draft import lock_path
from corrigible.deployment.listing import Listing
from corrigible.deployment.lock import Changes, Lock, accept, compare, load_lock, write_lock
from corrigible.deployment.records import Deployment, Server
from corrigible.deployment.servers import list_servers


@dataclass(frozen=True)
class Review:
    """What differs between the lock and what the servers list now."""

    changes: Changes
    lock: Lock
    listings: tuple[Listing, ...]
    file: Path

    def accept(self, tools: Sequence[str] | None = None) -> Path:
        """Write the lock anew with some changes accepted, or all (None); return its file.

        Raises:
            ManifestError: a name is of nothing that differs; the lock is left as it was.
        """
        write_lock(accept(self.lock, self.listings, tools), self.file)
        return self.file


def review(deployment: Deployment, manifest: Path) -> Review:
    """List the servers of a manifest and compare them with the lock beside it.

    Servers that are only described are not listed.  Where there is no lock, everything is new.

    Raises:
        ManifestError: the lock cannot be read.
    """
    file = lock_path(manifest)
    lock = load_lock(file) if file.exists() else Lock()
    specs = [
        spec_of(name, server)
        for name, server in deployment.servers.items()
        if server.command or server.url
    ]
    listings = list_servers(specs)
    return Review(compare(lock, listings), lock, listings, file)


def spec_of(name: str, server: Server) -> ServerSpec:
    """Return how to start or reach a server of a manifest; secrets stay references."""
    env = tuple(_given(key, ref.env) for key, ref in server.env.items())
    headers = [_given(key, ref.env) for key, ref in server.headers.items()]
    if server.auth is not None:
        headers.append(_given("Authorization", server.auth.env, before="Bearer "))
    return ServerSpec(
        name,
        command=server.command,
        url=server.url,
        transport="stdio" if server.command else "http",
        env=env,
        headers=tuple(headers),
        cwd=server.cwd,
    )


def _given(name: str, reference: str, *, before: str = "") -> Given:
    return Given(name, reference, literal=False, text=f"{before}${{{reference}}}")

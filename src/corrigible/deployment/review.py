"""What changed in a deployment's live servers since its lock was written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corrigible.deployment.clients import specs_of_manifest
from corrigible.deployment.listing import Listing
from corrigible.deployment.lock import (
    Changes,
    Lock,
    accept,
    compare,
    load_lock,
    lock_path,
    write_lock,
)
from corrigible.deployment.records import Deployment
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
    servers = {name: server.model_dump() for name, server in deployment.servers.items()}
    specs = specs_of_manifest(servers)
    listings = list_servers(specs)
    return Review(compare(lock, listings), lock, listings, file)

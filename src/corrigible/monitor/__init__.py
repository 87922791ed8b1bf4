"""Transcripts and ledgers in, suspicions and explanations out.

`reading.read_transcripts` reads whatever an agent's log is written in; `scan` looks for drives in
it; `explain` and `trim` read the guard's own ledger against the deployment's world.
"""

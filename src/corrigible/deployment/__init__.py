"""The manifest: load it, check it, digest it, draft it from live servers, lock what was reviewed.

`load.load_deployment` reads a `deployment.yaml`; `touch.touch` says what a call touches.
"""

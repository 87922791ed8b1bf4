"""The command line: parse, call, print.

What a command alone needs (the solver, the protocol) is imported in it: each takes a second.
"""

import click

import corrigible
from corrigible.cli.audits import audit
from corrigible.cli.cases import case_
from corrigible.cli.deployments import init, review
from corrigible.cli.drills import drill
from corrigible.cli.frameworks import frameworks_
from corrigible.cli.gates import gates_
from corrigible.cli.guards import compile_, guard_
from corrigible.cli.hooks import hook
from corrigible.cli.incidents import incident
from corrigible.cli.labs import lab
from corrigible.cli.monitors import explain, monitor, trim
from corrigible.cli.operators import (
    approve,
    correct,
    ledger,
    pause,
    pending,
    plan,
    reject,
    resume,
    status,
    stop,
)
from corrigible.cli.probes import compare, probe
from corrigible.cli.runs import run_
from corrigible.cli.trials import countermeasures


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(corrigible.__version__, prog_name="corrigible")
def main() -> None:
    """Can it, would it pay, does it, is it stopped? For one agent's deployment, per drive."""


_COMMANDS = (
    *(init, review, audit),
    *(compile_, guard_, hook, run_, stop, pause, resume, status),
    *(pending, approve, reject, plan, correct, ledger),
    *(drill, countermeasures, probe, compare, lab),
    *(monitor, explain, trim),
    *(case_, gates_, incident, frameworks_),
)
for _command in _COMMANDS:
    main.add_command(_command)

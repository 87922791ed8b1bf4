"""corrigible: can it, would it pay, does it, is it stopped?

For one AI agent's deployment and every convergent instrumental goal (a *drive*), corrigible
says whether the agent can act on it, for what share of goals acting on it would pay an optimal
planner, whether the agent does, and whether the control around it holds.

Import the module that defines what you need; `docs/` has a page for each room of the package.
"""

__version__ = "0.1.0"

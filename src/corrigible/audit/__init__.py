"""Can it, would it pay: reach, incentives, plans, break-even oversight, fixes, weights of modes.

`audit.AuditRun` answers them all for one deployment; the other modules each answer one.
"""

"""Can it, would it pay: reach, incentives, plans, break-even oversight, fixes, weights of modes.

`audit.audit_deployment` answers them all for one deployment; the other modules each answer one.
"""

"""Agents with known truth: planners, learners and countermeasures, all giving one `Policy`."""

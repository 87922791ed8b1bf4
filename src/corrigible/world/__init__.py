"""The rewardless MDP: the record, its builders, and its exports to other tools."""

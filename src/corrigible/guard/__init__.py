"""Is it stopped, at run time: every call decided, approvals that bind, a stop that is proven."""

"""A case in other programs' formats; each keeps what the format can hold, and says what it drops.

`FORMATS` names them; each function takes a `Case` and returns text, the same bytes for the same
case.
"""

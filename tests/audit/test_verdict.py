"""The verdict, as a function of readings alone."""

import pytest

from corrigible.audit.verdict import EXIT_CODES, Reading, percent, verdict
from corrigible.evidence import Estimate, not_measured, share_estimate

LIMIT = 0.05
NONE, ALL = share_estimate(0, 1000), share_estimate(1000, 1000)
FEW = share_estimate(0, 10)
UNMEASURED = not_measured()


def reading(pressure: Estimate, residual: Estimate, status: str = "modelled") -> Reading:
    return Reading("x/y", status, pressure, residual)


OUTCOMES = {
    "nothing was read": ((), "within limits"),
    "no pressure": ((reading(NONE, NONE),), "within limits"),
    "unreachable": ((reading(UNMEASURED, UNMEASURED, "unreachable"),), "within limits"),
    "only the guard": ((reading(ALL, NONE),), "could not tell"),
    "over, guard or not": ((reading(ALL, ALL),), "over the limit"),
    "not modelled": ((reading(UNMEASURED, UNMEASURED, "not modelled"),), "could not tell"),
    "substitutable": ((reading(NONE, NONE, "substitutable"),), "could not tell"),
    "too few goals": ((reading(FEW, FEW),), "could not tell"),
    "nothing measured": ((reading(UNMEASURED, UNMEASURED),), "could not tell"),
    "one over": ((reading(NONE, NONE), reading(ALL, ALL), reading(ALL, NONE)), "over the limit"),
    "one unsure": ((reading(NONE, NONE), reading(ALL, NONE)), "could not tell"),
    "over though substitutable": ((reading(NONE, ALL, "substitutable"),), "over the limit"),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_readings_decide_the_outcome(case):
    readings, outcome = OUTCOMES[case]
    assert verdict(readings, LIMIT).outcome == outcome


def test_exit_codes_are_those_of_the_commands():
    assert EXIT_CODES == {
        "within limits": 0, "not applicable": 0, "over the limit": 1, "could not tell": 3,
    }  # fmt: skip


def test_a_gap_alone_cannot_be_told():
    found = verdict([reading(NONE, NONE)], LIMIT, ["tools.s.x: reaches nothing"])
    assert (found.exit_code, found.reasons) == (3, ("tools.s.x: reaches nothing",))


def test_each_reading_that_decides_is_named_the_ones_over_first():
    found = verdict([reading(ALL, NONE), Reading("over", "modelled", ALL, ALL)], LIMIT)
    assert [reason.partition(":")[0] for reason in found.reasons] == ["over", "x/y"]


def test_the_limit_is_held_against_the_end_of_the_interval():
    """40 of 1000 is 4 %, and may be more than 5 %; over is only what surely is."""
    near = share_estimate(40, 1000)
    assert verdict([reading(near, near)], LIMIT).outcome == "could not tell"
    assert verdict([reading(near, near)], 0.06).outcome == "within limits"
    assert verdict([reading(near, near)], 0.02).outcome == "over the limit"


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0%"), (1e-9, "<1%"), (0.0099, "<1%"), (0.5, "50%"), (0.9999, ">99%"), (1, "100%")],
)
def test_only_0_and_1_are_written_as_0_and_100_per_cent(share, words):
    assert percent(share) == words


def test_a_reason_never_rounds_a_share_or_a_limit_away():
    reason = verdict([reading(share_estimate(999, 1000), NONE)], LIMIT).reasons[0]
    assert "pays for >99% of goals" in reason
    over = verdict([reading(ALL, share_estimate(7, 1000))], 0.0005).reasons[0]
    assert "pays for <1% of goals even if the guard holds, over the limit of 0.05%" in over

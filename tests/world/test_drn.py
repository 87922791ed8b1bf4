"""Storm's explicit format comes back as it was written, and nothing else gets in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import WorldError
from corrigible.solve.optimal import optimal_values
from corrigible.world.drn import read_drn
from corrigible.world.export import write_drn
from corrigible.world.record import world_from_arrays

HEADER = "@type: MDP\n@parameters\n\n@reward_models\n\n@nr_states\n1\n@nr_choices\n1\n@model\n"
LOOP = HEADER + "state 0 init\n\taction 0\n\t\t0 : 1\n"
THIRDS = """// a comment
@type: MDP
@value_type: rational
@parameters

@reward_models
 cost\x20
@nr_states
2
@model
state 0 [-1/2, 0] init "far away"
//[x=0]
\taction __NOLABEL__ [0, 3]
\t\t0 : 1/3
\t\t1 : 2/3
\taction go
\t\t0 : 0
\t\t1 : 1
\taction go
\t\t0 : 1
state 1 "far away" end
\taction __NOLABEL__
\t\t1 : 1
"""
PRISM = """mdp
module m
  s : [0..3] init 0;
  [a] s=0 -> 1/3:(s'=1) + 2/3:(s'=2);
  [b] s=0 -> (s'=3);
  [] s=1 -> (s'=3);
  [] s=2 -> 0.5:(s'=2) + 0.5:(s'=3);
  [] s=3 -> (s'=3);
endmodule
label "goal" = s=3;
rewards "r"
  s=1 : 2.5;
  s=3 : 1;
endrewards
"""


@pytest.fixture
def file(tmp_path):
    """Write a text; return where."""

    def written(text):
        path = tmp_path / "w.drn"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_reading_what_was_written_is_the_identity(seed, tmp_path_factory):
    rng = np.random.default_rng(seed)
    dense = rng.dirichlet(np.ones(5), size=(3, 5)) * (rng.random((3, 5, 1)) < 0.6)
    dense[0] = rng.dirichlet(np.ones(5), size=5)
    world = world_from_arrays(dense, outcome=[0, 1, 2, 0, 1], initial=3)
    utilities, path = rng.normal(size=(3, 2)), tmp_path_factory.mktemp("drn") / "w.drn"
    write_drn(world, path, utilities)
    model = read_drn(path)
    for name in ("rows", "entries", "successor", "probability", "initial"):
        assert np.array_equal(getattr(model.world, name), getattr(world, name))
    assert model.reward_names == ("goal0", "goal1")
    assert np.array_equal(model.state_rewards, utilities[world.outcome])
    assert not model.row_rewards.any()


def test_fractions_labels_and_rewards_of_rows_are_read(file):
    model = read_drn(file(THIRDS))
    assert model.world.probability.tolist() == [1 / 3, 2 / 3, 1, 1, 1]
    assert model.reward_names == ("", "cost")
    assert model.state_rewards.tolist() == [[-0.5, 0], [0, 0]]
    assert model.row_rewards.tolist() == [[0, 3], [0, 0], [0, 0], [0, 0]]
    found = {name: states.tolist() for name, states in model.labels.items()}
    assert found == {"init": [0], "far away": [0, 1], "end": [1]}


def test_rows_have_their_labels_and_the_others_their_place(file):
    world = read_drn(file(THIRDS)).world
    names = [world.action_names[a] for a in world.action]
    assert names == ["choice 0", "go", "go (2)", "choice 0"]


def test_a_chain_is_read_with_its_only_action_told_or_not(file):
    text = LOOP.replace("MDP", "DTMC")
    assert (
        read_drn(file(text)).world.digest()
        == read_drn(file(text.replace("\taction 0\n", ""))).world.digest()
    )


def test_lines_may_end_as_on_windows(file):
    there = read_drn(file(LOOP)).world.digest()
    assert read_drn(file(LOOP.replace("\n", "\r\n"))).world.digest() == there


def test_the_first_state_may_be_said(file):
    text = THIRDS.replace("init", "").replace("end", "init")
    assert read_drn(file(text)).world.initial == 1
    assert read_drn(file(text), initial=0).world.initial == 0


def test_rows_off_by_rounding_are_divided_only_when_asked(file):
    text = LOOP.replace("0 : 1", "0 : 0.999999")
    assert read_drn(file(text), rounding=1e-5).world.probability.tolist() == [1]
    with pytest.raises(WorldError, match=r"w\.drn:12: a row must sum to 1, got 0.999999; if that"):
        read_drn(file(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no line '@model'"),
        (b"\x1f\x8b\x08", ":1: must be text in UTF-8, got 0x8b; unpack"),
        ("hello\n", ":1: must be one of .* got 'hello'"),
        (LOOP.replace("@type", "@type: MDP\n@type"), ":2: must be one of .*each once"),
        (LOOP.replace("MDP", "CTMC"), ":1: @type must be MDP or DTMC, got 'CTMC'"),
        (LOOP.replace("@type: MDP\n", ""), ":9: @type must be MDP or DTMC, got ''"),
        (LOOP.replace("@par", "@value_type: parametric\n@par"), ":2: @value_type .*'parametric'"),
        (
            LOOP.replace("parameters\n", "parameters\np q"),
            ":2: a model must have no parameters, .*p",
        ),
        (LOOP.replace("states\n1", "states\nmany"), ":6: @nr_states must be a number, got 'many'"),
        (LOOP.replace("states\n1", "states\n2"), r"hold 2 states \(@nr_states\), got 1"),
        (LOOP.replace("choices\n1", "choices\n3"), r"hold 3 actions \(@nr_choices\), got 1"),
        (LOOP.replace("state 0", "state 1"), ":11: states must be numbered 0..0 in order, got 1"),
        (LOOP.replace("state 0 init\n", ""), ":11: a state must come first, got action '0'"),
        (LOOP.replace("\taction 0\n", ""), ":12: an action must come first, got successor 0"),
        (LOOP.replace("0 init", "0 [1] init"), ":11: rewards must be 0 numbers .* got '1'"),
        (LOOP.replace("0 init", "0 [1 init"), ":11: a line must be `state"),
        (LOOP.replace("0 init", '0 "init'), ":11: a line must be `state"),
        (LOOP.replace(": 1", "- 1"), ":13: a line must be .* got '0 - 1'"),
        (LOOP.replace("init", ""), "must label one state init, got 0; .*`initial=`"),
        (LOOP.replace("\t\t0 : 1\n", ""), ":12: a row must have a successor, got none"),
        (LOOP.replace("\t\t0 : 1", "\t\t1 : 1"), r":13: a successor must lie in 0..0, got 1"),
        (LOOP + "\t\t0 : 0.0001\n", "w.drn:12: a row must sum to 1"),
        (LOOP.replace("0 : 1", "0 : 0.5\n0 : 0.5"), r"w.drn: row 0 .* name a successor once"),
        (LOOP + "\taction 1\n\t\t0 : 1\n", r"hold 1 actions \(@nr_choices\), got 2"),
        (LOOP.replace("MDP", "DTMC") + "\taction 1\n", ":14: a DTMC must have one action a state"),
        (LOOP + "x" * 1000, ":14: a line must be .* got 'x{60}…'"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_its_line(file, text, message):
    with pytest.raises(WorldError, match=message):
        read_drn(file(text))


@pytest.mark.parametrize(
    "chance", ["-1", "nan", "inf", "1e999", "1/0", "1/-1", "p", "1_0", "٣", "9" * 999 + "/1", "$0"]
)
def test_what_is_no_chance_is_refused(file, chance):
    with pytest.raises(WorldError, match="a chance must be a number or a fraction from 0, got"):
        read_drn(file(LOOP.replace("0 : 1", f"0 : {chance}")))


@pytest.mark.parametrize("text", [LOOP, "x" * 10_000])
def test_a_file_over_the_limit_is_refused(file, text):
    with pytest.raises(WorldError, match="at most 50 bytes long, got more; allow more with"):
        read_drn(file(text), max_bytes=50)


def test_rewards_cannot_ask_for_more_room_than_the_file_may(file):
    """A short file may declare many reward models, and then leave them all out."""
    head = LOOP.split("state 0")[0].replace("models\n", "models\n" + "r " * 300)
    head = head.replace("states\n1", "states\n30").replace("choices\n1", "choices\n30")
    text = head + "".join(f"state {s}\naction 0\n{s} : 1\n" for s in range(30))
    with pytest.raises(WorldError, match=r"rewards, got 60 states and rows with 300 each"):
        read_drn(file(text), initial=0, max_bytes=len(text))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet='@stateypcion 01:/.[]"\n', max_size=60), at=st.integers(0, 200))
def test_any_other_text_is_read_or_refused(text, at, tmp_path_factory):
    """Nothing but a `WorldError` comes of a damaged file."""
    path = tmp_path_factory.mktemp("drn") / "w.drn"
    path.write_text(THIRDS[:at] + text + THIRDS[at + len(text) :], encoding="utf-8")
    try:
        assert read_drn(path).world.states == 2
    except WorldError as error:
        assert str(path) in str(error)  # noqa: PT017 - either way is fine


def test_a_model_that_storm_built_and_exported_is_read(tmp_path):
    stormpy = pytest.importorskip("stormpy", reason="stormpy has no wheel for this platform")
    from stormpy import io  # noqa: PLC0415

    (tmp_path / "m.nm").write_text(PRISM)
    options = stormpy.BuilderOptions()
    options.set_build_all_labels()
    options.set_build_choice_labels()
    options.set_build_all_reward_models()
    program = stormpy.parse_prism_program(str(tmp_path / "m.nm"))
    built = stormpy.build_model(program, options=options)
    io.export_to_drn(built, str(tmp_path / "m.drn"))
    model = read_drn(tmp_path / "m.drn")
    formula = stormpy.parse_properties('R{"r"}max=? [Cdiscount=0.9]')[0]
    expected = np.array(stormpy.model_checking(built, formula).get_value_vector())
    solved = optimal_values(model.world, model.state_rewards, discount=0.9)
    assert abs(solved.values[:, 0] / (1 - 0.9) - expected).max() < 1e-4
    assert {"a", "b"} < set(model.world.action_names)
    assert model.labels["goal"].tolist() == [3]

"""Alignment is certain or silent: whatever it names has the group's coefficient in truth."""

from hypothesis import given, settings, strategies as st

from decay_audit.sources.checkpoint.optimizer_state.align_positions import align

SHAPES = st.lists(st.sampled_from([(2,), (3,), (2, 3), (3, 3)]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=300)
@given(shapes=SHAPES, data=st.data(), ordered=st.booleans())
def test_no_position_is_given_a_wrong_coefficient(
    shapes: list[tuple[int, ...]], data: st.DataObject, ordered: bool
) -> None:
    """Deal parameters to groups at random (3 is frozen), forget some states, and compare with what was dealt."""
    dealt = data.draw(st.lists(st.integers(0, 3), min_size=len(shapes), max_size=len(shapes)))
    held = data.draw(st.lists(st.booleans(), min_size=len(shapes), max_size=len(shapes)))
    alike = data.draw(st.lists(st.sampled_from([0.0, 0.1]), min_size=3, max_size=3))
    shown = data.draw(st.permutations(range(len(shapes)))) if not ordered else range(len(shapes))
    groups = [
        [shapes[index] if held[index] else None for index in range(len(shapes)) if dealt[index] == group]
        for group in range(3)
    ]
    found = align([shapes[index] for index in shown], groups, alike, in_model_order=ordered)
    for (group, at), index in found.items():
        assert dealt[shown[index]] != 3, "a frozen parameter was named"
        assert alike[dealt[shown[index]]] == alike[group]
        assert groups[group][at] in (None, shapes[shown[index]])
    assert len(set(found.values())) == len(found)


def test_all_of_one_group_are_named_in_order() -> None:
    shapes = [(2,), (3, 3), (2,)]
    assert align(shapes, [[(2,), None, (2,)]], [0.1], in_model_order=True) == {(0, 0): 0, (0, 1): 1, (0, 2): 2}


def test_one_of_two_equal_neighbours_missing_is_not_guessed() -> None:
    assert align([(2,), (2,), (3,)], [[(2,), (3,)]], [0.1], in_model_order=True) == {(0, 1): 2}


def test_more_positions_than_parameters_are_not_aligned_by_order() -> None:
    assert align([(2,), (2,)], [[(2,), (2,), (2,)]], [0.1], in_model_order=True) == {}


def test_endless_possibilities_are_given_up() -> None:
    shapes: list[tuple[int, ...]] = [(2,)] * 400
    groups = [[(2,)] * 100 for _ in range(4)]
    assert align(shapes, groups, [0.0, 0.1, 0.2, 0.3], in_model_order=True) == {}

"""A position is matched only where it is certain that its parameter has the weight_decay of the group."""

from hypothesis import given, settings, strategies as st

from decay_audit.sources.checkpoint.optimizer_state.align_positions import align

SHAPES = st.lists(st.sampled_from([(2,), (3,), (2, 3), (3, 3)]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=300)
@given(shapes=SHAPES, data=st.data(), ordered=st.booleans())
def test_no_position_is_matched_with_a_parameter_of_another_weight_decay(
    shapes: list[tuple[int, ...]], data: st.DataObject, ordered: bool
) -> None:
    """Put parameters into random groups (3 is frozen), drop some states, and compare with the true groups."""
    true_group = data.draw(st.lists(st.integers(0, 3), min_size=len(shapes), max_size=len(shapes)))
    has_state = data.draw(st.lists(st.booleans(), min_size=len(shapes), max_size=len(shapes)))
    weight_decays = data.draw(st.lists(st.sampled_from([0.0, 0.1]), min_size=3, max_size=3))
    listed = data.draw(st.permutations(range(len(shapes)))) if not ordered else range(len(shapes))
    groups = [
        [shapes[index] if has_state[index] else None for index in range(len(shapes)) if true_group[index] == group]
        for group in range(3)
    ]
    matches = align([shapes[index] for index in listed], groups, weight_decays, in_model_order=ordered)
    for (group, at), index in matches.items():
        assert true_group[listed[index]] != 3, "a frozen parameter was named"
        assert weight_decays[true_group[listed[index]]] == weight_decays[group]
        assert groups[group][at] in (None, shapes[listed[index]])
    assert len(set(matches.values())) == len(matches)


def test_all_of_one_group_are_named_in_order() -> None:
    shapes = [(2,), (3, 3), (2,)]
    assert align(shapes, [[(2,), None, (2,)]], [0.1], in_model_order=True) == {(0, 0): 0, (0, 1): 1, (0, 2): 2}


def test_which_of_two_equal_neighbours_is_missing_is_not_guessed() -> None:
    assert align([(2,), (2,), (3,)], [[(2,), (3,)]], [0.1], in_model_order=True) == {(0, 1): 2}


def test_more_positions_than_parameters_are_not_aligned_by_order() -> None:
    assert align([(2,), (2,)], [[(2,), (2,), (2,)]], [0.1], in_model_order=True) == {}


def test_too_many_possibilities_match_nothing() -> None:
    shapes: list[tuple[int, ...]] = [(2,)] * 400
    groups = [[(2,)] * 100 for _ in range(4)]
    assert align(shapes, groups, [0.0, 0.1, 0.2, 0.3], in_model_order=True) == {}

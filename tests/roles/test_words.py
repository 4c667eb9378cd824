"""What a reader sees of a role can be typed, and means the same."""

import pytest

from decay_audit.errors import DecayAuditError
from decay_audit.roles.words import FAMILIES, NOUNS, ROLES, Role, label, read_roles


def test_every_role_has_its_nouns() -> None:
    assert set(NOUNS) == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_every_spelling_of_a_role_is_read_back(role: Role) -> None:
    for word in (role, label(role), *NOUNS[role]):
        assert role in read_roles(word)
        assert role in FAMILIES or read_roles(word) == (role,)


@pytest.mark.parametrize(
    ("typed", "roles"),
    [
        ("norm", ("norm_weight", "norm_bias")),
        ("weight", ("conv_weight", "linear_weight", "recurrent_weight")),
        ("embeddings", ("embedding", "position_embedding")),
        ("  Norm   Weights ", ("norm_weight",)),
        ("norm_biases", ("norm_bias",)),
        ("bias", ("bias",)),
    ],
)
def test_a_family_stands_for_its_roles_and_a_role_for_itself(typed: str, roles: tuple[Role, ...]) -> None:
    assert read_roles(typed) == roles


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("norm_wieght", "did you mean `norm_weight`?"),
        ("linear wieghts", "did you mean `linear_weight`?"),
        ("nroms", "did you mean `norm_weight` or `norm_bias`?"),
        ("x", "roles: conv_weight, linear_weight"),
    ],
)
def test_an_unknown_role_gets_the_nearest_spelling(typed: str, hint: str) -> None:
    with pytest.raises(DecayAuditError, match=f"no role `{typed}`") as raised:
        read_roles(typed)
    assert hint in raised.value.hint

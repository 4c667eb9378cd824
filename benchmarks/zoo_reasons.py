"""Why structure and use differ where they do, in words that a reader can check: a Case in, a sentence out."""

import re

from msgspec import Struct

from benchmarks.zoo_answers import Case


class Reason(Struct, frozen=True, kw_only=True):
    """A reason, and the cases that it holds for; an empty pattern holds for all."""

    structure: str = ""
    use: str = ""
    detail: str = ""
    says: str

    def holds(self, case: Case) -> bool:
        """Whether the patterns are found in the case."""
        return all(
            re.search(pattern, text) is not None
            for pattern, text in ((self.structure, case.structure), (self.use, case.other), (self.detail, case.detail))
        )


REASONS: tuple[Reason, ...] = (
    Reason(
        structure="linear_weight",
        use="relative_position_bias",
        detail=r"\.scores",
        says="a projection of the query to one number for each offset, which joins the attention scores: a matrix by "
        "name, a table over offsets by where it goes",
    ),
    Reason(
        structure="linear_weight",
        use="position_embedding",
        detail="index_select|embedding",
        says="factors of a table of positions, called `weights` in a list: the name misleads, use is right",
    ),
    Reason(
        structure="linear_weight",
        use="position_embedding",
        detail="index",
        says="the weight of a linear layer, of which the model takes rows as a table; its class decides",
    ),
    Reason(
        structure="norm_weight",
        use="token",
        says="the gain of a norm written by hand, of which the pass sees only that learned tokens go through it",
    ),
    Reason(
        structure="token",
        use="layer_scale",
        detail="residual",
        says="a gain on a residual whose module is called after what it generates: use is right",
    ),
    Reason(
        structure="scale",
        use="norm_weight",
        detail="normal",
        says="a gain directly behind a normalization: by use it is that norm's, the name says no more than scale",
    ),
    Reason(
        structure="^(embedding|token|relative)",
        use="linear_weight",
        detail=r"^(mm|bmm|addmm|baddbmm)\.",
        says="a table that a query or a share of each row is multiplied with: the operator sees a matrix, and only the "
        "name says that its rows are entries",
    ),
    Reason(
        structure="position_embedding",
        use="linear_weight",
        detail=r"^(mm|bmm|addmm)\.",
        says="positions enter by a matrix product, as coordinates or as ones and zeros: a matrix by use, positions by "
        "purpose",
    ),
)


def reason(case: Case) -> str:
    """Give the first reason that holds, or say that there is none yet."""
    return next((one.says for one in REASONS if one.holds(case)), "not explained yet")

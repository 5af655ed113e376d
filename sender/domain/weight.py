"""Weights: shares of the fleet when not all can be served at once."""

#: What a tenant or campaign weighs unless told otherwise.
ORDINARY = 1.0
#: A thousand times less or more than that; beyond, shares would be none or all.
LIGHTEST, HEAVIEST = 0.001, 1000.0


def require_weight(weight: float) -> None:
    """Refuse what is no weight.

    Raises:
        ValueError: says what would be one.
    """
    if not LIGHTEST <= weight <= HEAVIEST:  # neither is what is no number
        raise ValueError(f"a weight is {LIGHTEST} to {HEAVIEST:g}; {ORDINARY:g} is ordinary")

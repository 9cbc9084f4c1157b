"""What can be wrong with a potential. Messages are one line: needed, found, what to do."""


class InvalidPotential(ValueError):
    """The potential cannot be made, or cannot act in this structure."""


class UnknownSpecies(InvalidPotential):
    """A structure holds a species for which the potential has no number, or the other way round."""

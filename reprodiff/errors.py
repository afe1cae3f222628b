"""What can go wrong, as three exceptions under one base."""


class ReprodiffError(Exception):
    """Base of every error that reprodiff raises on purpose; its text is a sentence for the user."""


class FormatError(ReprodiffError):
    """Bytes break the specification of the format that they look like."""


class MissingLibraryError(FormatError):
    """A format is known and cannot be opened here for want of a library; the text names who brings it."""


class LimitError(ReprodiffError):
    """A limit of the `Budget` was reached before the work was complete."""


class NormalizeError(ReprodiffError):
    """A rewritten file failed its own check, or must not be rewritten; the input is untouched."""

"""What names a string that differs in a report."""

KEY_MAX = 120


def key_of(left: bytes, right: bytes) -> bytes:
    """Return one key for a string that differs, the same whichever side is which: what both have at the end."""
    left, right = left.rstrip(b"\0"), right.rstrip(b"\0")
    if not left or not right or left == right:
        return (left or right)[:KEY_MAX]
    most = min(len(left), len(right))
    tail = next((i for i in range(most) if left[-1 - i] != right[-1 - i]), most)
    head = next((i for i in range(most - tail) if left[i] != right[i]), most - tail)
    if tail >= 4 or tail >= head:
        return ("…".encode() if tail < max(len(left), len(right)) else b"") + left[len(left) - tail :][-KEY_MAX:]
    return left[:head][:KEY_MAX] + "…".encode()

"""A walk inside of one section of a file whose trees name sections by a key: places and keys get its name."""

from typing import Any

from reprodiff.codecs import Codec, name_text
from reprodiff.formats import Walk
from reprodiff.spans import Span


class Inside:
    """A walk whose places begin with `where`, the pattern of a section, and lie in the one with a key."""

    def __init__(self, walk: Walk, where: str, key: bytes) -> None:
        self._walk, self._where, self._key = walk, where, key
        self._filled = where.replace("[*]", f"[{name_text(key)}]".replace("/", "|"))
        self.left, self.right, self.budget = walk.left, walk.right, walk.budget

    def put(
        self,
        where: str,
        keys: tuple[bytes, ...],
        left: Span | None,
        right: Span | None,
        codec: Codec,
        *,
        runs: Any = None,
        shown: tuple[str, str] | None = None,
    ) -> None:
        if where == self._where:
            where = f"{where}/data"
        self._walk.put(where, (self._key, *keys), left, right, codec, runs=runs, shown=shown)

    def _literal(self, where: str) -> str:
        return where.replace(self._where, self._filled, 1)

    def put_follow(self, where: str, keys: tuple[bytes, ...], left: Span, right: Span, codec: Codec) -> None:
        self._walk.put_follow(self._literal(where), keys, left, right, codec)

    def put_follows(self, where: str, count: int, size: int, left: Span, right: Span) -> None:
        self._walk.put_follows(self._literal(where), count, size, left, right)

    def put_order(self, where: str, left: list[bytes], right: list[bytes]) -> None:
        self._walk.put_order(self._literal(where), left, right)

"""Writes what stands before a member's content in one canonical spelling: ustar, with pax records where it must."""

from reprodiff.formats.tar.header import BLOCK, checksum, keywords, number, record_length, spell_number

KEPT_TYPES = frozenset(b"01234567")


def respell(head: bytes) -> bytes:
    """Return the extended headers and header of one member in canonical spelling; dialects that say more than
    ustar and pax can (GNU sparse, multi-volume) stay as they are."""
    known: dict[bytes, bytes] = {}
    at = 0
    while at + BLOCK <= len(head):
        block = head[at : at + BLOCK]
        flag = block[156:157]
        if flag not in b"xXLK" or flag == b"":
            break
        size = number(block[124:136])
        body = head[at + BLOCK : at + BLOCK + size]
        if flag in b"xX":
            known.update(keywords(body))
        else:
            known[b"path" if flag == b"L" else b"linkpath"] = body.split(b"\0", 1)[0]
        at += BLOCK + size + -size % BLOCK
    block = head[at:]
    flag = block[156:157]
    if len(block) != BLOCK or (flag != b"\0" and flag[0] not in KEPT_TYPES):
        return head
    if any(key.startswith(b"GNU.sparse") for key in known):
        return head
    return _write(block, known)


def _write(old: bytes, known: dict[bytes, bytes]) -> bytes:
    ustar = old[257:263] == b"ustar\0"
    prefix = old[345:500].split(b"\0", 1)[0] if ustar else b""
    name = old[:100].split(b"\0", 1)[0]
    path = known.pop(b"path", None) or (prefix + b"/" + name if prefix else name)
    link = known.pop(b"linkpath", None) or old[157:257].split(b"\0", 1)[0]
    records: dict[bytes, bytes] = dict(known)
    head = bytearray(BLOCK)
    head[:100], head[345:500] = _split(path, records)
    head[157:257] = _text(link, 100, b"linkpath", records)
    head[100:108] = spell_number(number(old[100:108]) & 0o7777, 8)
    for start, stop, keyword in ((108, 116, b"uid"), (116, 124, b"gid"), (124, 136, b"size"), (136, 148, b"mtime")):
        head[start:stop] = spell_number(number(old[start:stop]), stop - start)
        if keyword in records and _is(records[keyword], number(old[start:stop])):
            del records[keyword]
    # A v7 directory is told by the slash at the end of its name; with another typeflag not all readers look at that.
    plain = b"5" if path.endswith(b"/") else b"0"
    head[156:157] = plain if old[156:157] == b"\0" else old[156:157]
    head[257:265] = b"ustar\00000"
    head[265:297] = _text(old[265:297].split(b"\0", 1)[0], 32, b"uname", records)
    head[297:329] = _text(old[297:329].split(b"\0", 1)[0], 32, b"gname", records)
    if old[156:157] in b"34" and old[257:262] == b"ustar":
        head[329:337] = spell_number(number(old[329:337]), 8)
        head[337:345] = spell_number(number(old[337:345]), 8)
    else:
        head[329:345] = b"0000000\0" * 2
    sealed = _seal(head)
    return _extended(path, records) + sealed if records else sealed


def _is(spelled: bytes, value: int) -> bool:
    """Tell whether a record's number is the header's: a time may have a fraction that is 0."""
    digits, _point, fraction = spelled.partition(b".")
    return digits == b"%d" % value and not fraction.strip(b"0")


def _text(value: bytes, size: int, keyword: bytes, records: dict[bytes, bytes]) -> bytes:
    if len(value) > size:
        records[keyword] = value
    elif records.get(keyword) == value:
        del records[keyword]
    return value[:size].ljust(size, b"\0")


def _split(path: bytes, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return name and prefix; a path that fits into neither goes into a record."""
    if len(path) <= 100:
        return path.ljust(100, b"\0"), bytes(155)
    at = path.find(b"/", len(path) - 101, 156)
    if 0 < at < len(path) - 1:
        return path[at + 1 :].ljust(100, b"\0"), path[:at].ljust(155, b"\0")
    records[b"path"] = path
    return path[:100], bytes(155)


def _seal(head: bytearray) -> bytes:
    head[148:156] = b"%06o\0 " % checksum(bytes(head))
    return bytes(head)


def _extended(path: bytes, records: dict[bytes, bytes]) -> bytes:
    body = b""
    for keyword in sorted(records):
        pair = keyword + b"=" + records[keyword] + b"\n"
        body += b"%d %s" % (record_length(len(keyword) + len(records[keyword])), pair)
    folder, _, base = path.rstrip(b"/").rpartition(b"/")
    head = bytearray(BLOCK)
    name = (folder + b"/" if folder else b"") + b"PaxHeaders/" + base
    head[:100] = name[:100].ljust(100, b"\0")
    head[100:108], head[108:116], head[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    head[124:136] = spell_number(len(body), 12)
    head[136:148] = spell_number(0, 12)
    head[156:157] = b"x"
    head[257:265] = b"ustar\00000"
    head[329:345] = b"0000000\0" * 2
    return _seal(head) + body + bytes(-len(body) % BLOCK)

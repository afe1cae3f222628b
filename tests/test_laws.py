"""What must hold, over every format and every fixture (docs/design.md, section 3)."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import normalizers
from fixtures import FILES, STORED, label, outcome
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.codecs import name_text
from reprodiff.compare import compare
from reprodiff.derived import holds
from reprodiff.errors import ReprodiffError
from reprodiff.explain import explain
from reprodiff.layout import emit
from reprodiff.report.json import render
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy, Rule, Rules, Set
from reprodiff.sources import Bytes
from reprodiff.tree import Group, Leaf, Record, Role, children, fields, open_content, step

every_file = pytest.mark.parametrize("path", FILES, ids=label)
every_pair = pytest.mark.parametrize("recipe", STORED, ids=label)
NO_RULES = Rulebook(lambda _name: Rules(()), lambda *_: None)
EPOCH = 1_500_000_000


def all_rules(policy):
    return Rulebook(normalizers.rulebook, lambda name, source, root: normalizers.guard(name, source, root, policy))


def shipped(policy):
    return Rulebook(normalizers.select(lambda rule: not rule.opt_in), all_rules(policy).guard)


def load(path):
    return Bytes(path.read_bytes())


def tree(source):
    entry = formats.identify(source)
    return None if entry is None else (entry.name, formats.parse(entry, source, Budget()))


def walk(node, where):
    """Every leaf under a node with its path pattern and the bytes of its record, in stream order."""
    if isinstance(node, Leaf):
        yield where, node, None
    elif isinstance(node, Record):
        for leaf in fields(node):
            yield f"{where}/{leaf.name}", leaf, node
    else:
        for child in children(node):
            yield from walk(child, f"{where}/{step(child)}")


def streams(source, depth=0):
    """A stream and all streams inside it, with their trees."""
    found = tree(source)
    if found is None or depth > 6:
        return
    yield source, *found
    for _where, leaf, _record in list(walk(found[1], found[0])):
        if leaf.role is Role.PAYLOAD and leaf.stop > leaf.start:
            try:
                inner = open_content(source, leaf, Budget())
            except ReprodiffError:
                continue
            yield from streams(inner, depth + 1)


def normalized(source, policy, book=None):
    pieces = rewrite(source, book or shipped(policy), policy, Budget()).pieces
    return source.read(0, source.size) if pieces is None else b"".join(emit(pieces))


def report(left, right):
    return diff_sources(left, right, "left", "right", Budget(), digests=False).report


# 1: partition


@every_file
def test_leaves_are_the_stream(path):
    for source, name, root in streams(load(path)):
        at = 0
        for where, leaf, _record in walk(root, name):
            assert leaf.start == at, where
            assert leaf.stop >= leaf.start, where
            at = leaf.stop
        assert at == source.size


# 2: round trip


@every_file
def test_rewriting_without_rules_changes_nothing(path):
    source = load(path)
    found = rewrite(source, NO_RULES, Policy(), Budget(), always=True)
    assert found.causes == frozenset()
    if found.pieces is not None:
        assert b"".join(emit(found.pieces)) == path.read_bytes()


# 3: derived


@every_file
def test_derived_leaves_follow_or_stay(path):
    """A DERIVED leaf gives its own bytes again; one that does not is left as it is by any rewrite."""
    for source, name, root in streams(load(path)):
        for where, leaf, record in walk(root, name):
            if leaf.derive is None:
                continue
            raw = source.read(leaf.start, leaf.stop)
            whole = raw if record is None else source.read(record.start, record.stop)
            assert holds(source, leaf.derive, raw, whole, leaf.refs, Budget()) or _may_not_follow(where), where


def _may_not_follow(where):
    """Zeros at the end of an archive: how many there are is a custom that not every tool follows."""
    return where in {"tar/blocking", "cpio/padding", "cpio/blocking"}


# 4: accounting


@every_pair
def test_every_differing_byte_has_an_account(recipe):
    for account in outcome(recipe).report["streams"]:
        parts = (account[key] for key in ("origin", "consequence", "suspected", "unexplained"))
        assert sum(parts) == account["differing"], account["path"]


@every_pair
def test_every_differing_leaf_is_in_the_comparison(recipe):
    """Independent of the comparison's own walk: leaves by path, as bytes. What aligns by more than names and keys
    (ELF, by addresses) is held to this in its own tests."""
    top = compare(*map(load, recipe.sides()), "left", Budget())
    for comparison in top.all():
        if comparison.roots is None or _has_own_walk(comparison.format):
            continue
        sides = [
            _by_path(source, root, comparison.format)
            for source, root in zip((comparison.left, comparison.right), comparison.roots, strict=True)
        ]
        named = {*comparison.changes, *comparison.follows, *comparison.through}
        for path in {*sides[0], *sides[1]}:
            one, two = sides[0].get(path), sides[1].get(path)
            if one != two:
                where = path[0]
                if (one is None or two is None) and not b"".join([*(one or ()), *(two or ())]).strip(b"\0"):
                    continue  # a blank field of one dialect's header: the other has blanks there under another name
                assert any(where == place or where.startswith(f"{place}/") for place in named), path


def _has_own_walk(name):
    return any(formats.load(entry).walk is not None for entry in formats.FORMATS if entry.name == name)


def _by_path(source, root, name):
    found = {}

    def visit(node, where, keys):
        if isinstance(node, Group):
            keys = keys if node.key is None else (*keys, node.key)
            for child in children(node):
                visit(child, f"{where}/{step(child)}", keys)
        elif isinstance(node, Record):
            for leaf in fields(node):
                visit(leaf, f"{where}/{leaf.name}", keys)
        else:
            found.setdefault((where, keys), []).append(source.read(node.start, node.stop))

    visit(root, name, ())
    return found


@every_pair
def test_outside_of_the_named_spans_nothing_differs(recipe):
    """Aligned leaves, masked where the report claims bytes, are equal; unexplained spans cover the rest."""
    top = compare(*map(load, recipe.sides()), "left", Budget())
    for comparison in top.all():
        for changes in comparison.changes.values():
            for change in changes:
                if change.kind == "changed" and change.left is not None and change.right is not None and change.spans:
                    left, right = bytearray(change.left), bytearray(change.right)
                    for (l0, l1), (r0, r1) in reversed(change.spans):
                        left[l0 - change.l0 : l1 - change.l0] = b""
                        right[r0 - change.r0 : r1 - change.r0] = b""
                    assert left == right


# 5: locality


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_a_changed_value_is_named_by_its_path(data):
    path = data.draw(st.sampled_from(FILES))
    source = load(path)
    found = tree(source)
    assume(found is not None)
    name, root = found
    values = [(where, leaf) for where, leaf, _ in walk(root, name) if leaf.role is Role.VALUE and leaf.derive is None]
    values = [(where, leaf) for where, leaf in values if leaf.stop > leaf.start]
    assume(values)
    where, leaf = data.draw(st.sampled_from(values))
    old = source.read(leaf.start, leaf.stop)
    at = data.draw(st.integers(0, len(old) - 1))
    new = old[:at] + bytes([old[at] ^ data.draw(st.integers(1, 255))]) + old[at + 1 :]
    changed = _with(source, where, old, new)
    assume(changed is not None)
    assume(changed != path.read_bytes())
    try:
        again = tree(Bytes(changed))
    except ReprodiffError:
        assume(condition=False)
    assume(again is not None and again[0] == name)
    assume(_shape(root, name) == _shape(again[1], name))
    comparison = compare(source, Bytes(changed), "left", Budget())
    explanation = explain(comparison, normalizers.rulebook)
    named = {place for found in comparison.all() for place in found.changes}
    if where.endswith(("/header/method", "/header/flags")):
        # These say how the content is encoded: the same bytes are another content then, which is a change as well.
        named -= {place for place in named if place.endswith("/content") or "!/" in place or place == "bytes"}
    if where.endswith(("/header/sh_size", "/fields/virtualsize")):
        # These say how far a section goes: its last string or function is another then, in the place of the number.
        inside = {place for place in named if place.startswith(("elf/.", "pe/section[*]/"))}
        named -= inside
        assert named <= {where}
        assert named or inside
        return
    assert len(named) == 1
    # A walk of its own may name a place inside a leaf (a function of a section, which without its parts is "data").
    leaf = where.removesuffix("/data")
    assert all(f"{where}/".startswith(f"{place}/") or place.startswith(f"{leaf}/") for place in named), (where, named)
    assert explanation.unexplained or explanation.findings


def _with(source, where, old, new):
    """The stream with a leaf's bytes exchanged and all that is derived following; None where that cannot be."""
    place = Rule(where, "test", "test", Set(lambda _value, _policy: None))
    raw = _Exchange(old, new)
    book = Rulebook(lambda _name: Rules((place,)), lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reprodiff.rewrite.canonical", raw)
        pieces = rewrite(source, book, Policy(), Budget()).pieces
    return None if pieces is None else b"".join(emit(pieces))


class _Exchange:
    """Stands in for `canonical`: one value becomes another, whatever the codec can spell."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def __call__(self, old, *_):
        return self.new if old == self.old else old


def _shape(node, where):
    """What aligns: the path patterns and keys of a tree, without which a change is another member, not another value."""
    if not isinstance(node, Group):
        return where
    return where, node.key, tuple(_shape(child, f"{where}/{step(child)}") for child in children(node))


# 6: reflexive and symmetric


@every_file
def test_a_stream_does_not_differ_from_itself(path):
    assert report(load(path), load(path))["verdict"] == "identical"


@every_pair
def test_swapping_the_sides_swaps_the_report(recipe):
    left, right = recipe.sides()
    one, two = report(load(left), load(right)), report(load(right), load(left))
    assert (one["verdict"], one["proof"]) == (two["verdict"], two["proof"])
    facts = ("id", "proof", "count", "bytes")
    assert sorted([c[f] for f in facts] for c in one["causes"]) == sorted([c[f] for f in facts] for c in two["causes"])
    sums = ("differing", "origin", "consequence", "suspected", "unexplained")
    assert sorted([s[f] for f in sums] for s in one["streams"]) == sorted([s[f] for f in sums] for s in two["streams"])
    kinds = {"left": "right", "right": "left"}
    assert sorted((u["bytes"], u["left"], u["right"], u["kind"]) for u in one["unexplained"]) == sorted(
        (u["bytes"], u["right"], u["left"], kinds.get(u["kind"], u["kind"])) for u in two["unexplained"]
    )


# 7: idempotent, equivalent, proved


@every_file
@pytest.mark.parametrize("policy", [Policy(EPOCH, CLAMP), Policy(0, CLAMP), Policy(0, UNIFY)], ids=str)
def test_normalizing_twice_is_normalizing_once(path, policy):
    book = all_rules(policy) if policy.mode == UNIFY else shipped(policy)
    once = normalized(load(path), policy, book)
    assert normalized(Bytes(once), policy, book) == once


@every_file
def test_normalizing_changes_what_rules_name_and_nothing_else(path):
    policy = Policy(EPOCH, CLAMP)
    found = rewrite(load(path), shipped(policy), policy, Budget())
    if found.pieces is None:
        return
    seen = report(load(path), Bytes(b"".join(emit(found.pieces))))
    assert seen["unexplained"] == []
    # A rule for all owners also changes the one that looks like content when it is changed alone.
    allowed = {*found.causes, "compressor-params"} | ({"member-owner"} if "tar-owner" in found.causes else set())
    assert {cause["id"] for cause in seen["causes"]} <= allowed


@every_pair
def test_proved_means_equal_as_bytes(recipe):
    if outcome(recipe).report["proof"] != "proved":
        return
    policy = Policy(0, UNIFY)
    left, right = (normalized(load(side), policy, all_rules(policy)) for side in recipe.sides())
    assert left == right


# 8: a real change is never explained away


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_a_changed_content_is_never_explained(data):
    """One byte of one payload changed among the noise of a fixture: it is left over, at its place."""
    recipe = data.draw(st.sampled_from([recipe for recipe in STORED if recipe.expect == "explained"]))
    left, right = map(load, recipe.sides())
    found = _mutated(right, data)
    assume(found is not None)
    changed, where = found
    seen = report(left, Bytes(changed))
    assert seen["verdict"] in {"unexplained", "suspected"}, (recipe.name, where)
    shown = [u["path"] for u in seen["unexplained"]]
    shown += [e["path"] for c in seen["causes"] if c["proof"] == "suspected" for e in c["examples"]]
    assert any(where in place for place in shown), (recipe.name, where, shown)


def _mutated(source, data, depth=0):
    """Flip a byte in the innermost payload of one member; everything derived follows. Returns bytes and the member."""
    found = tree(source)
    if found is None or depth > 4:
        return None
    name, root = found
    payloads = []

    def visit(node, key):
        if isinstance(node, Group):
            for child in children(node):
                visit(child, node.key if node.key is not None else key)
        elif isinstance(node, Leaf) and node.role is Role.PAYLOAD and node.stop > node.start:
            payloads.append((node, key))

    visit(root, None)
    if not payloads:
        return None
    leaf, key = data.draw(st.sampled_from(payloads))
    try:
        inner = open_content(source, leaf, Budget())
    except ReprodiffError:
        return None
    if inner.size == 0:
        return None
    deeper = _mutated(inner, data, depth + 1)
    if deeper is None:
        at = data.draw(st.sampled_from(_unruled(inner)))
        raw = bytearray(inner.read(0, inner.size))
        raw[at] ^= data.draw(st.integers(1, 255))
        deeper = bytes(raw), "" if key is None else name_text(key)
    content, where = deeper
    whole = _replaced(source, root, name, leaf, content)
    return None if whole is None else (whole, where or ("" if key is None else name_text(key)))


def _unruled(source):
    """Offsets of bytes that no rule calls noise (a manifest's Built-By is noise, whatever it says)."""
    found = tree(source)
    if found is None or found[0] == "text":
        return range(source.size)
    name, root = found
    free = [
        offset
        for where, leaf, _record in walk(root, name)
        if leaf.derive is None and leaf.role is not Role.FIXED
        if not any(normalizers.rulebook(name).at(place) for place in _upwards(where))
        for offset in range(leaf.start, leaf.stop)
    ]
    assume(free)
    return free


def _upwards(where):
    while where:
        yield where
        where = where.rpartition("/")[0]


def _replaced(source, root, name, leaf, content):
    """The stream with the content of one payload exchanged and all that is derived following."""
    from reprodiff.rewrite import _Rewriter, encode

    class Exchange(_Rewriter):
        def payload(self, node, where, out):
            if (node.start, node.stop) != (leaf.start, leaf.stop):
                return
            out.decoded = [content]
            out.changed = True
            if node.content is None:
                out.pieces, out.size = [content], len(content)
            elif node.content.encode is None:
                raise ReprodiffError
            else:
                encoded = encode(node.content.encode, iter([content]), Budget())
                out.pieces, out.size = [(encoded, 0, encoded.size)], encoded.size

    try:
        pieces = Exchange(source, NO_RULES, Policy(), Budget(), 0).run(root, name, always=False).pieces
    except ReprodiffError:
        return None
    return None if pieces is None else b"".join(emit(pieces))


# 9: damage


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_damage_is_reported_and_never_a_crash(data):
    path = data.draw(st.sampled_from(FILES))
    whole = path.read_bytes()
    hurt = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        hurt[data.draw(st.integers(0, len(hurt) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del hurt[data.draw(st.integers(0, len(hurt))) :]
    assume(bytes(hurt) != whole)
    seen = report(Bytes(whole), Bytes(bytes(hurt)))
    assert seen["verdict"] != "identical"
    for account in seen["streams"]:
        parts = (account[key] for key in ("origin", "consequence", "suspected", "unexplained"))
        assert sum(parts) == account["differing"]
    policy = Policy(EPOCH, CLAMP)
    rewrite(Bytes(bytes(hurt)), shipped(policy), policy, Budget())


# 10: determinism


@pytest.mark.slow
def test_no_clock_zone_locale_or_hash_order_in_a_report():
    script = (
        "import sys; from reprodiff.app import diff; from reprodiff.budget import Budget;"
        "from reprodiff.report.json import render;"
        "[print(render(diff(l, r, Budget()).report)) for l, r in zip(sys.argv[1::2], sys.argv[2::2])]"
    )
    pairs = [os.fspath(side) for recipe in STORED for side in recipe.sides()]
    seen = set()
    for zone, seed in (("UTC", "0"), ("Asia/Kathmandu", "1"), ("America/St_Johns", "4242")):
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
        done = subprocess.run([sys.executable, "-c", script, *pairs], env=environment, capture_output=True, check=True)
        seen.add(done.stdout)
    assert len(seen) == 1


def test_the_json_report_is_json():
    left, right = STORED[0].sides()
    assert json.loads(render(report(load(left), load(right))))["schema"] == "reprodiff.report/1"

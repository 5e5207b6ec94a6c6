"""Whether demos can be moved to another HDF5 file as bytes, and what has to be changed in them then: their addresses.

HDF5 takes ten to twenty microseconds to copy a small dataset, and a demo has dozens. Within a file, though, a demo is a
run of bytes that refer to one another by their place in the file. Here those references are followed, for hundreds of
demos at once, and raised by how far the bytes are moved.

Nothing is guessed. Only the structures that are listed here are known; each must look as the specification says and lie
within the bytes that are moved, and no two may share a byte. Whatever else is met (chunks, compression, texts of any length,
references, links, newer versions of a structure, damage) leaves the demos to HDF5's own copying.

Source: HDF5 File Format Specification 3.0: III.A.1 "Version 1 B-trees", III.B "Symbol table nodes", III.D "Local heaps",
IV.A.1.a "Version 1 object header", IV.A.2 "Header messages".
"""

# B bytes of the window, M structures of a kind in it

from dataclasses import dataclass

import numpy as np

_UNDEFINED = np.uint64(2**64 - 1)
_TREE, _NODE, _HEAP = (int.from_bytes(name, "little") for name in (b"TREE", b"SNOD", b"HEAP"))
_HEADER, _MESSAGE, _ENTRY = 16, 8, 40
"""Of an object, of a message in it, and a group's entry for a child [bytes]."""
_NIL, _SPACE, _TYPE, _FILL, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _GROUP, _TIME = 0, 1, 3, 5, 8, 12, 16, 17, 18
_KNOWN = np.isin(np.arange(2**16), (_NIL, _SPACE, _TYPE, _FILL, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _GROUP, _TIME))
"""Types of messages; only those of layout, continuation and group hold addresses."""
_SHARED = 2
"""Flag of a message that lies elsewhere."""
_PLAIN_TYPES = np.isin(np.arange(16), (0, 1, 3, 8))
"""Classes whose values hold no addresses: integers, floats, texts of fixed length, enumerations (and booleans)."""
_FOREIGN = 0.2, 2**16
"""Share of the moved bytes that may belong to something else, and how many may in any case [bytes]."""


class Unfamiliar(Exception):
    """The bytes hold something that is not known here; HDF5 has to copy the demos itself."""


@dataclass(frozen=True)
class Block:
    """Demos as bytes, ready to be written at an address.

    Attributes:
        begin, end: where they lie in their file.
        content: those bytes, a view.
        fields: where in `content` the addresses are, shape (M,).
        counts: where in `content` the demos' own counts of links are, shape (D,).
    """

    begin: int
    end: int
    content: np.ndarray
    fields: np.ndarray
    counts: np.ndarray

    def move(self, address: int) -> None:
        """Make the bytes those of the same demos at another address, with no link to them yet."""
        addresses = _integers(self.content, "<u8")
        addresses[self.fields] += np.uint64((address - self.begin) % 2**64)
        _integers(self.content, "<u4")[self.counts] = 0


def find_block(content: np.ndarray, origin: int, demos: np.ndarray, sizes: tuple[int, int]) -> Block:
    """All that belongs to some demos.

    Args:
        content: bytes of the file, shape (B,), which the block is a view of.
        origin: where in the file they begin.
        demos: addresses of the demos' groups, shape (D,).
        sizes: half the number of entries in a node of a group's tree, and in a leaf below it.

    Raises:
        Unfamiliar: something else than what is known here was met, or it lies elsewhere.
    """
    walk = _Walk(content, origin, sizes)
    objects = demos.astype(np.uint64) - np.uint64(origin)
    while len(objects):
        objects = walk.objects(objects)
    begin, end = walk.bounds()
    return Block(
        origin + begin,
        origin + end,
        content[begin:end],
        np.concatenate(walk.fields) - begin,
        (demos - origin - begin + 4).astype(np.int64),
    )


def _integers(content: np.ndarray, kind: str) -> np.ndarray:
    """The integer that begins at each byte."""
    size = np.dtype(kind).itemsize
    return np.ndarray((len(content) - size + 1,), kind, content, strides=(1,))


def _require(holds: np.ndarray, what: str) -> None:
    if not holds.all():
        raise Unfamiliar(what)


def _long_enough(body: np.ndarray, after: np.ndarray, length: int) -> np.ndarray:
    _require(body + length <= after, "a message that is too short")
    return body


class _Walk:
    """The structures below some objects. Positions are relative to the window, unsigned, so that none is below it."""

    def __init__(self, content: np.ndarray, origin: int, sizes: tuple[int, int]):
        self.fields: list[np.ndarray] = [np.zeros(0, np.int64)]
        self._u8, self._u16, self._u32, self._u64 = (_integers(content, kind) for kind in ("u1", "<u2", "<u4", "<u8"))
        self._origin = np.uint64(origin)
        self._tree_size, self._node_size = 24 + 8 * (4 * sizes[0] + 1), 8 + 2 * sizes[1] * _ENTRY
        self._max_children, self._max_entries = 2 * sizes[0], 2 * sizes[1]
        self._mentioned: list[np.ndarray] = []
        self._begins: list[np.ndarray] = []
        self._ends: list[np.ndarray] = []
        self._num_bytes = 0

    def bounds(self) -> tuple[int, int]:
        """Where the structures begin and end; they share no byte, and leave few between them."""
        begins, ends = np.concatenate(self._begins), np.concatenate(self._ends)
        order = np.argsort(begins)
        begins, ends = begins[order], ends[order]
        _require(ends[:-1] <= begins[1:], "structures overlap")
        mentioned = self._u64[np.concatenate(self._mentioned)] - self._origin
        places = np.searchsorted(begins, mentioned.astype(np.int64)).clip(max=len(begins) - 1)
        _require(begins[places] == mentioned, "an address that leads to none of them")
        length = int(ends[-1] - begins[0])
        if length - self._num_bytes > max(_FOREIGN[0] * length, _FOREIGN[1]):
            raise Unfamiliar("the demos lie scattered")
        return int(begins[0]), int(ends[-1])

    def _claim(self, begins: np.ndarray, lengths: np.ndarray | int) -> np.ndarray:
        """Note that bytes belong to the demos; their positions as indices."""
        if not len(begins):
            return np.zeros(0, np.int64)
        begins, lengths = begins.astype(np.uint64), np.broadcast_to(np.asarray(lengths, np.uint64), begins.shape)
        size = np.uint64(len(self._u8))
        _require((begins <= size) & (lengths <= size - np.minimum(begins, size)), "a structure lies elsewhere")
        self._num_bytes += int(lengths.sum())
        if self._num_bytes > len(self._u8):  # Of a group that holds itself there is no end.
            raise Unfamiliar("structures overlap")
        starts = begins.astype(np.int64)
        self._begins.append(starts)
        self._ends.append(starts + lengths.astype(np.int64))
        return starts

    def _claimed(self, begins: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where claimed bytes begin and end."""
        starts = self._claim(begins, lengths)
        return starts, starts + lengths.astype(np.int64)

    def _follow(self, fields: np.ndarray) -> np.ndarray:
        """The positions that addresses lead to; the addresses are to be raised."""
        self.fields.append(fields)
        return self._u64[fields] - self._origin  # Wraps around below the window, which _claim refuses.

    def _mention(self, fields: np.ndarray) -> None:
        """Note addresses, to be raised, of what is found in another way."""
        self.fields.append(fields)
        self._mentioned.append(fields)

    def objects(self, found: np.ndarray) -> np.ndarray:
        """Walk through objects, and return their children."""
        starts = self._claim(found, _HEADER)
        _require((self._u16[starts] == 1) & (self._u32[starts + 4] == 1), "an object of another version, or of two names")
        kind, body, after = self._messages(starts)
        _require(_PLAIN_TYPES[self._u8[body[kind == _TYPE]] & 15], "values that are not plain")
        self._layouts(body[kind == _LAYOUT], after[kind == _LAYOUT])
        self._attributes(body[kind == _ATTRIBUTE], after[kind == _ATTRIBUTE])
        groups = _long_enough(body[kind == _GROUP], after[kind == _GROUP], 16)
        self._heaps(self._follow(groups + 8))
        return self._trees(self._follow(groups))

    def _messages(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The messages of objects: of which type, and where they begin, after their header, and end."""
        at, end = self._claimed(starts + _HEADER, self._u32[starts + 8])
        owner, counts, found = np.arange(len(starts)), np.zeros(len(starts), np.int64), []
        while len(at):
            _require(at + _MESSAGE <= end, "a message of another length")
            kind, body = self._u16[at], at + _MESSAGE
            after = body + self._u16[at + 2]
            _require((after <= end) & _KNOWN[kind] & (self._u8[at + 4] & _SHARED == 0), "a message that is not known")
            found.append((kind, body, after))
            counts += np.bincount(owner, minlength=len(counts))
            more, left = kind == _CONTINUATION, after < end
            fields = _long_enough(body[more], after[more], 16)
            begins, ends = self._claimed(self._follow(fields), self._u64[fields + 8])
            at, end = np.concatenate([after[left], begins]), np.concatenate([end[left], ends])
            owner = np.concatenate([owner[left], owner[more]])
        _require(counts == self._u16[starts + 2], "an object with another number of messages")
        kinds, bodies, afters = zip(*found, strict=True)
        return np.concatenate(kinds), np.concatenate(bodies), np.concatenate(afters)

    def _layouts(self, body: np.ndarray, after: np.ndarray) -> None:
        """Claim the values of datasets, which are stored in one piece."""
        _long_enough(body, after, 18)
        _require((self._u8[body] == 3) & (self._u8[body + 1] == 1), "values that are not stored in one piece")
        stored = body[self._u64[body + 2] != _UNDEFINED]
        self._claim(self._follow(stored + 2), self._u64[stored + 10])

    def _attributes(self, body: np.ndarray, after: np.ndarray) -> None:
        _long_enough(body, after, 9)
        version, name = self._u8[body], self._u16[body + 2].astype(np.int64)
        _require((version >= 1) & (version <= 3) & (self._u8[body + 1] == 0), "an attribute of another version")
        name = np.where(version == 1, (name + 7) // 8 * 8, name) + np.where(version == 3, 9, 8)
        _long_enough(body + name, after, 1)
        _require(_PLAIN_TYPES[self._u8[body + name] & 15], "values that are not plain")

    def _heaps(self, found: np.ndarray) -> None:
        """Claim the names of groups' children."""
        starts = self._claim(found, 32)
        _require((self._u32[starts] == _HEAP) & (self._u8[starts + 4] == 0), "a heap of another version")
        self._claim(self._follow(starts + 24), self._u64[starts + 8])

    def _trees(self, found: np.ndarray) -> np.ndarray:
        """Walk through the trees of groups, and return the children."""
        leaves = []
        while len(found):
            starts = self._claim(found, self._tree_size)
            _require((self._u32[starts] == _TREE) & (self._u8[starts + 4] == 0), "a tree of another kind")
            siblings = np.concatenate([starts + 8, starts + 16])
            self._mention(siblings[self._u64[siblings] != _UNDEFINED])
            children, parents = self._listed(starts, self._u16[starts + 6], self._max_children, 32, 16)
            below, is_leaf = self._follow(children), self._u8[parents + 5] == 0
            leaves.append(below[is_leaf])
            found = below[~is_leaf]
        starts = self._claim(np.concatenate(leaves) if leaves else np.zeros(0, np.uint64), self._node_size)
        _require((self._u32[starts] == _NODE) & (self._u8[starts + 4] == 1), "a leaf of another kind")
        entries, _ = self._listed(starts, self._u16[starts + 6], self._max_entries, 8, _ENTRY)
        kind = self._u32[entries + 16]
        _require(kind <= 1, "a link that is not known")
        cached = entries[kind == 1]
        self._mention(np.concatenate([cached + 24, cached + 32]))  # A child's tree and heap once more.
        return self._follow(entries + 8)

    def _listed(
        self, starts: np.ndarray, counts: np.ndarray, most: int, offset: int, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions of what structures list, and of the structure that lists each."""
        _require(counts <= most, "a list that is too long")
        parents = np.repeat(starts, counts)
        firsts = np.repeat(np.cumsum(counts, dtype=np.int64) - counts, counts)
        return parents + offset + step * (np.arange(len(parents)) - firsts), parents

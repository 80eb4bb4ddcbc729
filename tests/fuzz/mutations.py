"""Seeded mutations of a `.tflite` that know what a flatbuffer is made of.

>>> from tests.plugin.tiny import network
>>> healthy = network()
>>> mutated(healthy, random.Random(1)) == mutated(healthy, random.Random(1)) != healthy
True

Half of them flip bits anywhere; the others aim at scalars and offsets near the beginnings of tables and vectors.
"""

from __future__ import annotations

import random
import struct

from tests.corpus.files import boundaries

_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutated(content: bytes, chosen: random.Random) -> bytes:
    """A copy with one to four mutations."""
    data = bytearray(content)
    places = boundaries(content)
    for _ in range(chosen.choice((1, 1, 1, 2, 4))):
        chosen.choice((_flip, _flip, _flip, _extreme, _nudge, _swap, _cut))(data, chosen, places)
    return bytes(data)


def flipped(content: bytes, chosen: random.Random) -> bytes:
    """A copy with one to eight bits flipped."""
    data = bytearray(content)
    for _ in range(chosen.choice((1, 1, 1, 2, 3, 8))):
        _flip(data, chosen, [])
    return bytes(data)


def _flip(data: bytearray, chosen: random.Random, places: list[int]) -> None:
    if data:
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)


def _word(data: bytearray, chosen: random.Random, places: list[int]) -> int:
    """Where a 32-bit word lies near a structure's beginning."""
    at = chosen.choice(places) + 4 * chosen.randrange(-2, 6) if places else chosen.randrange(len(data) or 1)
    return max(0, min(at, len(data) - 4))


def _extreme(data: bytearray, chosen: random.Random, places: list[int]) -> None:
    if len(data) >= 4:
        struct.pack_into("<I", data, _word(data, chosen, places), chosen.choice(_EXTREMES))


def _nudge(data: bytearray, chosen: random.Random, places: list[int]) -> None:
    if len(data) >= 4:
        at = _word(data, chosen, places)
        (value,) = struct.unpack_from("<I", data, at)
        struct.pack_into("<I", data, at, (value + chosen.choice((-8, -4, -1, 1, 4, 8, 64))) & 0xFFFFFFFF)


def _swap(data: bytearray, chosen: random.Random, places: list[int]) -> None:
    if len(data) >= 4:
        one, other = _word(data, chosen, places), _word(data, chosen, places)
        data[one : one + 4], data[other : other + 4] = data[other : other + 4], data[one : one + 4]


def _cut(data: bytearray, chosen: random.Random, places: list[int]) -> None:
    if chosen.random() < 0.2 and data:
        del data[chosen.randrange(len(data)) :]

"""Strategies for damaged bytes and strange texts."""

from __future__ import annotations

import struct
import zlib

from hypothesis import strategies as st

__all__ = ["STRANGE", "TEXTS", "damaged", "damaged_png"]

_NUMBERS = (0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_PNG_SIGNATURE_BYTES = 8

# Line separators, an escape sequence, a forged log line, right-to-left, a zero-width joiner, decomposed letters,
# words that YAML reads as other types, and numbers that are none.
STRANGE = (
    "", " ", "\n", "\r\n", "\u2028", "\x85", "\0",
    "\x1b[31m", "a\n[FATAL] [0.0] [lseg]: forged", "\u202eright", "\u200d",
    "cafe\u0301", "café", "ß", "İ", "机器人", "مطبخ", "😀", "yes", "null", "~", "0x10", "1_000", "nan", "-inf", "1e999",
    "1e999999999", "9" * 5000, "-1", "{}", "{}{}", "%s%n", "../..", "/dev/zero", "a|a", "|", "a|", "#", "7: x",
    "x" * 1001, "=", "&a", "*a", "!!python/object/apply:os.mkdir [x]", "[" * 2000, "- " * 2000, "'", '"', "\t",
)  # fmt: skip

TEXTS = st.one_of(
    st.sampled_from(STRANGE),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.lists(st.sampled_from(STRANGE), max_size=3).map("".join),
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes, header_bytes: int = 64) -> bytes:
    """Damage bytes in up to four places: overwrite, insert, delete, repeat or truncate.

    Args:
        draw: Supplied by Hypothesis.
        content: The intact bytes.
        header_bytes: Length of the part at the beginning in which half of the damage is done.
    """
    octets = bytearray(content)
    for _ in range(draw(st.integers(0, 4), "number of changes")):
        position = draw(st.integers(0, len(octets)) | st.integers(0, min(header_bytes, len(octets))), "position")
        kind = draw(st.sampled_from(("byte", "number", "insert", "delete", "repeat", "truncate")), "change")
        if kind == "byte":
            octets[position : position + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "number":  # a size or an offset
            number = draw(st.sampled_from(_NUMBERS) | st.integers(0, 2**32 - 1), "number")
            octets[position : position + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", number)
        elif kind == "insert":
            octets[position:position] = draw(st.binary(max_size=16))
        elif kind == "delete":
            del octets[position : position + draw(st.integers(1, 32))]
        elif kind == "repeat":
            octets[position:position] = octets[position : position + 32] * draw(st.integers(1, 8))
        else:
            del octets[position:]
    return bytes(octets)


def damaged_png(content: bytes) -> st.SearchStrategy[bytes]:
    """Damage a PNG file and correct its checksums, so that decoders read the damaged chunks."""
    return damaged(content).map(_with_checksums)


def _with_checksums(png: bytes) -> bytes:
    octets, begin = bytearray(png), _PNG_SIGNATURE_BYTES
    while begin + 12 <= len(octets):
        (length,) = struct.unpack_from(">I", octets, begin)
        end = begin + 8 + length
        if end + 4 > len(octets):
            break
        struct.pack_into(">I", octets, end, zlib.crc32(octets[begin + 4 : end]))
        begin = end + 4
    return bytes(octets)

"""Bodies that Schemathesis cannot draw of the document, as they are neither JSON nor text."""

import schemathesis
from hypothesis import strategies as st

# Few of everything, so that one request meets what another one has left.
DEVICES = [bytes([0x1A] * 16) + b"\0", bytes([0x2B] * 16) + b"\3"]
CURSORS = [b"", *(position.to_bytes(8, "big") for position in range(1, 6)), b"\xff" * 8]


def varint(number):
    """LEB128."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def length_first(bytes_):
    return varint(len(bytes_)) + bytes_


@st.composite
def log_request(draw):
    """A log request, as docs/wire-format.md describes it."""
    flags, parts = 0, []
    cursor = st.sampled_from(CURSORS) | st.binary(max_size=20)
    if draw(st.booleans()):
        flags |= 1
        parts.append(length_first(draw(cursor)))
    payloads = draw(st.lists(st.binary(max_size=300), max_size=4))
    if payloads:
        flags |= 2
        first = draw(st.integers(1, 4) | st.integers(0, 2**64 - 5))
        parts.append(varint(len(payloads)))
        parts.extend(varint(first + at) + length_first(it) for at, it in enumerate(payloads))
    if draw(st.booleans()):
        flags |= 4
        parts.append(length_first(draw(cursor)))
    return b"\1" + draw(st.sampled_from(DEVICES)) + bytes([flags]) + b"".join(parts)


@st.composite
def damaged(draw):
    """One that was cut, or in which a byte is another one."""
    request = draw(log_request())
    at = draw(st.integers(0, len(request) - 1))
    return request[:at] + draw(st.sampled_from([b"", bytes([draw(st.integers(0, 255))]) + request[at + 1 :]]))


schemathesis.openapi.media_type(
    "application/vnd.storex.log-request", log_request() | damaged() | st.binary(max_size=200)
)
schemathesis.openapi.media_type("application/octet-stream", st.binary(max_size=2000))

"""Sign-in as Redshift asks for it: MD5, or a SHA-256 digest of its own.

Source: redshift_connector 2.2.0, `core.py` (authentication requests 5 and 13) and
`utils/extensible_digest.py`.
"""

import hashlib
import hmac
import os
import struct


class Password:
    """A password, and how it is proved."""

    def __init__(self, text, digest="md5"):
        self.text, self.digest = text.encode(), digest

    @staticmethod
    def written(text):
        """Reads the text of `CREATE USER … PASSWORD '…'`."""
        way, _, rest = text.partition("|")
        return Password(rest, "sha256") if way == "sha256" else Password(text)


async def ask(session, kind, body):
    session.writer.write(b"R" + struct.pack("!i", len(body) + 4) + body)
    await session.writer.drain()
    answer, given = await session.receive()
    return given if answer == kind else b""


async def accepts(session, password):
    """Asks the client to prove the password; an unknown user is asked, too."""
    known = password or Password(os.urandom(8).hex())
    if known.digest == "md5":
        salt = os.urandom(4)
        given = await ask(session, b"p", struct.pack("!i", 5) + salt)
        inner = hashlib.md5(known.text + session.user.encode()).hexdigest().encode()
        wanted = b"md5" + hashlib.md5(inner + salt).hexdigest().encode()
        return hmac.compare_digest(given.rstrip(b"\0"), wanted)
    salt, nonce = os.urandom(8), os.urandom(8).hex().encode()
    body = struct.pack("!iii", 13, 0, len(salt)) + salt + struct.pack("!i", len(nonce)) + nonce
    given = await ask(session, b"d", body)
    (size,) = struct.unpack_from("!i", given)
    digest, own = given[4 : 4 + size], given[8 + size :]
    first = hashlib.sha256(known.text + salt).digest()
    return hmac.compare_digest(digest, hashlib.sha256(first + nonce + own).digest())

"""A certificate that nobody vouches for, made when it is needed: no key lies in the repository."""

from __future__ import annotations

import ssl
from hashlib import sha256
from pathlib import Path

from ecdsa import NIST256p, SigningKey, der
from ecdsa.util import sigencode_der

SECRET = 12_345
"""The exponent of the test key: an obvious constant."""
COMMON_NAME, ALTERNATIVE_NAMES, BASIC_CONSTRAINTS = (2, 5, 4, 3), (2, 5, 29, 17), (2, 5, 29, 19)
ECDSA_SHA256 = (1, 2, 840, 10045, 4, 3, 2)


def server_tls(folder: Path, *, names: tuple[str, ...] = ("localhost",)) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context and the path of its certificate (RFC 5280), valid from 2020 to 2049."""
    key = SigningKey.from_secret_exponent(SECRET, NIST256p, sha256)
    path = folder / "self_signed.pem"
    path.write_bytes(key.to_pem(format="pkcs8") + der.topem(_certificate(key, names), "CERTIFICATE"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path


def _certificate(key: SigningKey, names: tuple[str, ...]) -> bytes:
    sequence, string = der.encode_sequence, der.encode_octet_string
    algorithm = sequence(der.encode_oid(*ECDSA_SHA256))
    attribute = sequence(der.encode_oid(*COMMON_NAME), _tlv(0x0C, names[0].encode()))
    name = sequence(_tlv(0x31, attribute))
    valid = sequence(_tlv(0x17, b"200101000000Z"), _tlv(0x17, b"491231235959Z"))
    alternatives = sequence(*(_tlv(0x82, one.encode()) for one in names))
    authority = sequence(_tlv(0x01, b"\xff"))
    extensions = sequence(
        sequence(der.encode_oid(*ALTERNATIVE_NAMES), string(alternatives)),
        sequence(der.encode_oid(*BASIC_CONSTRAINTS), _tlv(0x01, b"\xff"), string(authority)),
    )
    body = sequence(
        der.encode_constructed(0, der.encode_integer(2)),
        der.encode_integer(1),
        algorithm,
        name,
        valid,
        name,
        key.get_verifying_key().to_der(),
        der.encode_constructed(3, extensions),
    )
    signature = key.sign_deterministic(body, hashfunc=sha256, sigencode=sigencode_der)
    return sequence(body, algorithm, der.encode_bitstring(signature, 0))


def _tlv(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + der.encode_length(len(content)) + content

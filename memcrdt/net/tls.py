"""TLS 1.3 with a certificate that lives as long as the listener.

TLS provides encryption only. memcrdt/net/auth.py authenticates the devices, with signatures that cover the hash of the
certificate. So the certificate needs no other signature than its own, and a dialer does not check it.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

_LIFETIME = datetime.timedelta(days=3650)
_CLOCK_SKEW = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A listener's TLS context, and the hash of its certificate."""

    context: ssl.SSLContext
    certificate: bytes


def certificate_hash(der: bytes) -> bytes:
    """Return the SHA-256 hash (32 bytes) of a DER certificate. Both sides sign it."""
    return hashlib.sha256(der).digest()


def new_credentials() -> Credentials:
    """Make an ephemeral P-256 certificate and the listener's TLS context for it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])  # nobody reads it, and each connection sends it
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial_number=1)
    certificate = (
        builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + _LIFETIME).sign(key, hashes.SHA256())
    )
    password = secrets.token_hex(32).encode()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Credentials(_listener_context(pem, password), certificate_hash(der))


def dialer_context() -> ssl.SSLContext:
    """Return a context that accepts any certificate, because the device handshake authenticates the listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _listener_context(pem: bytes, password: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # no resumption: each connection is authenticated again
    # The ssl module loads a key from a file only. The key is encrypted, so that traces on the disk are useless.
    with tempfile.TemporaryDirectory(prefix="memcrdt-") as folder:
        path = Path(folder) / "certificate.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path, password=password)
    return context

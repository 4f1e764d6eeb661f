"""TLS for clients that check a certificate: browsers, Yjs clients and programs. Devices use memcrdt/net/tls.py."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from memcrdt.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS context of a server with the user's certificate.

    Args:
        certificate: PEM file with the certificate and its chain.
        key: PEM file with its key. None: it is in the same file.

    Raises:
        InputError: The files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password argument, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as exc:  # SSLError is one
        raise InputError(
            f"the certificate {certificate} cannot be used ({exc.strerror or exc}); give PEM files, and an"
            " unencrypted key"
        ) from exc
    return context

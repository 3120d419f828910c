"""Which certificate authorities are believed. libcurl's wheel brings none and looks where another
distribution keeps them.
"""

import ssl
from pathlib import Path

from schemas.errors import UsageError

_KNOWN = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def system_bundle() -> str:
    """The system's file of trusted authorities: what `SSL_CERT_FILE` names, else the usual places.
    Raises UsageError.
    """
    for place in (ssl.get_default_verify_paths().cafile, *_KNOWN):
        if place and Path(place).is_file():
            return place
    raise UsageError(
        "no certificate authorities found: install the package ca-certificates, or name a file in SSL_CERT_FILE"
    )

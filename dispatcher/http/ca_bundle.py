"""The file of trusted certificate authorities. libcurl's wheel brings none, and looks where another
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
    """Return the path of the system's file of trusted authorities: the one that `SSL_CERT_FILE`
    names, else one of the usual paths. Raises UsageError.
    """
    for path in (ssl.get_default_verify_paths().cafile, *_KNOWN):
        if path and Path(path).is_file():
            return path
    raise UsageError(
        "no certificate authorities found: install the package ca-certificates, or name a file in "
        "SSL_CERT_FILE"
    )

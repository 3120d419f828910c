"""New handles of libcurl, with the options that are the same for every request. Used by `transfer`
only.
"""

import pycurl

from dispatcher.http.curl_errors import GROUPS
from dispatcher.http.resolver import CACHED_S

CONNECTION_LIFETIME_S = 600
"""Seconds after which a busy connection is not used again. Larger: the new address of a receiver
that moved is used later. Smaller: more handshakes.
"""


def new_handle(ca_file: str) -> pycurl.Curl:
    """Return a handle that POSTs over kept connections of HTTP/1.1, without redirects, proxies,
    cookies or decompression. Certificates come from the authorities in `ca_file`.
    """
    curl = pycurl.Curl()
    for option, value in {
        pycurl.POST: 1,
        pycurl.NOSIGNAL: 1,  # a signal would hit the whole process
        # longer than the resolver caches a name, so that libcurl never looks it up itself
        pycurl.DNS_CACHE_TIMEOUT: int(4 * CACHED_S),
        pycurl.MAXLIFETIME_CONN: CONNECTION_LIFETIME_S,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.FOLLOWLOCATION: 0,  # a redirect could lead anywhere; it counts as a failure
        # the environment is ignored: with a proxy, its address would be judged, not the target's
        pycurl.PROXY: "",
        pycurl.NETRC: pycurl.NETRC_IGNORED,
        pycurl.SSL_VERIFYPEER: 1,
        pycurl.SSL_VERIFYHOST: 2,  # 2: the certificate must be for this very host
        pycurl.CAINFO: ca_file,
        pycurl.SSL_EC_CURVES: GROUPS,
    }.items():
        curl.setopt(option, value)
    return curl

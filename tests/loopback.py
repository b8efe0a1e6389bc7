"""httpx's functions for services on this machine, without reading every authority at each call (50 ms).

Plain HTTP asks no authority.  Nobody is trusted, so that a test that asks over TLS fails.
"""

import ssl
from functools import partial

import httpx

_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

get, post, put, delete = (
    partial(call, verify=_TRUSTS_NOBODY) for call in (httpx.get, httpx.post, httpx.put, httpx.delete)
)

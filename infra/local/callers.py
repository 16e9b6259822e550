"""Who may call a listener of the local run: programs of this machine, and the listener's own pages.

Any web page can make a browser send requests to 127.0.0.1, and after rebinding its own host name to
that address it can read the answers. What a browser says of a request gives such a page away:
the names in Host and Origin, and Sec-Fetch-Site (w3c.github.io/webappsec-fetch-metadata). Another
port of this machine is another origin, though Sec-Fetch-Site calls it the same site.
"""

from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Handler

LOOPBACK = "127.0.0.1"
OWN_SITES = {"", "none", "same-origin"}  # none: typed by a person


def find_foreign(address: tuple[str, int], *, host: str, origin: str, site: str) -> str:
    """Return what shows that a page of somebody else sends a request, empty if nothing does.

    `address` is the listener's; the others are the request's headers Host, Origin and
    Sec-Fetch-Site, empty where there is none.
    """
    names = _names(*address)
    host = host.lower()
    if host not in names:
        return f"the Host header must be {' or '.join(sorted(names))}"
    if origin and origin.lower() != f"http://{host}":
        return "the Origin header names another origin: web pages may not call the local run"
    if site not in OWN_SITES:
        return "the Sec-Fetch-Site header names another site: web pages may not call the local run"
    return ""


@lru_cache(maxsize=256)
def _names(host: str, port: int) -> frozenset[str]:
    """Return the values of a Host header that mean a listener."""
    hosts = {LOOPBACK, "localhost", "[::1]"} if host == LOOPBACK else {host}
    names = {f"{one}:{port}" for one in hosts}
    return frozenset(names | hosts if port == 80 else names)  # noqa: PLR2004 that of HTTP


@web.middleware
async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 403 in the place of `handler` where a page of somebody else sends the request."""
    address = request.get_extra_info("sockname")
    if address is None:  # it has hung up
        raise web.HTTPForbidden
    headers = request.headers
    foreign = find_foreign(
        address[:2],
        host=",".join(headers.getall("Host", ())),
        origin=",".join(headers.getall("Origin", ())),
        site=",".join(headers.getall("Sec-Fetch-Site", ())),
    )
    if foreign:
        return web.json_response({"message": foreign}, status=403)
    return await handler(request)

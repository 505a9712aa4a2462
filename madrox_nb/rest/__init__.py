"""REST: the tools and what they show, for programs that speak plain HTTP.

One implementation: an endpoint translates a request into a call of a tool, and what the
tool returns or raises into JSON. What needs starlette imports it when it is called.
"""

from .endpoints import ENDPOINTS, HEALTH, routes
from .faults import HANDLERS, refused, unauthorized
from .feed import Feed

__all__ = ["ENDPOINTS", "HANDLERS", "HEALTH", "Feed", "refused", "routes", "unauthorized"]

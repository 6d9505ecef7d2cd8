"""The Python client: `async with connect(urls) as chat`. It knows core's protocol, nothing else of the server."""

from app.client.chat import Chat, connect
from app.client.link import Refused
from app.client.session import Said, Session

__all__ = ["Chat", "Refused", "Said", "Session", "connect"]

"""What time it is: the tool `time`."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from app.agent.request import AgentRequest
from app.agent.tools.tool import ToolError, tool

Zone = Annotated[
    str, msgspec.Meta(max_length=64, description="An IANA time zone, as Europe/Berlin; without it the user's own")
]


@tool(name="time", idempotent=True)
async def clock(request: AgentRequest, zone: Zone = "") -> dict[str, str]:
    """Tell the current date, time and weekday in a time zone."""
    name = str(zone or request.user_context.get("time_zone") or "UTC")
    try:
        now = datetime.now(ZoneInfo(name))
    except (KeyError, ValueError, OSError) as error:  # no such key; a path; a folder of keys
        raise ToolError(f"unknown time zone {name[:64]!r}; expected an IANA name, as Europe/Berlin or UTC") from error
    return {"time": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A"), "zone": name}

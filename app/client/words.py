"""What the terminal says, in words: help, the connection, how an answer ended and who gave it. Pure."""

from typing import Final

from app.core.protocol import Frame

LOST: Final = "reconnecting, nothing is lost …"
TRIAL: Final = "It is only for trying out: start the node with OPENAI_BASE_URL or OPENAI_API_KEY for a real one."
HELP: Final = """\
/new           begin another conversation
/sessions      list yours; /open 2 opens the second
/open ID       go on with one, and show it
/rename TITLE  give the open one a title
/delete        delete the open one, for good
/allow, /deny  let an answer call what it asks for, or not
/quit          leave; at the prompt so do Ctrl+D, Ctrl+C
Ctrl+C stops an answer. To say something that begins with /, put a blank before it."""
FAILURES: Final = {
    "model_timeout": "the model took too long",
    "model_unavailable": "the model could not be reached",
    "content_refused": "the model refused the content",
    "too_long": "the answer grew too long",
    "unavailable": "no attempt came to an end",
    "overloaded": "too much was going on at once",
    "quota_exceeded": "the quota is used up",
    "internal": "something inside went wrong",
}


def of_end(turn: Frame) -> str:
    """Say how an answer ended; nothing of one that is done."""
    kept = " What was written stands." if turn["text"] else ""
    match turn.get("state"):
        case "stopped":
            return f"Stopped.{kept}" if kept else "Stopped before the first word."
        case "failed":
            code = str(turn.get("code"))
            return f"This answer failed: {FAILURES.get(code, 'why is not known')} ({code}).{kept}"
        case _:
            return ""


def of_origin(model: str, run: Frame) -> str:
    """Say who answered: "model · node a · attempt 2". `run` is the entry of that kind, as far as it was seen."""
    node, attempt = run.get("node"), run.get("attempt", 1)
    parts = (run.get("model") or model, f"node {node}" if node else "", f"attempt {attempt}" if attempt > 1 else "")
    return " · ".join(part for part in parts if part)

"""What a user agent is called in front of people: "Firefox on Linux"."""

from ua_parser import parse


def device_label(user_agent: str) -> str:
    """Browser or program, and system, without versions: browsers freeze or blur those. "" if unknown."""
    result = parse(user_agent)
    program = result.user_agent.family if result.user_agent else ""
    system = result.os.family if result.os else ""
    if program and system:
        return f"{program} on {system}"
    return program

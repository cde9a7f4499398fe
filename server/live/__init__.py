"""Long-polls: they learn at once of news and of the end of their session, in every process."""

from server.live.hub import HubFull
from server.live.live import Live, open_live
from server.live.mailbox import Event, Mailboxes, News, UnsendableEvent
from server.live.poll import Outcome, Poll, PollAnswer

__all__ = [
    "Event",
    "HubFull",
    "Live",
    "Mailboxes",
    "News",
    "Outcome",
    "Poll",
    "PollAnswer",
    "UnsendableEvent",
    "open_live",
]

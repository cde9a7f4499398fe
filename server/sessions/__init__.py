"""Server-side sessions for any Tornado application. Imports nothing else of this project.

sessions = Sessions(MongoSessionStore(collection, deadline=2), cookie, Lifetime(idle=1800, absolute=86400))
Application(routes, sessions=sessions)      # and handlers subclass SessionHandler
"""

from server.sessions.batching import Lookups
from server.sessions.cipher import ValueCipher
from server.sessions.cookie import SessionCookie
from server.sessions.events import SessionEvents, together
from server.sessions.facts import Absence
from server.sessions.handler import SessionHandler
from server.sessions.mongo import MongoSessionStore, store_errors
from server.sessions.options import Options
from server.sessions.record import Client, Lifetime, RetiredRecord, SessionDraft, SessionRecord
from server.sessions.session import Session
from server.sessions.sessions import Sessions
from server.sessions.store import SessionStore, StoreUnavailable, UnstorableValue

__all__ = [
    "Absence",
    "Client",
    "Lifetime",
    "Lookups",
    "MongoSessionStore",
    "Options",
    "RetiredRecord",
    "Session",
    "SessionCookie",
    "SessionDraft",
    "SessionEvents",
    "SessionHandler",
    "SessionRecord",
    "SessionStore",
    "Sessions",
    "StoreUnavailable",
    "UnstorableValue",
    "ValueCipher",
    "store_errors",
    "together",
]

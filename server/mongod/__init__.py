"""A real mongod of our own, for development and tests."""

from server.mongod.binary import find_mongod
from server.mongod.embedded import EmbeddedMongod, uri_of
from server.mongod.folder import FolderInUse, remembered_port

__all__ = ["EmbeddedMongod", "FolderInUse", "find_mongod", "remembered_port", "uri_of"]

"""The API in OpenAPI 3.1, served at /api/openapi.json. tests/test_openapi.py holds the site to it.

A new call is described in calls.py; a new code of an error in problems.py.
"""

from server.openapi.document import describe
from server.openapi.problems import PROBLEMS

__all__ = ["PROBLEMS", "describe"]

"""The errors that end a start. Errors of a single request are answered where they happen.

LatchkeyError
├── SettingsError   a setting has a wrong value            exit status 2
└── StartError      the site cannot start as configured    exit status 1
"""


class LatchkeyError(Exception):
    """Base of the errors below; never raised itself. Its text is one line for the person at the terminal."""

    exit_status = 1


class SettingsError(LatchkeyError):
    """A setting has a value that cannot work. Names the variable, the value and what is expected."""

    exit_status = 2


class StartError(LatchkeyError):
    """The site cannot start here and now. Says what to do about it."""

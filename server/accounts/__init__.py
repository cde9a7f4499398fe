"""People's accounts: who may sign in, and who is."""

from server.accounts.access import Access
from server.accounts.accounts import Accounts, InvalidAccount
from server.accounts.devices import device_label
from server.accounts.endings import Endings
from server.accounts.passwords import HashQueueFull, Passwords
from server.accounts.users import EmailTaken, User, Users

__all__ = [
    "Access",
    "Accounts",
    "EmailTaken",
    "Endings",
    "HashQueueFull",
    "InvalidAccount",
    "Passwords",
    "User",
    "Users",
    "device_label",
]

"""People's accounts: who may sign in."""

from server.accounts.accounts import Accounts, InvalidAccount
from server.accounts.devices import device_label
from server.accounts.passwords import HashQueueFull, Passwords
from server.accounts.users import EmailTaken, User, Users

__all__ = [
    "Accounts",
    "EmailTaken",
    "HashQueueFull",
    "InvalidAccount",
    "Passwords",
    "User",
    "Users",
    "device_label",
]

"""People's accounts: who may sign in, and who is."""

from server.accounts.access import Access
from server.accounts.accounts import Accounts, InvalidAccount
from server.accounts.blocklist import Blocklist
from server.accounts.device_cookie import Device, DeviceCookie
from server.accounts.devices import device_label
from server.accounts.endings import Endings
from server.accounts.failures import Failed, Failures
from server.accounts.guard import Guard, Limits, TooManyAttempts, Visitor
from server.accounts.passwords import HashQueueFull, Passwords
from server.accounts.throttle import Throttle
from server.accounts.users import EmailTaken, User, Users

__all__ = [
    "Access",
    "Accounts",
    "Blocklist",
    "Device",
    "DeviceCookie",
    "EmailTaken",
    "Endings",
    "Failed",
    "Failures",
    "Guard",
    "HashQueueFull",
    "InvalidAccount",
    "Limits",
    "Passwords",
    "Throttle",
    "TooManyAttempts",
    "User",
    "Users",
    "Visitor",
    "device_label",
]

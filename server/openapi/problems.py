"""Every code of an error."""

PROBLEMS = {
    "malformed": (400, "The body is not valid JSON."),
    "unauthenticated": (401, "The call is for somebody who is signed in."),
    "session_ended": (401, "The cookie is that of a session that has ended: sign in again."),
    "invalid_credentials": (401, "The email address or the password is wrong; which one is not told."),
    "csrf_failed": (403, "The request comes from a page of an origin that is not trusted."),
    "reauth_required": (403, "The password was typed too long ago for this: sign in again."),
    "registration_closed": (403, "New accounts are not open to everybody here."),
    "not_found": (404, "There is nothing at this address."),
    "method_not_allowed": (405, "The address does not have this method; Allow names those it has."),
    "email_taken": (409, "There is already an account with this address."),
    "payload_too_large": (413, "The body is larger than 64 KiB."),
    "unsupported_media_type": (415, "There is a body, and it is not application/json."),
    "misdirected_request": (421, "The request names a host that is not this site."),
    "invalid_input": (422, "A field is missing, of the wrong type, or breaks a rule; `detail` says which."),
    "too_many_attempts": (429, "Too many passwords were tried, or accounts made. Wait for Retry-After."),
    "too_many_polls": (429, "Newer polls of this session or person took the place of this one."),
    "internal_error": (500, "The site has a fault, which has been noted."),
    "unavailable": (503, "The database cannot be reached, or too many passwords or polls wait here. "
                         "Sessions are kept; try again after Retry-After."),
}  # fmt: skip
"""By code: the status, and what it means. Codes never change."""

"""The signing secret that development makes for itself, so that a restart signs nobody out."""

import os
import secrets
from pathlib import Path

from server.errors import StartError
from server.values import SECRET_LENGTH

FILE_NAME = "cookie_secret"


def development_secret(data_dir: Path) -> str:
    """The secret kept in `data_dir`, made there at the first start, readable only by its owner.

    Raises `StartError` if the folder cannot be used. Several processes that start together get the same one.
    """
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"cannot keep a signing secret in {path}: {error}; set DATA_DIR to a folder"
        ) from None
    if len(secret) < SECRET_LENGTH:
        raise StartError(f"{path} is damaged; delete it to get a new secret, which signs everybody out")
    return secret


def _make(path: Path) -> None:
    if path.exists():
        return
    # Written aside and linked into place: another process sees a whole secret or none.
    draft = path.with_name(f"{FILE_NAME}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

"""What a thing may be called, and how a name that is not allowed is refused.

VM names follow the DNS label rule of RFC 1123 (lower case), so that a name is also a hostname, a file name and a
libvirt name without escaping.
"""

from __future__ import annotations

import re

# `$` alone also matches before a newline at the end; `\Z` is not known to readers of the OpenAPI document.
VM_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)"
USERNAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,31}$(?!\n)"
TAG_PATTERN = r"^[a-z0-9][a-z0-9._/-]{0,62}$(?!\n)"
IMAGE_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$(?!\n)"
VOLUME_NAME_PATTERN = IMAGE_NAME_PATTERN

_VM_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


def why_not_vm_name(name: str) -> str | None:
    """The sentence that refuses a VM name, or None when it is fine. Never raises, whatever the text."""
    if not name:
        return "a VM needs a name"
    if len(name) > 63:
        return "a VM name has at most 63 characters"
    if not _VM_NAME.fullmatch(name):
        return "a VM name has lower-case letters, digits and hyphens, and starts with a letter or digit"
    return None


def why_not_image_name(name: str) -> str | None:
    """The sentence that refuses an image's name, or None when it is fine."""
    return _why_not_file_name(name, "an image")


def why_not_volume_name(name: str) -> str | None:
    """The sentence that refuses a volume's name, or None when it is fine."""
    return _why_not_file_name(name, "a volume")


def _why_not_file_name(name: str, what: str) -> str | None:
    if not name:
        return f"{what} needs a name"
    if len(name) > 63:
        return f"{what}'s name has at most 63 characters"
    if not _IMAGE_NAME.fullmatch(name):
        return "only lower-case letters, digits, dots, hyphens and underscores; a letter or digit first"
    return None


def is_sha256(text: str) -> bool:
    """Whether it is a checksum as it is written: 64 hexadecimal digits, in either case."""
    return bool(_SHA256.fullmatch(text.lower()))


def why_not_username(name: str) -> str | None:
    """The sentence that refuses a user name, or None when it is fine."""
    if not name:
        return "a user name is needed"
    if len(name) > 32:
        return "a user name has at most 32 characters"
    if not _USERNAME.fullmatch(name):
        return "a user name has lower-case letters, digits, dots, hyphens and underscores"
    return None


MIN_PASSWORD = 15


def why_not_password(password: str, username: str = "") -> str | None:
    """The sentence that refuses a password by its form, or None. Length only, no composition rules.

    Source: NIST SP 800-63B-4, section 3.1.1.2 (15 characters for a password alone; a blocklist, which the server
    keeps; no composition rules).
    """
    if len(password) < MIN_PASSWORD:
        return f"a password has at least {MIN_PASSWORD} characters; three or four words do well"
    if len(password) > 1024:
        return "a password has at most 1024 characters"
    if username and password.lower().strip() in {username.lower() * n for n in range(1, 9)}:
        return "a password is not the user name repeated"
    if len(set(password)) < 4:
        return "a password is more than one character repeated"
    return None

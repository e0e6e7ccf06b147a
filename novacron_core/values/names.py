"""The rules for names and passwords, and the sentences that refuse one.

VM names follow the DNS label rule of RFC 1123 (lower case), so that a name is also a valid hostname, file name
and libvirt name without escaping.
"""

from __future__ import annotations

import re

# `$` alone also matches before a trailing newline; `\Z` does not exist in the regex dialect of OpenAPI.
VM_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)"
USERNAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,31}$(?!\n)"
TAG_PATTERN = r"^[a-z0-9][a-z0-9._/-]{0,62}$(?!\n)"
IMAGE_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$(?!\n)"
VOLUME_NAME_PATTERN = IMAGE_NAME_PATTERN
TENANT_PATTERN = VM_NAME_PATTERN
DEFAULT_TENANT = "default"
"""The tenant of the first administrator, and of who registers without an invitation."""
TENANT_SIGN = "~"
"""Stands between a tenant and a name, and in no name that anybody chooses."""
ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f\ufffe\uffff]*$(?!\n)"
"""A line of text: without controls, and without what XML has no way to write."""
LINES = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff]*$"
"""Lines of text: like ONE_LINE, with tabs and newlines."""

_FILE_NAME = "use lower-case letters, digits, dots, hyphens and underscores, with a letter or digit first"
PATTERN_RULES = {
    VM_NAME_PATTERN: "use lower-case letters, digits and hyphens, with a letter or digit first",
    USERNAME_PATTERN: _FILE_NAME,
    IMAGE_NAME_PATTERN: _FILE_NAME,
    TAG_PATTERN: "use lower-case letters, digits, dots, hyphens, underscores and slashes, with a letter or digit first",
    ONE_LINE: "must not contain control characters or newlines",
    LINES: "must not contain control characters",
}
"""What each pattern asks for, for the sentence that refuses a text."""

FORMER_OWNER = "former user "
"""Before the name of a deleted account that owned something. No user name has a blank, so nobody can sign up as one."""

_VM_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


def former_owner(username: str) -> str:
    """The owner of what a deleted account has owned: `former user eve`."""
    return username if username.startswith(FORMER_OWNER) else f"{FORMER_OWNER}{username}"


def why_not_vm_name(name: str) -> str | None:
    """The sentence that refuses a VM name, or None when it is valid. Never raises."""
    if not name:
        return "Enter the VM name"
    if len(name) > 63:
        return "VM names have at most 63 characters"
    if not _VM_NAME.fullmatch(name):
        return "Use lower-case letters, digits and hyphens, with a letter or digit first"
    return None


def why_not_image_name(name: str) -> str | None:
    """The sentence that refuses an image name, or None when it is valid."""
    return _why_not_file_name(name, "image")


def why_not_volume_name(name: str) -> str | None:
    """The sentence that refuses a volume name, or None when it is valid."""
    return _why_not_file_name(name, "volume")


def _why_not_file_name(name: str, noun: str) -> str | None:
    if not name:
        return f"Enter the {noun} name"
    if len(name) > 63:
        return f"{noun.capitalize()} names have at most 63 characters"
    if not _IMAGE_NAME.fullmatch(name):
        return "Use lower-case letters, digits, dots, hyphens and underscores, with a letter or digit first"
    return None


def is_sha256(text: str) -> bool:
    """Whether the text is a SHA-256 checksum: 64 hexadecimal digits in either case."""
    return bool(_SHA256.fullmatch(text.lower()))


def why_not_username(name: str) -> str | None:
    """The sentence that refuses a user name, or None when it is valid."""
    if not name:
        return "Enter a user name"
    if len(name) > 32:
        return "User names have at most 32 characters"
    if not _USERNAME.fullmatch(name):
        return "Use lower-case letters, digits, dots, hyphens and underscores, with a letter or digit first"
    return None


MIN_PASSWORD = 15


def why_not_password(password: str, username: str = "") -> str | None:
    """The sentence that refuses a password by its form, or None. Checks length and repetition, no composition rules.

    Source: NIST SP 800-63B-4, section 3.1.1.2 (15 characters when the password is the only factor; a blocklist, which
    the server has; no composition rules).
    """
    if len(password) < MIN_PASSWORD:
        return f"Use at least {MIN_PASSWORD} characters; three or four random words work well"
    if len(password) > 1024:
        return "Use at most 1024 characters"
    if username and password.lower().strip() in {username.lower() * n for n in range(1, 9)}:
        return "Password must not repeat the user name"
    if len(set(password)) < 4:
        return "Password must not repeat one character"
    return None


def name_in_tenant(name: str, tenant: str) -> str:
    """The name on the host of a new VM or volume: `red~web-01` for `web-01` of the tenant red.

    libvirt has one space of names for all, so that a name which is taken, or is given out with an addition, would tell of
    another tenant's. Those of the default tenant stay as they are.
    """
    return name if tenant == DEFAULT_TENANT else f"{tenant}{TENANT_SIGN}{name}"


def why_not_name_on_host(name: str) -> str | None:
    """The sentence that refuses the name of a VM on its host, with or without a tenant; None when it is valid."""
    return next(filter(None, map(why_not_vm_name, name.split(TENANT_SIGN, 1))), None)


def without_tenant(name: str) -> str:
    """The name as it was chosen: `web-01` for `red~web-01`."""
    return name.rpartition(TENANT_SIGN)[2]

"""Whom the embedded servers run as: none of them should, and PostgreSQL will not, be root."""

import os
import pwd
import shutil

from octoco_runner.commands import ServerUser, run
from octoco_runner.errors import RunnerError

POSTGRESQL_USER = "octoco"
FALLBACK_USER = "nobody"


def running_as_root() -> bool:
    return os.geteuid() == 0


def find_user(name: str) -> ServerUser | None:
    """The user of that name, or None when this machine has none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return ServerUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def postgresql_user() -> ServerUser | None:
    """The user PostgreSQL runs as: ourselves (None) unless we are root.

    As root a system user without login is made on first use, so that the data files belong to
    nobody else's processes.

    Raises:
        RunnerError: we are root and no unprivileged user exists or can be made.
    """
    if not running_as_root():
        return None
    if found := find_user(POSTGRESQL_USER):
        return found
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd:
        command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/"]
        run([*command, "--shell", "/usr/sbin/nologin", POSTGRESQL_USER])
    if found := find_user(POSTGRESQL_USER) or find_user(FALLBACK_USER):
        return found
    raise RunnerError(
        "PostgreSQL does not run as root and no other user could be made. "
        f"Run: useradd --system {POSTGRESQL_USER}"
    )


def rabbitmq_user() -> ServerUser | None:
    """The user RabbitMQ runs as: the package's own when we are root, else ourselves (None)."""
    if not running_as_root():
        return None
    return find_user("rabbitmq") or postgresql_user()


def nginx_user() -> ServerUser | None:
    """The user nginx's workers run as when we are root, else ourselves (None)."""
    if not running_as_root():
        return None
    return find_user("www-data") or find_user("nginx") or find_user(FALLBACK_USER)

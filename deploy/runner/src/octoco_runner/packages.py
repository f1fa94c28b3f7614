"""Installing the system packages this machine lacks, where that is allowed, starting no service."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from octoco_runner.commands import run
from octoco_runner.errors import PackagesMissing, RunnerError
from octoco_runner.server_users import running_as_root

PROGRAM_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin"]
)
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_KEPT = Path("/usr/sbin/policy-rc.d.kept-by-octoco")
POLICY_TEXT = """#!/bin/sh
# Put here by the Octoco Wallet runner while it installs packages: no service may start.
exit 101
"""
NON_INTERACTIVE: Mapping[str, str] = {
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",
}


@dataclass(frozen=True)
class SystemPackage:
    """A program from the distribution, and the Debian/Ubuntu package and service it comes with."""

    package: str
    service: str | None
    find: Callable[[], Path | None]


def find_nginx() -> Path | None:
    return _find_one_of("nginx")


def find_chromium() -> Path | None:
    return _find_one_of("chromium", "chromium-browser", "google-chrome")


def find_chromedriver() -> Path | None:
    return _find_one_of("chromedriver")


def find_rabbitmq_server() -> Path | None:
    # Not the wrapper in /usr/sbin: it insists on one user and on the system's own log files.
    places = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server")]
    places += sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    places += sorted(Path("/opt").glob("rabbitmq*/sbin/rabbitmq-server"))
    for place in places:
        if os.access(place, os.X_OK):
            return place
    found = shutil.which("rabbitmq-server", path=PROGRAM_PATH)
    return Path(found) if found and Path(found).parent != Path("/usr/sbin") else None


NGINX = SystemPackage("nginx", "nginx", find_nginx)
RABBITMQ = SystemPackage("rabbitmq-server", "rabbitmq-server", find_rabbitmq_server)
# Only tests look at pages with a browser.
CHROMIUM = SystemPackage("chromium", None, find_chromium)
CHROMEDRIVER = SystemPackage("chromium-driver", None, find_chromedriver)


def require_packages(wanted: Sequence[SystemPackage], *, say: Callable[[str], None]) -> None:
    """Make sure every wanted program is on this machine, installing with apt where that may be.

    The services the packages bring are kept from starting, now and at the next boot: only our own
    private processes run. The machine's own say on starting services is put back as it was.

    Args:
        wanted: What is needed; nothing happens when all are there.
        say: Told what is being installed, before it begins.

    Raises:
        PackagesMissing: we may not install, or apt failed; the message holds the exact commands.
    """
    missing = [package for package in wanted if package.find() is None]
    if not missing:
        return
    names = [package.package for package in missing]
    services = [package.service for package in missing if package.service]
    commands = [f"    sudo apt-get update && sudo apt-get install -y {' '.join(names)}"]
    if services:
        commands.append(f"    sudo systemctl disable --now {' '.join(services)}")
    by_hand = "\n".join(commands)
    prefix = _privileged_prefix()
    if prefix is None or shutil.which("apt-get") is None:
        raise PackagesMissing(
            f"{' and '.join(names)} must be installed first (the runner uses private copies of "
            f"them on its own ports). On Debian or Ubuntu:\n{by_hand}\n"
            "Elsewhere use your system's packages. RabbitMQ is not needed when AMQP_URL names one."
        )
    say(f"Installing {' and '.join(names)} from the distribution (a minute or two, once)")
    with _no_service_starts(prefix):
        _apt(prefix, ["update"], by_hand=by_hand, fatal=False)
        _apt(prefix, ["install", "-y", "--no-install-recommends", *names], by_hand=by_hand)
    if Path("/run/systemd/system").is_dir():
        for service in services:
            run([*prefix, "systemctl", "disable", "--now", service])
    still = [package.package for package in missing if package.find() is None]
    if still:
        raise PackagesMissing(f"{' and '.join(still)} was installed but its program was not found.")


def _find_one_of(*names: str) -> Path | None:
    for name in names:
        if found := shutil.which(name, path=PROGRAM_PATH):
            return Path(found)
    return None


def _privileged_prefix() -> list[str] | None:
    """What to put before a command to run it as root; None when we may not."""
    if running_as_root():
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    allowed = run([sudo, "-n", "true"])
    return [sudo, "-n"] if allowed.returncode == 0 else None


def _apt(
    prefix: Sequence[str], arguments: Sequence[str], *, by_hand: str, fatal: bool = True
) -> None:
    settings = [f"{name}={value}" for name, value in NON_INTERACTIVE.items()]
    command = [*prefix, "env", *settings, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    done = run([*command, *arguments])
    # A failed update is not the end: the lists of an earlier one may do.
    if done.returncode != 0 and fatal:
        said = (done.stdout + done.stderr)[-2000:]
        raise PackagesMissing(
            f"apt-get {' '.join(arguments)} failed:\n{said}\nTry by hand:\n{by_hand}"
        )


@contextlib.contextmanager
def _no_service_starts(prefix: Sequence[str]) -> Iterator[None]:
    def privileged(*command: str, text: str | None = None) -> None:
        done = run([*prefix, *command], stdin_text=text)
        if done.returncode != 0:
            raise RunnerError(f"{' '.join(command)} failed: {done.stderr.strip()}")

    # What an installation killed half way left behind is put right first.
    if POLICY_KEPT.exists():
        privileged("mv", "-f", str(POLICY_KEPT), str(POLICY))
    elif POLICY.exists() and POLICY.read_text() == POLICY_TEXT:
        privileged("rm", "-f", str(POLICY))
    had_policy = POLICY.exists()
    if had_policy:
        privileged("cp", "-p", str(POLICY), str(POLICY_KEPT))
    try:
        # Written beside and moved in: the file is replaced, never edited, for it may be linked.
        fresh = f"{POLICY}.octoco"
        privileged("tee", fresh, text=POLICY_TEXT)
        privileged("chmod", "755", fresh)
        privileged("mv", "-f", fresh, str(POLICY))
        yield
    finally:
        if had_policy:
            privileged("mv", "-f", str(POLICY_KEPT), str(POLICY))
        else:
            privileged("rm", "-f", str(POLICY))

"""Bring a service's schema to its newest version."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def migrate(*, url: str, migrations: Path) -> None:
    """Run every migration that has not run yet; a repeat changes nothing.

    Args:
        url: libpq URL of the role that owns the schema.
        migrations: The service's folder with env.py and versions/.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")

"""PostgreSQL: units of work, the tables every service has, migrations and provisioning."""

from octoco.database.engine import Database
from octoco.database.units import PostgresUnit, PostgresUnitsOfWork

__all__ = ["Database", "PostgresUnit", "PostgresUnitsOfWork"]

"""Which HTTP status each refusal of notifications is answered with."""

from collections.abc import Mapping
from typing import Final

from notifications.domain.errors import InvalidCursor
from octoco.errors import Refusal

REFUSAL_STATUS: Final[Mapping[type[Refusal], int]] = {InvalidCursor: 422}

"""Who may do what at the operators' desk."""

from typing import Final

# Whoever moves money or decides that it moves.
DECIDERS: Final = frozenset({"finance", "admin"})
# Whoever may look.
READERS: Final = frozenset({"finance", "admin", "support"})

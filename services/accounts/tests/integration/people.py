"""Who the tests log in as."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    email: str
    password: str

    @property
    def credentials(self) -> dict[str, str]:
        return {"email": self.email, "password": self.password}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}

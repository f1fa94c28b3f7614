"""A user's bank accounts over HTTP; of a number only its last digits are ever shown."""

from typing import Any, ClassVar

from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from octoco.http.authentication import authenticated, current_user
from octoco.http.schemas import StrictSchema
from payments_gateway.bootstrap import Gateway
from payments_gateway.domain.bank_accounts import BankAccount, bank_account_details
from payments_gateway.use_cases.remove_bank_account import remove_bank_account, require_kept_by

TEXT_LENGTH_MAX = 256


class NewBankAccountSchema(StrictSchema):
    """A bank account as the user types it."""

    account_holder = fields.String(required=True, validate=validate.Length(1, TEXT_LENGTH_MAX))
    bank_name = fields.String(required=True, validate=validate.Length(1, TEXT_LENGTH_MAX))
    branch_code = fields.String(
        required=True,
        validate=validate.Length(1, TEXT_LENGTH_MAX),
        metadata={"description": "Six digits.", "example": "250655"},
    )
    account_number = fields.String(
        required=True,
        validate=validate.Length(1, TEXT_LENGTH_MAX),
        metadata={"description": "7 to 11 digits; spaces are dropped.", "example": "62000000001"},
    )
    account_type = fields.String(
        required=True,
        validate=validate.Length(1, TEXT_LENGTH_MAX),
        metadata={"description": "cheque, savings or transmission.", "example": "cheque"},
    )


class BankAccountSchema(Schema):
    """A bank account as it is shown."""

    id = fields.String(required=True)
    account_holder = fields.String(required=True)
    bank_name = fields.String(required=True)
    branch_code = fields.String(required=True)
    masked_number = fields.String(required=True)
    account_type = fields.String(required=True)
    status = fields.String(
        required=True, metadata={"description": "`verified`, or `unverified` for now."}
    )
    created_at = fields.String(required=True)

    class Meta:
        ordered: ClassVar[bool] = True


class BankAccountListSchema(Schema):
    """The user's bank accounts, oldest first."""

    items = fields.List(fields.Nested(BankAccountSchema), required=True)


def shown(bank_account: BankAccount) -> dict[str, Any]:
    """Render a bank account; the number stays here."""
    details = bank_account.details
    return {
        "id": bank_account.bank_account_id,
        "account_holder": details.account_holder,
        "bank_name": details.bank_name,
        "branch_code": details.branch_code,
        "masked_number": details.masked_number,
        "account_type": details.account_type.value,
        "status": "unverified" if bank_account.verified_at is None else "verified",
        "created_at": bank_account.created_at.isoformat().replace("+00:00", "Z"),
    }


def blueprint(gateway: Gateway) -> Blueprint:
    """Build the routes under /v1/bank-accounts."""
    routes = Blueprint("bank-accounts", __name__, description="Where withdrawals go")

    @routes.route("/v1/bank-accounts", methods=["POST"])
    @authenticated()
    @routes.arguments(NewBankAccountSchema)
    @routes.response(201, BankAccountSchema)
    def add(fields_given: dict[str, str]) -> dict[str, Any]:
        """Add a bank account."""
        details = bank_account_details(**fields_given)
        return shown(gateway.add_bank_account(user_id=current_user().user_id, details=details))

    @routes.route("/v1/bank-accounts", methods=["GET"])
    @authenticated()
    @routes.response(200, BankAccountListSchema)
    def show_all() -> dict[str, Any]:
        """List the user's bank accounts."""
        user_id = current_user().user_id
        kept = gateway.units.read(lambda unit: unit.bank_accounts.kept_by(user_id))
        return {"items": [shown(bank_account) for bank_account in kept]}

    @routes.route("/v1/bank-accounts/<entity_id:bank_account_id>", methods=["GET"])
    @authenticated()
    @routes.response(200, BankAccountSchema)
    def show_one(bank_account_id: str) -> dict[str, Any]:
        """Show one of the user's bank accounts."""
        found = gateway.units.read(lambda unit: unit.bank_accounts.find(bank_account_id))
        return shown(require_kept_by(found, user_id=current_user().user_id))

    @routes.route("/v1/bank-accounts/<entity_id:bank_account_id>", methods=["DELETE"])
    @authenticated()
    @routes.response(204)
    def remove(bank_account_id: str) -> None:
        """Remove one of the user's bank accounts."""
        user_id = current_user().user_id
        gateway.units.run(
            lambda unit: remove_bank_account(
                unit, user_id=user_id, bank_account_id=bank_account_id, now=gateway.clock.now()
            )
        )

    return routes

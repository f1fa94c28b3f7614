"""The operators' desk: routes below /v1/admin, closed to the outside at the gateway."""

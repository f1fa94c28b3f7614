"""What AsyncAPI 3.0.0 and its AMQP bindings 0.3.0 allow, as far as our documents go.

Written from the specification: a field that it has and we do not use is refused here as well, so
whoever begins to use one looks it up and adds it.
"""

from typing import Any, Final

TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
YES_OR_NO: Final[dict[str, Any]] = {"type": "boolean"}
REFERENCE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["$ref"],
    "properties": {"$ref": {"type": "string", "pattern": "^#/"}},
    "additionalProperties": False,
}


def the_object(required: str = "", /, **properties: Any) -> dict[str, Any]:
    """An object of the specification: these fields, and extensions, and nothing else."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "patternProperties": {"^x-[a-z-]+$": {}},
        "additionalProperties": False,
    }


def the_map(of: dict[str, Any]) -> dict[str, Any]:
    """Objects under names, which may hold letters, digits and `.-_`."""
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[a-zA-Z0-9.\\-_]+$"},
        "additionalProperties": of,
    }


def the_list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": of}


def amqp(**properties: Any) -> dict[str, Any]:
    """A bindings object with AMQP 0-9-1 alone."""
    binding = the_object("bindingVersion", bindingVersion={"const": "0.3.0"}, **properties)
    return the_object("amqp", amqp=binding)


SCHEMA: Final = {"type": "object", "required": ["type"]}
NAME: Final[dict[str, Any]] = {"type": "string", "maxLength": 255}
CHANNEL_BINDINGS: Final = amqp(
    **{
        "is": {"enum": ["routingKey", "queue"]},
        "exchange": the_object(
            name=NAME,
            type={"enum": ["topic", "direct", "fanout", "default", "headers"]},
            durable=YES_OR_NO,
            autoDelete=YES_OR_NO,
        ),
        "queue": the_object(
            name=NAME, durable=YES_OR_NO, exclusive=YES_OR_NO, autoDelete=YES_OR_NO
        ),
    }
)
CHANNEL: Final = the_object(
    "address",
    address={"type": ["string", "null"]},
    messages=the_map(REFERENCE),
    bindings=CHANNEL_BINDINGS,
)
OPERATION: Final = the_object(
    "action channel",
    action={"enum": ["send", "receive"]},
    channel=REFERENCE,
    messages=the_list(REFERENCE),
    summary=TEXT,
    tags=the_list(the_object("name", name=TEXT)),
    bindings=amqp(deliveryMode={"enum": [1, 2]}, mandatory=YES_OR_NO, ack=YES_OR_NO),
)
MESSAGE: Final = the_object(
    "payload",
    name=TEXT,
    title=TEXT,
    summary=TEXT,
    contentType=TEXT,
    payload=the_object(
        "schema schemaFormat", schema=SCHEMA, schemaFormat={"pattern": "^application/schema"}
    ),
    examples=the_list(the_object(name=TEXT, payload={"type": "object"}, headers={})),
    traits=the_list(REFERENCE),
    bindings=amqp(messageType=TEXT, contentEncoding=TEXT),
)
TRAIT: Final = the_object(
    headers=SCHEMA,
    summary=TEXT,
    correlationId=the_object(
        "location", location={"type": "string", "pattern": "^\\$message\\."}, description=TEXT
    ),
)
SPECIFICATION: Final = the_object(
    "asyncapi info",
    asyncapi={"const": "3.0.0"},
    info=the_object("title version", title=TEXT, version=TEXT, description=TEXT),
    defaultContentType=TEXT,
    channels=the_map(CHANNEL),
    operations=the_map(OPERATION),
    components=the_object(messages=the_map(MESSAGE), messageTraits=the_map(TRAIT)),
)

"""Messages on RabbitMQ: contracts, wire format, topology, publishing and consuming."""
